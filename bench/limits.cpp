// How long do calls take at the limits of what eplb.h allows? Nothing may take longer than 10 s for a
// layer: solves at FAST, their reports, evaluations and transfers.
//
// Calls of each kind (call_kind.h) are made once for one layer of each shape below. Each is made on
// one thread of a process of its own, which the kernel ends after --seconds of processor time.
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <functional>
#include <optional>
#include <stdexcept>

#include "call_kind.h"
#include "layer_weights.h"
#include "program.h"

namespace bench {
namespace {

constexpr int kEven = 0, kLognormal = 2, kHot = 4, kByRank = 5;  // laws

struct LimitShape {
  GridShape shape;
  int law;  // of its weights, see layer_weights.h
};

// experts, slots per GPU, GPUs, nodes, groups; law. Most have 2^18 slots.
const LimitShape kShapes[] = {
    {{1, 1 << 18, 1}, kEven},
    {{1, 2, 1 << 17}, kEven},
    {{3, 2, 1 << 17}, kHot},
    {{3, 1 << 12, 1 << 6}, kHot},
    {{256, 1, 1 << 18}, kHot},
    {{256, 1 << 3, 1 << 15}, kHot},
    {{256, 1 << 14, 1 << 4}, kHot},
    {{1 << 14, 2, 1 << 17}, kByRank},
    {{1 << 14, 1 << 8, 1 << 10}, kLognormal},
    {{1 << 17, 1 << 18, 1}, kHot},
    {{1 << 17, 1 << 17, 1 << 1}, kLognormal},
    {{1 << 17, 1 << 10, 1 << 8}, kHot},
    {{1 << 17, 1 << 4, 1 << 14}, kByRank},
    {{1 << 17, 3, 80000}, kHot},
    {{1 << 17, 2, 1 << 17}, kHot},
    {{1 << 18, 1 << 9, 1 << 9}, kLognormal},
    {{1 << 18, 4, 1 << 16}, kHot},
    {{1 << 17, 4, 1 << 16, 1 << 3, 1 << 16}, kHot},
    {{1 << 17, 8, 1 << 15, 1 << 14, 1 << 16}, kLognormal},
    {{1 << 16, 2, 1 << 17, 2, 1 << 16}, kByRank},
    {{1 << 14, 4, 1 << 16, 1 << 12, 1 << 14}, kHot},
    {{1 << 17, 8, 1 << 15, 1 << 9, 1 << 16}, kByRank},
    {{1 << 14, 4, 1 << 13}, kByRank},
    {{1 << 15, 2, 1 << 15}, kLognormal},
};

// Few: what takes minutes where work has no limits, and else about a second.
const LimitShape kFewShapes[] = {
    {{3, 2, 1 << 17}, kHot},
};

// None: longer than it may take, and stopped.
struct Seconds {
  std::optional<double> call{}, report{};
};

bool has_report(const Kind& kind) { return kind.timed == Timed::kSolve; }

// ---------------------------------------------------------------------------- a process of its own

double processor_time() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

// The kernel ends this process after that many more seconds of its own; 0: never.
void end_after(double seconds) {
  itimerval timer{};
  timer.it_value.tv_sec = time_t(seconds);
  timer.it_value.tv_usec = suseconds_t((seconds - std::floor(seconds)) * 1e6);
  setitimer(ITIMER_PROF, &timer, nullptr);
}

double seconds_of(double most_seconds, const std::function<void()>& work) {
  const double start = processor_time();
  end_after(most_seconds);
  work();
  end_after(0);
  return processor_time() - start;
}

void write_seconds(int pipe, double seconds) {
  if (write(pipe, &seconds, sizeof seconds) != sizeof seconds) _exit(1);
}

Trace layer_of(const LimitShape& of) {
  return layers_of(make_weights(of.shape.experts, 1), of.law, 1);
}

// In a child: sends the seconds of the call, then those of the report.
[[noreturn]] void run_child(const Kind& kind, const LimitShape& of, double most_seconds, int pipe) {
  try {
    Call call(kind, layer_of(of), of.shape);
    write_seconds(pipe, seconds_of(most_seconds, [&] { call.make(); }));
    if (has_report(kind)) write_seconds(pipe, seconds_of(most_seconds, [&] { call.report(); }));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "eplb_limits: %s\n", error.what());
    _exit(1);
  }
  _exit(0);
}

Seconds measure(const Kind& kind, const LimitShape& of, double most_seconds) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe can be made");
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no process can be started");
  if (child == 0) run_child(kind, of, most_seconds, ends[1]);
  close(ends[1]);
  Seconds found;
  double seconds = 0;
  for (std::optional<double>* to : {&found.call, &found.report})
    if (read(ends[0], &seconds, sizeof seconds) == sizeof seconds) *to = seconds;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const bool in_time = WIFEXITED(status), late = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
  if (in_time ? WEXITSTATUS(status) != 0 : !late)
    throw std::runtime_error(kind.name + ", " + to_string(of.shape) + " failed");
  return found;
}

// ------------------------------------------------------------------------------------------ report

struct Arguments {
  std::string only, shape, markdown, commit = "not stated";
  bool is_short = false;
  double most_seconds = 10;
};

// What is printed, and written to a file in the end.
class Output {
 public:
  void add(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    text_ += text;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string heading(const Arguments& arguments) {
  return "# Calls at the limits\n\n" + machine_and_library(arguments.commit) +
         "\n- seconds of processor time for one layer; solves are at FAST, and a report is that of "
         "the plan before it\n- shapes are written experts -> slots/GPUs\n\n";
}

std::string text_of(const std::optional<double>& seconds, double most_seconds) {
  char text[64];
  std::snprintf(text, sizeof text, seconds ? "%.2f" : "**above %.0f**",
                seconds.value_or(most_seconds));
  return text;
}

std::string row(const Kind& kind, const LimitShape& of, const Seconds& found, double most_seconds) {
  std::string line = "| " + kind.name + " | " + to_string(of.shape) + " | " + law_name(of.law) +
                     " | " + text_of(found.call, most_seconds) + " | ";
  if (has_report(kind) && found.call) line += text_of(found.report, most_seconds);
  return line + " |\n";
}

// -------------------------------------------------------------------------------------------- calls

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void for_each_call(const Arguments& arguments, const auto& shapes, auto visit) {
  for (const LimitShape& of : shapes)
    for (const Kind& kind : all_kinds())
      if (has(kind.name, arguments.only) && has(to_string(of.shape), arguments.shape) &&
          fits(kind, of.shape))
        visit(kind, of);
}

void make_few(const Arguments& arguments) {
  for_each_call(arguments, kFewShapes, [](const Kind& kind, const LimitShape& of) {
    std::printf("%s, %s\n", kind.name.c_str(), to_string(of.shape).c_str());
    std::fflush(stdout);
    Call call(kind, layer_of(of), of.shape);
    call.make();
    if (has_report(kind)) call.check_plan();
  });
}

// Was any stopped?
bool measure_all(const Arguments& arguments) {
  Output output;
  output.add(heading(arguments) +
             "| call | shape | weights | call | report |\n|---|---|---|---|---|\n");
  bool late = false;
  for_each_call(arguments, kShapes, [&](const Kind& kind, const LimitShape& of) {
    const Seconds found = measure(kind, of, arguments.most_seconds);
    late |= !found.call || (has_report(kind) && !found.report);
    output.add(row(kind, of, found, arguments.most_seconds));
  });
  write_file(arguments.markdown, output.text());
  return late;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  parse_options(
      argc, argv,
      "How long do calls take at the limits of what eplb.h allows? The exit status is 1 if any\n"
      "was ended.",
      nullptr,
      {{"only", "TEXT", "calls of kinds whose name contains it", into(arguments.only)},
       {"shape", "TEXT", "shapes whose name contains it", into(arguments.shape)},
       {"seconds", "S", "of processor time after which a call is ended (10)",
        into(arguments.most_seconds)},
       {"short", nullptr, "calls of few shapes, without a limit; nothing is timed",
        into(arguments.is_short)},
       {"markdown", "FILE", "write the table there", into(arguments.markdown)},
       {"commit", "TEXT", "that the table names", into(arguments.commit)}});
  return arguments;
}

int run(const Arguments& arguments) {
  if (!arguments.is_short) return measure_all(arguments);
  make_few(arguments);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  return bench::run_program("eplb_limits", [&] { return bench::run(bench::parse(argc, argv)); });
}
