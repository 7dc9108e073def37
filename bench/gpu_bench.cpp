// How long a GPU takes, from device memory to device memory and from host to host, compared with
// the CPU of the same machine.
//
//     eplb_gpu_bench [--replays N] [--seconds S] [--budget S] [--only START_OF_NAME]
//                    [--markdown FILE] [--tsv FILE]
//                    [--commit TEXT] [--machine TEXT] [--profile] [TRACE.csv ...]
//
// --replays: of the captured graph, for each trace (200, or fewer if they would take over 0.4 s).
// --seconds: for each measurement with the clock of the host. --budget: no row begins after this
// number of seconds. --tsv: what torch_on_gpu.py takes in. --profile: measures nothing; each
// problem once, between the marks that `ncu --profile-from-start off` waits for. Several traces are
// pooled. Without traces, one made-up one (see trace.h) is solved.
#include "gpu_report.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>

// Their header is no part of what NVIDIA's wheels of the runtime have.
extern "C" cudaError_t cudaProfilerStart(void);
extern "C" cudaError_t cudaProfilerStop(void);

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUps = 20;
// Of replays before any counts: clocks rise slowly.
constexpr double kWarmSeconds = 0.05, kColdSeconds = 0.5;
constexpr double kMostSeconds = 0.4;

Candidate candidate(const std::string& name) {
  for (const Candidate& c : all_candidates())
    if (name == c.name) return c;
  throw std::runtime_error("no strategy is called " + name);
}

std::vector<Row> all_rows() {
  const Shape usual{288, 32};
  std::vector<Row> rows = {{candidate("LPT_SWAP"), usual, 15, true}};
  for (const Candidate& c : all_candidates()) {
    const bool best = c.strategy == EPLB_STRATEGY_BEST;
    const std::string name = c.name;
    if (!best)
      rows.push_back({c, usual,
                      name == "NOISE_SPECTRUM" ? 100.0
                      : name == "HYBRID_INIT"  ? 200.0
                                               : 0.0});
  }
  for (const Shape shape : {usual, Shape{320, 64}, Shape{288, 72}, Shape{384, 128}}) {
    rows.push_back({candidate("BEST, FAST"), shape, 70});
    rows.push_back({candidate("BEST, NORMAL"), shape, 200});
    rows.push_back({candidate("BEST, MAX"), shape, 700});
  }
  for (const Shape shape : {Shape{288, 144}, Shape{256, 32}, Shape{288, 32, 4, 8}})
    for (const char* name : {"BEST, FAST", "BEST, NORMAL", "BEST, MAX"})
      rows.push_back({candidate(name), shape});
  return rows;
}

std::vector<Row> rows_to_measure(const Arguments& arguments) {
  std::vector<Row> rows = all_rows();
  std::erase_if(rows, [&](const Row& row) {
    return std::string(row.candidate.name).rfind(arguments.only, 0) != 0;
  });
  return rows;
}

// --------------------------------------------------------------------------------------- measuring

Trace first_layer(const Trace& trace) {
  Trace one{.name = trace.name, .layers = 1, .experts = trace.experts};
  one.weights.assign(trace.weights.begin(), trace.weights.begin() + trace.experts);
  return one;
}

// By the host's clock, at least three times.
void measure_subject(Subject& subject, double seconds, std::vector<double>& microseconds) {
  subject.run();
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (int turn = 0; turn < 3 || (Clock::now() < end && turn < 1000); turn++) {
    const auto start = Clock::now();
    subject.run();
    microseconds.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
}

void measure_on_host(Row& row, const Trace& trace, eplb_device_kind kind, int64_t threads,
                     double seconds, std::vector<double>& microseconds) {
  eplb_context_options options;
  eplb_context_options_init(&options, sizeof options, nullptr);
  options.device_kind = kind;
  options.num_threads = threads;
  Subject subject(row.candidate, trace, row.shape, &options);
  measure_subject(subject, seconds, microseconds);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Up to n times, but for no longer than that. Returns how often.
template <class Body> int repeat(int n, double most_seconds, Body body) {
  const auto start = Clock::now();
  int done = 0;
  while (done < n && (done < 3 || seconds_since(start) < most_seconds)) {
    body();
    done++;
  }
  return done;
}

void warm_up(GpuSubject& subject, double seconds) {
  const auto start = Clock::now();
  for (int i = 0; i < kWarmUps || seconds_since(start) < seconds; i++) subject.replay();
}

void measure_on_device(Row& row, const Trace& trace, int replays) {
  GpuSubject subject(row.candidate, trace, row.shape);
  warm_up(subject, kWarmSeconds);
  replays = repeat(replays, kMostSeconds, [&] { row.replay.push_back(subject.replay()); });
  repeat(replays, kMostSeconds, [&] { row.known.push_back(subject.replay_until_known()); });
  row.in_a_row.push_back(subject.replays_in_a_row(replays));
  repeat(std::max(replays / 4, 1), kMostSeconds, [&] { subject.add_stages(row.stages); });
  const eplb_report report = subject.report();
  row.imbalances.push_back(report.imbalance_mean);
  row.gaps.push_back(report.gap_mean);
  row.context_bytes = std::max(row.context_bytes, report.context_bytes);
  row.bytes_in = subject.bytes_in();
  row.bytes_out = subject.bytes_out();
}

void measure(Row& row, const Arguments& arguments) {
  const int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  for (const Trace& whole : arguments.traces) {
    const std::optional<Trace> one =
        row.one_layer ? std::optional(first_layer(whole)) : std::nullopt;
    const Trace& trace = one ? *one : whole;
    const double seconds = arguments.seconds / double(arguments.traces.size());
    measure_on_device(row, trace, arguments.replays);
    measure_on_host(row, trace, EPLB_DEVICE_CUDA, 1, seconds, row.host);
    measure_on_host(row, trace, EPLB_DEVICE_CPU, 1, seconds, row.one_thread);
    measure_on_host(row, trace, EPLB_DEVICE_CPU, cores, seconds, row.all_threads);
  }
}

// ----------------------------------------------------------------------------------------- running

void write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  std::ofstream file(path);
  if (!(file << text)) throw std::runtime_error(path + " cannot be written");
}

void parse_option(Arguments& arguments, const std::string& word, const char* value) {
  if (word == "--replays")
    arguments.replays = std::max(1, std::atoi(value));
  else if (word == "--seconds")
    arguments.seconds = std::atof(value);
  else if (word == "--budget")
    arguments.budget = std::atof(value);
  else if (word == "--only")
    arguments.only = value;
  else if (word == "--markdown")
    arguments.markdown = value;
  else if (word == "--tsv")
    arguments.tsv = value;
  else if (word == "--commit")
    arguments.commit = value;
  else if (word == "--machine")
    arguments.machine = value;
  else
    throw std::runtime_error("unknown: " + word);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == "--profile")
      arguments.profile = true;
    else if (word.rfind("--", 0) != 0)
      arguments.traces.push_back(read_trace(word));
    else if (i + 1 == argc)
      throw std::runtime_error(word + " wants a value");
    else
      parse_option(arguments, word, argv[++i]);
  }
  if (arguments.traces.empty()) arguments.traces.push_back(make_trace(58, 256, 0));
  return arguments;
}

// Returns how many rows could not be measured.
int run(const Arguments& arguments) {
  const auto start = Clock::now();
  std::string text = heading(arguments) + times_heading();
  std::fputs(text.c_str(), stdout);
  {
    GpuSubject first(candidate("LPT_SWAP"), arguments.traces[0], {288, 32});
    warm_up(first, kColdSeconds);
  }
  std::vector<Row> done;
  int faults = 0, skipped = 0;
  for (Row& row : rows_to_measure(arguments)) {
    row.layers = row.one_layer ? 1 : arguments.traces[0].layers;
    if (seconds_since(start) > arguments.budget) {
      row.fault = "not measured: the time was used up";
      skipped++;
    } else {
      try {
        measure(row, arguments);
      } catch (const std::exception& error) {
        row.fault = std::string("does not run: ") + error.what();
        faults++;
      }
    }
    const std::string line = times(row);
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
    text += line;
    done.push_back(std::move(row));
    // After every row: what was measured before a time limit is worth having.
    write_file(arguments.markdown, text + stages(done));
    write_file(arguments.tsv, tsv(done));
  }
  std::fputs(stages(done).c_str(), stdout);
  std::printf("%d passed, %d failed, %d skipped\n", int(done.size()) - faults - skipped, faults,
              skipped);
  return faults;
}

int profile(const Arguments& arguments) {
  for (Row& row : rows_to_measure(arguments)) {
    const Trace& whole = arguments.traces[0];
    const Trace trace = row.one_layer ? first_layer(whole) : whole;
    row.layers = trace.layers;
    GpuSubject subject(row.candidate, trace, row.shape);
    Stages unused;
    subject.add_stages(unused);
    std::printf("profiling %s, %s\n", problem_name(row).c_str(), row.candidate.name);
    std::fflush(stdout);
    check_cuda(cudaProfilerStart(), "cudaProfilerStart");
    subject.add_stages(unused);
    check_cuda(cudaProfilerStop(), "cudaProfilerStop");
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    const bench::Arguments arguments = bench::parse(argc, argv);
    return (arguments.profile ? bench::profile : bench::run)(arguments) > 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "eplb_gpu_bench: %s\n", error.what());
    return 2;
  }
}
