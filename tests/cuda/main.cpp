// eplb_device_tests LIBRARY [--vectors FILE] [--data FOLDER] [--problems N] [--seed S]
// [--most-slots N]
//                           [--trace-layers N] [--rounds N] [--only GROUP[,GROUP...]]
//
// What can be seen of the CUDA machine through eplb.h and the CUDA runtime alone. LIBRARY is loaded
// as a stranger would. Random problems are numbered: a failure names the arguments that run it
// alone.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include <unistd.h>

#include "machine.h"

extern "C" FILE* report_stream(void) { return stdout; }

namespace eplb::tests {
namespace {

Settings chosen;

struct Group {
  const char* name;
  void (*run)();
};

constexpr Group kGroups[] = {{"facts", facts},           {"golden", golden},
                             {"parity", parity},         {"traces", traces},
                             {"large", large},           {"tiny", tiny},
                             {"calls", calls},           {"late", late},
                             {"graphs", graphs},         {"worlds", worlds},
                             {"threads", threads},       {"memory", memory},
                             {"broken", broken},         {"evaluation", evaluation},
                             {"moves", moves},           {"clusters", clusters},
                             {"rebalances", rebalances}, {"windows", windows},
                             {"tables", tables},         {"splits", splits}};

struct Arguments {
  std::string library, only;

  bool wants(const std::string& group) const {
    std::stringstream list(only);
    for (std::string name; std::getline(list, name, ',');)
      if (name == group) return true;
    return only.empty();
  }
};

int number(const std::string& option, const char* value) {
  char* end = nullptr;
  const long n = std::strtol(value, &end, 10);
  if (end == value || *end != 0 || n < 1)
    throw std::runtime_error(option + " wants a number from 1 on");
  return static_cast<int>(n);
}

void set(const std::string& option, const char* value, Arguments& arguments) {
  if (option == "--vectors")
    chosen.vectors = value;
  else if (option == "--data")
    chosen.data = value;
  else if (option == "--problems")
    chosen.problems = number(option, value);
  else if (option == "--seed")
    chosen.seed = std::strtoull(value, nullptr, 10);
  else if (option == "--most-slots")
    chosen.most_slots = number(option, value);
  else if (option == "--trace-layers")
    chosen.trace_layers = number(option, value);
  else if (option == "--rounds")
    chosen.rounds = number(option, value);
  else if (option == "--only")
    arguments.only = value;
  else
    throw std::runtime_error("unknown: " + option);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
#ifdef EPLB_VECTORS_TEXT
  chosen.vectors = EPLB_VECTORS_TEXT;
#endif
  if (argc < 2) throw std::runtime_error("LIBRARY is missing");
  arguments.library = argv[1];
  for (int i = 2; i < argc; i += 2) {
    if (i + 1 == argc) throw std::runtime_error(std::string(argv[i]) + " wants a value");
    set(argv[i], argv[i + 1], arguments);
  }
  return arguments;
}

// What a crash or a time limit ends says which test it was. Only what a handler of signals may
// call.
void say_where(int signal) {
  const auto say = [](const char* text) { return write(STDOUT_FILENO, text, std::strlen(text)); };
  const char* name = sigdescr_np(signal);
  const bool said = say("FAILED ") >= 0 && say(test_name()) >= 0 && say(": ") >= 0 &&
                    say(name) >= 0 && say("\n") >= 0;
  _exit(said ? 128 + signal : 127);
}

int run(const Arguments& arguments) {
  std::signal(SIGTERM, say_where);
  if (!kEmulated)  // there sanitizers of the host have handlers of their own
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT})
      std::signal(signal, say_where);
  if (const char* missing = api_load(arguments.library.c_str())) throw std::runtime_error(missing);
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // what a crash leaves is the place to look
  const std::string why = why_no_cuda();
  for (const Group& group : kGroups) {
    if (!arguments.wants(group.name)) continue;
    if (why.empty())
      group.run();
    else
      test(group.name, [&] { test_skip(why.c_str()); });
  }
  return test_print_counts();
}

}  // namespace

const Settings& settings() { return chosen; }

}  // namespace eplb::tests

int main(int argc, char** argv) {
  try {
    return eplb::tests::run(eplb::tests::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "eplb_device_tests: %s\n", error.what());
    return 2;
  }
}
