#include "program.h"

#include <eplb.h>
#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace bench {
namespace {

double number(const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end || !(value >= 0))
    throw std::runtime_error(std::string(text) + " is no number of at least 0");
  return value;
}

void print_help(const char* program, const char* about, const char* operands,
                const std::vector<Option>& options) {
  std::printf("usage: %s [OPTION]...%s%s\n\n%s\n\n", program, operands ? " " : "",
              operands ? operands : "", about);
  for (const Option& option : options) {
    const std::string word =
        std::string("--") + option.name + (option.value ? std::string(" ") + option.value : "");
    std::printf("  %-22s %s\n", word.c_str(), option.help);
  }
  std::printf("  %-22s %s\n", "--help", "this");
}

}  // namespace

std::function<void(const char*)> into(std::string& text) {
  return [&text](const char* value) { text = value; };
}

std::function<void(const char*)> into(double& to) {
  return [&to](const char* value) { to = number(value); };
}

std::function<void(const char*)> into(int& to) {
  return [&to](const char* value) {
    const double whole = number(value);
    if (whole > 1e9 || whole != int(whole))
      throw std::runtime_error(std::string(value) + " is no whole number of up to 10^9");
    to = int(whole);
  };
}

std::function<void(const char*)> into(bool& chosen) {
  return [&chosen](const char*) { chosen = true; };
}

std::vector<std::string> parse_options(int argc, char** argv, const char* about,
                                       const char* operands, const std::vector<Option>& options) {
  std::vector<option> known;
  for (const Option& option : options)
    known.push_back({option.name, option.value ? required_argument : no_argument, nullptr, 0});
  known.push_back({"help", no_argument, nullptr, 0});
  known.push_back({});
  opterr = 0;
  int which = 0;
  // ":" tells an option without its value from one that is unknown.
  for (int found; (found = getopt_long_only(argc, argv, ":", known.data(), &which)) != -1;) {
    const std::string word = argv[optind - 1];
    if (found == ':') throw std::runtime_error(word + " wants a value");
    if (found) throw std::runtime_error(word + " is no option; see --help");
    if (size_t(which) == options.size()) {
      print_help(argv[0], about, operands, options);
      std::exit(0);
    }
    options[size_t(which)].take(optarg);
  }
  const std::vector<std::string> rest(argv + optind, argv + argc);
  if (!operands && !rest.empty()) throw std::runtime_error(rest[0] + " is no option; see --help");
  return rest;
}

int run_program(const char* name, const std::function<int()>& program) {
  try {
    return program();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 2;
  }
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string compiled_by() { return EPLB_BENCH_COMPILER ", library " EPLB_BENCH_FLAGS; }

std::string machine_and_library(const std::string& commit) {
  char backend[256] = "";
  eplb_backend_info(EPLB_DEVICE_CPU, nullptr, backend, sizeof backend, nullptr);
  return "- machine: " + processor() + "; one thread\n- library: libeplb " + eplb_version_string() +
         ", commit " + commit + "; " + backend + "\n- compiled by " + compiled_by();
}

void write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  std::ofstream file(path);
  if (!(file << text << std::flush)) throw std::runtime_error(path + " cannot be written");
}

}  // namespace bench
