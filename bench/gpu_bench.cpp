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
#include "gpu_subject.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
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
constexpr double kHostAim = 60;  // microseconds that the way from and to the host may add

struct Arguments {
  int replays = 200;
  double seconds = 0.2, budget = 1e9;
  bool profile = false;
  std::vector<Trace> traces;
  std::string only, markdown, tsv, commit = "not stated", machine = "not stated";
};

// What is asked of a GPU, in microseconds; 0: nothing is.
struct Row {
  Candidate candidate;
  Shape shape;
  double aim = 0;
  bool one_layer = false;
  std::vector<double> replay{}, known{}, in_a_row{}, host{}, one_thread{}, all_threads{};
  Stages stages{};
  std::vector<double> imbalances{}, gaps{};
  int layers = 0;
  std::string fault{};  // why there is nothing
  int64_t bytes_in = 0, bytes_out = 0, context_bytes = 0;
};

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

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto nth = values.begin() + ptrdiff_t(q * double(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

double median(const std::vector<double>& values) { return quantile(values, 0.5); }

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return values.empty() ? 0 : sum / double(values.size());
}

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

// ----------------------------------------------------------------------------------------- telling

std::string cell(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string problem_name(const Row& row) {
  std::ostringstream out;
  out << row.layers << (row.layers == 1 ? " layer, " : " layers, ") << row.shape.slots << "/"
      << row.shape.gpus;
  if (row.shape.nodes > 1)
    out << ", " << row.shape.groups << " groups on " << row.shape.nodes << " nodes";
  return out.str();
}

// Bold where the aim is reached.
std::string against(double value, double aim) {
  if (aim == 0) return cell("%.1f", value);
  return value <= aim ? cell("**%.1f**", value) : cell("%.1f", value);
}

const char* times_heading() {
  return "| problem | strategy | device to device, us (quartiles) | aim | in a row, each | until "
         "the host knows | host "
         "to "
         "host | more than device to device | CPU, 1 thread | CPU, all threads | 1 thread / GPU | "
         "imbalance | gap |\n"
         "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
}

std::string times(const Row& row) {
  if (!row.fault.empty())
    return "| " + problem_name(row) + " | " + row.candidate.name + " | " + row.fault +
           " | | | | | | | | | | |\n";
  const double device = median(row.replay), host = median(row.host);
  std::ostringstream out;
  out << "| " << problem_name(row) << " | " << row.candidate.name << " | "
      << against(device, row.aim) << cell(" (%.1f", quantile(row.replay, 0.25))
      << cell(" to %.1f)", quantile(row.replay, 0.75)) << " | "
      << (row.aim == 0 ? "-" : cell("%.0f", row.aim)) << " | " << cell("%.1f", median(row.in_a_row))
      << " | " << cell("%.1f", median(row.known)) << " | " << cell("%.1f", host) << " | "
      << against(host - device, kHostAim) << " | " << cell("%.0f", median(row.one_thread)) << " | "
      << cell("%.0f", median(row.all_threads)) << " | "
      << cell("%.1f", median(row.one_thread) / device) << " | "
      << cell("%.4f", mean(row.imbalances)) << " | " << cell("%.3f %%", 100 * mean(row.gaps))
      << " |\n";
  return out.str();
}

std::string stages(const std::vector<Row>& rows) {
  std::ostringstream out;
  out << "\n## Where the time goes\n\n"
      << "Each stage alone, not captured, by events around it: their own cost of a microsecond or "
         "two is in every "
         "figure,\n"
      << "and so is the time between launches of one call.\n\n"
      << "| problem | strategy | upload, us | solve | fetch of physical_to_logical | fetch of "
         "logical_to_physical | "
         "weights "
         "in, bytes | map out, bytes | context |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const Row& row : rows)
    if (row.fault.empty())
      out << "| " << problem_name(row) << " | " << row.candidate.name << " | "
          << cell("%.1f", median(row.stages.upload)) << " | "
          << cell("%.1f", median(row.stages.solve)) << " | "
          << cell("%.1f", median(row.stages.fetch)) << " | "
          << cell("%.1f", median(row.stages.fetch_logical_to_physical)) << " | " << row.bytes_in
          << " | " << row.bytes_out << " | "
          << cell("%.2f MiB |\n", double(row.context_bytes) / (1 << 20));
  out << "\nRegisters, shared memory and spills of every kernel: `cuobjdump --dump-resource-usage "
         "libeplb.so`, which\n"
      << "`./dev gpu` writes to build.log. Occupancy and what moved through memory, by the "
         "hardware's counters:\n"
      << "`ncu --profile-from-start off eplb_gpu_bench --profile`, which `./dev gpu` puts below.\n";
  return out.str();
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

std::string heading(const Arguments& arguments) {
  char gpu[128] = "", cpu[256] = "", cuda[256] = "";
  eplb_device_name(EPLB_DEVICE_CUDA, 0, gpu, sizeof gpu, nullptr);
  eplb_backend_info(EPLB_DEVICE_CPU, nullptr, cpu, sizeof cpu, nullptr);
  eplb_backend_info(EPLB_DEVICE_CUDA, nullptr, cuda, sizeof cuda, nullptr);
  std::ostringstream out;
  out << "# Speed on a GPU\n\n"
      << "- machine: " << gpu << "; " << cuda << "; " << processor() << ", "
      << std::thread::hardware_concurrency() << " threads; " << arguments.machine << "\n"
      << "- library: libeplb " << eplb_version_string() << ", commit " << arguments.commit
      << "; on the CPU it " << cpu << "\n- compiled by " << EPLB_BENCH_COMPILER << ", "
      << EPLB_BENCH_FLAGS << "; CUDA for " << EPLB_BENCH_CUDA << "\n"
      << "- device to device: upload, solve and fetch of physical_to_logical as int32, captured in "
         "one graph;\n"
      << "  median of up to " << arguments.replays
      << " replays for each trace after a warm-up, by events before and behind each: the\n"
      << "  launch from the host is in it\n"
      << "- in a row: replays behind each other, without the host waiting between them; until the "
         "host knows: launch "
         "and\n"
      << "  cudaStreamSynchronize by the host's clock\n"
      << "- host to host: the same three calls on host memory; CPU: the same on a CPU context\n"
      << "- bold: the aim is reached (" << kHostAim
      << " us more from host to host)\n- weights, pooled:";
  for (const Trace& trace : arguments.traces)
    out << " " << trace.name << (&trace == &arguments.traces.back() ? "" : ",");
  out << "\n\n";
  return out.str();
}

void write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  std::ofstream file(path);
  if (!(file << text)) throw std::runtime_error(path + " cannot be written");
}

std::string tsv(const std::vector<Row>& rows) {
  std::ostringstream out;
  for (const Row& row : rows)
    if (row.fault.empty())
      out << row.candidate.name << "\t" << row.layers << "\t" << row.shape.slots << "\t"
          << row.shape.gpus << "\t" << row.shape.nodes << "\t" << row.shape.groups << "\t"
          << median(row.replay) << "\t" << mean(row.imbalances) << "\n";
  return out.str();
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
