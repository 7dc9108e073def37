#include "sweep_extremes.h"

#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "sweep_weights.h"

namespace bench {
namespace {

constexpr int kEven = 0, kLognormal = 2, kHot = 4, kByRank = 5;  // laws

// ---------------------------------------------------------------------------- a process of its own

// The kernel ends this process when it has used so many more seconds; 0: never.
void end_after(double seconds) {
  itimerval timer{};
  timer.it_value.tv_sec = time_t(seconds);
  timer.it_value.tv_usec = suseconds_t((seconds - double(time_t(seconds))) * 1e6);
  setitimer(ITIMER_PROF, &timer, nullptr);
}

double seconds_of(double most_seconds, const std::function<void()>& work) {
  const double start = processor_time();
  end_after(most_seconds);
  work();
  end_after(0);
  return (processor_time() - start) / 1e6;
}

void write_seconds(int pipe, double seconds) {
  if (write(pipe, &seconds, sizeof seconds) != sizeof seconds) _exit(1);
}

// In a child: sends the seconds of the call, then those of the report.
void measure(const Extreme& extreme, double most_seconds, int pipe) {
  const Trace all = make_weights(extreme.of.shape.experts, 1);
  Call call(extreme.kind, layers_of(all, extreme.of.law, 1), extreme.of.shape);
  write_seconds(pipe, seconds_of(most_seconds, [&] { call.make(); }));
  if (extreme.has_report) write_seconds(pipe, seconds_of(most_seconds, [&] { call.report(); }));
}

[[noreturn]] void run_child(const Extreme& extreme, double most_seconds, int pipe) {
  try {
    measure(extreme, most_seconds, pipe);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "eplb_sweep: %s\n", error.what());
    _exit(1);
  }
  _exit(0);
}

void measure_apart(Extreme& extreme, double most_seconds) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe can be made");
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no process can be started");
  if (child == 0) run_child(extreme, most_seconds, ends[1]);
  close(ends[1]);
  double seconds = 0;
  for (std::optional<double>* to : {&extreme.call_seconds, &extreme.report_seconds})
    if (read(ends[0], &seconds, sizeof seconds) == sizeof seconds) *to = seconds;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const bool in_time = WIFEXITED(status), late = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
  if (in_time ? WEXITSTATUS(status) != 0 : !late)
    throw std::runtime_error(title(extreme.kind) + ", " + to_string(extreme.of.shape) + " failed");
}

// experts, slots per GPU, GPUs, nodes, groups; law. Most have 2^18 slots.
const ExtremeShape kShapes[] = {
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

// Windows: each problem with 2 and with 64, as many as are kept.
std::vector<Kind> kinds_at_limits() {
  std::vector<Kind> kinds;
  for (Kind kind : all_kinds()) {
    if (kind.windows == 1) {
      kinds.push_back(kind);
      continue;
    }
    const std::string name = kind.name;
    for (int windows : {2, 64}) {
      kind.windows = windows;
      kind.name = name + ", " + std::to_string(windows);
      kinds.push_back(kind);
    }
  }
  return kinds;
}

}  // namespace

std::vector<Extreme> measure_extremes(Extremes which, const std::string& only, double most_seconds,
                                      const std::function<void(const Extreme&)>& done) {
  std::vector<Extreme> extremes;
  for (const ExtremeShape& of : kShapes)
    for (const Kind& kind : kinds_at_limits()) {
      if (title(kind).find(only) == std::string::npos || !fits(kind, of.shape)) continue;
      extremes.push_back({.kind = kind, .of = of, .has_report = kind.timed == Timed::kSolve});
      measure_apart(extremes.back(), most_seconds);
      done(extremes.back());
    }
  return extremes;
}

bool takes_too_long(const Extreme& extreme) {
  return !extreme.call_seconds || (extreme.has_report && !extreme.report_seconds);
}

}  // namespace bench
