// How long a GPU takes, from device memory to device memory and from host to host, compared with
// the CPU of the same machine: solves, and splits of tokens over placements of other loads.
//
// --profile makes each call once, between the marks that `ncu --profile-from-start off` waits for.
#include "gpu_report.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <thread>

#include "program.h"

// Their header is no part of what NVIDIA's wheels of the runtime have.
extern "C" cudaError_t cudaProfilerStart(void);
extern "C" cudaError_t cudaProfilerStop(void);

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kColdSeconds = 0.5;  // of replays before any row, until the clocks have risen

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

std::vector<SplitRow> all_split_rows() {
  std::vector<SplitRow> rows = {{.shape = {288, 32}, .one_layer = true}};
  for (const Shape shape : {Shape{288, 32}, Shape{320, 64}, Shape{384, 128}})
    for (const bool made_for_splits : {false, true}) rows.push_back({shape, made_for_splits});
  return rows;
}

const char* name_of(const Row& row) { return row.candidate.name; }
const char* name_of(const SplitRow& row) { return row.name(); }

template <class AnyRow>
std::vector<AnyRow> wanted(std::vector<AnyRow> rows, const Arguments& arguments) {
  std::erase_if(rows, [&](const AnyRow& row) {
    return std::string(name_of(row)).rfind(arguments.only, 0) != 0;
  });
  for (AnyRow& row : rows) row.layers = row.one_layer ? 1 : arguments.traces[0].layers;
  return rows;
}

// --------------------------------------------------------------------------------------- measuring

Trace first_layer(const Trace& trace) {
  Trace one{.name = trace.name, .layers = 1, .experts = trace.experts};
  one.weights.assign(trace.weights.begin(), trace.weights.begin() + trace.experts);
  return one;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// By the host's clock, at least three times.
template <class Body> void measure_calls(Body body, double seconds, std::vector<double>& out) {
  body();
  const auto start = Clock::now();
  for (int turn = 0; turn < 3 || (seconds_since(start) < seconds && turn < 1000); turn++) {
    const auto before = Clock::now();
    body();
    out.push_back(1e6 * seconds_since(before));
  }
}

void measure_on_host(Row& row, const Trace& trace, eplb_device_kind kind, int64_t threads,
                     double seconds, std::vector<double>& microseconds) {
  eplb_context_options options;
  eplb_context_options_init(&options, sizeof options, nullptr);
  options.device_kind = kind;
  options.num_threads = threads;
  Subject subject(row.candidate, trace, row.shape, &options);
  measure_calls([&] { subject.run(); }, seconds, microseconds);
}

void measure_on_device(Row& row, const Trace& trace, int replays) {
  GpuSubject subject(row.candidate, trace, row.shape);
  replays = measure_replays(subject.stream(), replays, row.replays);
  repeat(std::max(replays / 4, 1), [&] { subject.add_stages(row.stages); });
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

// ------------------------------------------------------------------------------------------ splits

// The tokens of a trace, over a placement of the one before it.
SplitTask task_of(const SplitRow& row, const std::vector<Trace>& traces, size_t which) {
  const Trace& now = traces[which];
  Trace before = traces[which > 0 ? which - 1 : traces.size() - 1];
  if (traces.size() == 1)
    std::rotate(before.weights.begin(), before.weights.begin() + before.experts,
                before.weights.end());
  if (row.one_layer) return split_task(first_layer(before), first_layer(now), row.shape, false);
  return split_task(before, now, row.shape, row.made_for_splits);
}

void judge(SplitRow& row, const SplitTask& task, SplitSubject& host) {
  const int64_t layers = task.tokens.layers, gpus = task.shape.gpus;
  const std::vector<double> load = host.reals(EPLB_MAP_SPLIT_LOAD, layers * gpus),
                            bound = host.reals(EPLB_MAP_SPLIT_BOUND, layers);
  const std::vector<double> imbalance = host.reals(EPLB_MAP_SPLIT_IMBALANCE, layers);
  row.imbalances.insert(row.imbalances.end(), imbalance.begin(), imbalance.end());
  for (int64_t layer = 0; layer < layers; layer++) {
    const auto first = load.begin() + layer * gpus;
    if (bound[layer] > 0)
      row.gaps.push_back(*std::max_element(first, first + gpus) / bound[layer] - 1);
  }
}

void measure_task(SplitRow& row, const SplitTask& task, int replays, double seconds) {
  SplitOnHost host(task);
  measure_calls([&] { host.run(); }, seconds, row.one_thread);
  measure_calls([&] { host.split(); }, seconds, row.thread_split);
  judge(row, task, host);
  const std::vector<int32_t> shares = host.shares();
  measure_calls([&] { host.prepare(); }, seconds, row.thread_prepare);
  SplitOnGpu gpu(task);
  replays = measure_replays(gpu.stream(), replays, row.replays);
  if (gpu.fetched() != shares) throw std::runtime_error("replays have other shares than the CPU");
  repeat(std::max(replays / 4, 1), [&] { gpu.add_stages(row.stages); });
  if (gpu.fetched() != shares || gpu.shares() != shares)
    throw std::runtime_error("calls have other shares than the CPU");
  measure_calls([&] { gpu.prepare(); }, seconds, row.prepare_and_send);
}

void measure(SplitRow& row, const Arguments& arguments) {
  for (size_t i = 0; i < arguments.traces.size(); i++)
    measure_task(row, task_of(row, arguments.traces, i), arguments.replays,
                 arguments.seconds / double(arguments.traces.size()));
}

// ----------------------------------------------------------------------------------------- running

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const std::vector<std::string> files = parse_options(
      argc, argv,
      "How long a GPU takes, compared with the CPU of the same machine. Several traces are "
      "pooled.\n"
      "Without any, one made-up one is solved.",
      "[TRACE.csv]...",
      {{"replays", "N", "of the captured graph, for each trace (200, or fewer, for 0.4 s)",
        into(arguments.replays)},
       {"seconds", "S", "for each measurement with the clock of the host (0.2)",
        into(arguments.seconds)},
       {"budget", "S", "no row begins after that time", into(arguments.budget)},
       {"only", "NAME", "strategies whose name begins so", into(arguments.only)},
       {"profile", nullptr, "measure nothing: make each call once, for ncu",
        into(arguments.profile)},
       {"markdown", "FILE", "write the tables there", into(arguments.markdown)},
       {"tsv", "FILE", "write what torch_on_gpu.py reads there", into(arguments.tsv)},
       {"commit", "TEXT", "that the tables name", into(arguments.commit)},
       {"machine", "TEXT", "that the tables name", into(arguments.machine)}});
  arguments.replays = std::max(1, arguments.replays);
  for (const std::string& file : files) arguments.traces.push_back(read_trace(file));
  if (arguments.traces.empty()) arguments.traces.push_back(make_trace(58, 256, 0));
  return arguments;
}

// A run of rows, and what it has left so far.
class Run {
 public:
  explicit Run(const Arguments& arguments) : arguments_(arguments) {}

  // Returns how many rows could not be measured.
  int all() {
    say(heading(arguments_));
    {
      GpuSubject first(candidate("LPT_SWAP"), arguments_.traces[0], {288, 32});
      warm_up(first.stream(), kColdSeconds);
    }
    // Those that have been measured least, before time runs out.
    const std::vector<SplitRow> splits = wanted(all_split_rows(), arguments_);
    if (!splits.empty()) say(splits_heading());
    for (const SplitRow& row : splits) add(row, splits_);
    say(stages(splits_));
    const std::vector<Row> rows = wanted(all_rows(), arguments_);
    if (!rows.empty()) say("\n" + std::string(times_heading()));
    for (const Row& row : rows) add(row, rows_);
    say(stages(rows_));
    std::printf("%d passed, %d failed, %d skipped\n",
                int(rows_.size() + splits_.size()) - faults_ - skipped_, faults_, skipped_);
    return faults_;
  }

 private:
  static void say(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  template <class AnyRow> void add(AnyRow row, std::vector<AnyRow>& done) {
    if (seconds_since(start_) > arguments_.budget) {
      row.fault = "not measured: the time was used up";
      skipped_++;
    } else {
      try {
        measure(row, arguments_);
      } catch (const std::exception& error) {
        row.fault = std::string("does not run: ") + error.what();
        faults_++;
      }
    }
    say(times(row));
    done.push_back(std::move(row));
    // After every row: what was measured before a time limit is worth having.
    save();
  }

  void save() const {
    std::string text = heading(arguments_);
    if (!rows_.empty()) text += times_heading();
    for (const Row& row : rows_) text += times(row);
    text += stages(rows_);
    if (!splits_.empty()) text += splits_heading();
    for (const SplitRow& row : splits_) text += times(row);
    write_file(arguments_.markdown, text + stages(splits_));
    write_file(arguments_.tsv, tsv(rows_));
  }

  const Arguments& arguments_;
  const Clock::time_point start_ = Clock::now();
  std::vector<Row> rows_{};
  std::vector<SplitRow> splits_{};
  int faults_ = 0, skipped_ = 0;
};

int run(const Arguments& arguments) { return Run(arguments).all(); }

template <class AnyRow, class AnySubject> void profile(const AnyRow& row, AnySubject& subject) {
  decltype(row.stages) unused;
  subject.add_stages(unused);
  std::printf("profiling %s, %s\n", problem_name(row.layers, row.shape).c_str(), name_of(row));
  std::fflush(stdout);
  CUDA(cudaProfilerStart());
  subject.add_stages(unused);
  CUDA(cudaProfilerStop());
}

int profile_all(const Arguments& arguments) {
  for (const SplitRow& row : wanted(all_split_rows(), arguments)) {
    const SplitTask task = task_of(row, arguments.traces, 0);
    SplitOnGpu subject(task);
    profile(row, subject);
  }
  for (const Row& row : wanted(all_rows(), arguments)) {
    const Trace& whole = arguments.traces[0];
    const Trace trace = row.one_layer ? first_layer(whole) : whole;
    GpuSubject subject(row.candidate, trace, row.shape);
    profile(row, subject);
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  return bench::run_program("eplb_gpu_bench", [&] {
    const bench::Arguments arguments = bench::parse(argc, argv);
    return int((arguments.profile ? bench::profile_all : bench::run)(arguments) > 0);
  });
}
