// How fast and how good libeplb is compared with a heap greedy, in one run on one thread.
// Baseline and subject take turns and the median of the ratios of neighbours is what counts: a
// neighbour on the machine slows both. Times are processor time of the thread, for a neighbour may
// also interrupt it: more often in the longer of two runs.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <stdexcept>

#include "heap_greedy.h"
#include "program.h"
#include "subject.h"
#include "trace.h"

namespace bench {
namespace {

double processor_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

struct Arguments {
  double seconds = 0.25;  // for each pair of trace and strategy
  std::vector<Shape> shapes;
  std::vector<Trace> traces;
  std::string markdown, commit = "not stated", only, profile;
};

struct Row {
  std::string name;
  std::vector<double> ratios{}, microseconds{};  // of single runs; microseconds per layer
  std::vector<double> imbalances{}, gaps{};      // one for each trace
  int64_t context_bytes = 0;
};

template <class Work> double microseconds(Work work) {
  const double start = processor_seconds();
  work();
  return 1e6 * (processor_seconds() - start);
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto nth = values.begin() + ptrdiff_t(q * double(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return values.empty() ? 0 : sum / double(values.size());
}

struct Baseline {
  const Trace& trace;
  Shape shape;
  std::vector<int32_t> placement = std::vector<int32_t>(size_t(trace.layers) * shape.slots);
  double imbalance = 0;

  void run() {
    imbalance =
        heap_greedy(trace.weights, trace.layers, trace.experts, shape.slots, shape.gpus, placement);
  }
};

template <class Work>
void take_turns(Baseline& baseline, Work work, double seconds, Row& base, Row& row) {
  baseline.run();
  work();
  const double end = processor_seconds() + seconds;
  const double layers = baseline.trace.layers;
  for (int turn = 0; turn < 5 || (processor_seconds() < end && turn < 1000); turn++) {
    const double reference = microseconds([&] { baseline.run(); });
    const double own = microseconds(work);
    row.ratios.push_back(own / reference);
    row.microseconds.push_back(own / layers);
    base.microseconds.push_back(reference / layers);
  }
}

void measure_candidate(const Candidate& candidate, const Arguments& arguments, Shape shape,
                       Row& base, std::vector<Row>& rows) {
  Row row{.name = candidate.name}, map{.name = "- fetch of LOGICAL_TO_PHYSICAL on top"};
  for (const Trace& trace : arguments.traces) {
    Subject subject(candidate, trace, shape);
    if (!subject.available()) return;
    Baseline baseline{trace, shape};
    take_turns(
        baseline, [&] { subject.run(); }, arguments.seconds, base, row);
    const eplb_report report = subject.report();
    row.imbalances.push_back(report.imbalance_mean);
    row.gaps.push_back(report.gap_mean);
    row.context_bytes = std::max(row.context_bytes, report.context_bytes);
    if (candidate.strategy == EPLB_STRATEGY_GREEDY) {
      take_turns(
          baseline, [&] { subject.fetch_logical_to_physical(); }, arguments.seconds, base, map);
    }
  }
  rows.push_back(row);
  // The map costs the same after every strategy, so one row shows it.
  if (!map.ratios.empty()) rows.push_back(map);
}

std::vector<Row> measure_shape(const Arguments& arguments, Shape shape) {
  Row base{.name = "heap greedy"};
  std::vector<Row> rows;
  for (const Candidate& candidate : all_candidates()) {
    if (std::string(candidate.name).rfind(arguments.only, 0) == 0)
      measure_candidate(candidate, arguments, shape, base, rows);
  }
  for (const Trace& trace : arguments.traces) {
    Baseline baseline{trace, shape};
    baseline.run();
    base.imbalances.push_back(baseline.imbalance);
  }
  rows.insert(rows.begin(), base);
  return rows;
}

std::string cell(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string table(Shape shape, const std::vector<Row>& rows) {
  std::ostringstream out;
  out << "### " << shape.slots << " slots on " << shape.gpus << " GPUs";
  if (shape.nodes > 1)
    out << ", " << shape.groups << " groups on " << shape.nodes
        << " nodes (heap greedy knows neither)";
  out << "\n\n"
      << "| | time / heap greedy (quartiles) | us per layer | imbalance, mean | gap, mean | "
         "context |\n"
      << "|---|---|---|---|---|---|\n";
  for (const Row& row : rows) {
    out << "| " << row.name << " | ";
    if (row.ratios.empty()) {
      out << "1";
    } else {
      out << cell("**%.3f**", quantile(row.ratios, 0.5))
          << cell(" (%.3f", quantile(row.ratios, 0.25))
          << cell(" to %.3f)", quantile(row.ratios, 0.75));
    }
    out << " | " << cell("%.2f", quantile(row.microseconds, 0.5)) << " | ";
    out << (row.imbalances.empty() ? "" : cell("%.4f", mean(row.imbalances))) << " | ";
    out << (row.gaps.empty() ? "" : cell("%.2f %%", 100 * mean(row.gaps))) << " | ";
    out << (row.context_bytes == 0 ? "" : cell("%.2f MiB", double(row.context_bytes) / (1 << 20)))
        << " |\n";
  }
  out << "\n";
  return out.str();
}

std::string heading(const Arguments& arguments) {
  std::ostringstream out;
  out << "# Speed compared with a heap greedy\n\n"
      << machine_and_library(arguments.commit) << ", heap greedy -O2\n"
      << "- time, of the processor: upload, solve and fetch of physical_to_logical as int32 into a "
         "reused buffer;\n"
      << "  baseline and subject take turns, at least 5 each; the median of the ratios of "
         "neighbours\n"
      << "- one context for all runs of a row; context: the bytes it holds at the end\n- weights, "
         "pooled:";
  for (const Trace& trace : arguments.traces)
    out << " " << trace.name << (&trace == &arguments.traces.back() ? "" : ",");
  out << "\n\n";
  return out.str();
}

Shape read_shape(const char* text) {
  Shape shape;
  int end = 0;
  if (std::sscanf(text, "%d/%d%n", &shape.slots, &shape.gpus, &end) == 2 && !text[end])
    return shape;
  if (std::sscanf(text, "%d/%d/%d/%d%n", &shape.slots, &shape.gpus, &shape.nodes, &shape.groups,
                  &end) == 4 &&
      !text[end])
    return shape;
  throw std::runtime_error(std::string(text) + " is no shape");
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const std::vector<std::string> files = parse_options(
      argc, argv,
      "How fast and how good libeplb is compared with a heap greedy, in one run on one thread.\n"
      "Several traces are pooled. Without any, three made-up ones are solved.",
      "[TRACE.csv]...",
      {{"seconds", "S", "for each pair of trace and strategy (0.25)", into(arguments.seconds)},
       {"shape", "SHAPE", "SLOTS/GPUS[/NODES/GROUPS]; may be repeated (seven)",
        [&](const char* text) { arguments.shapes.push_back(read_shape(text)); }},
       {"only", "NAME", "strategies whose name begins so", into(arguments.only)},
       {"profile", "STRATEGY", "only solve, the first shape and trace, for callgrind and perf",
        into(arguments.profile)},
       {"markdown", "FILE", "write the tables there", into(arguments.markdown)},
       {"commit", "TEXT", "that the tables name", into(arguments.commit)}});
  for (const std::string& file : files) arguments.traces.push_back(read_trace(file));
  if (arguments.shapes.empty()) {
    arguments.shapes = {{288, 32},  {320, 64},  {288, 72},      {256, 32},
                        {384, 128}, {288, 144}, {288, 32, 4, 8}};
  }
  if (arguments.traces.empty()) {
    for (uint64_t seed = 0; seed < 3; seed++) arguments.traces.push_back(make_trace(58, 256, seed));
  }
  return arguments;
}

// Nothing but solves of the first shape and trace, for callgrind and perf.
void profile(const Arguments& arguments) {
  for (const Candidate& candidate : all_candidates()) {
    if (arguments.profile != candidate.name) continue;
    Subject subject(candidate, arguments.traces.front(), arguments.shapes.front());
    if (!subject.available())
      throw std::runtime_error(arguments.profile + " is not in this version");
    const double end = processor_seconds() + arguments.seconds;
    for (int turn = 0; turn < 20 || processor_seconds() < end; turn++) subject.run();
    return;
  }
  throw std::runtime_error("no strategy is called " + arguments.profile);
}

void run(const Arguments& arguments) {
  std::string text = heading(arguments);
  std::fputs(text.c_str(), stdout);
  for (const Shape& shape : arguments.shapes) {
    const std::string lines = table(shape, measure_shape(arguments, shape));
    std::fputs(lines.c_str(), stdout);
    std::fflush(stdout);
    text += lines;
  }
  write_file(arguments.markdown, text);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  return bench::run_program("eplb_bench", [&] {
    const bench::Arguments arguments = bench::parse(argc, argv);
    arguments.profile.empty() ? bench::run(arguments) : bench::profile(arguments);
    return 0;
  });
}
