// Looks for cliffs: shapes whose solve costs several times as much per slot as that of a
// neighbouring shape.
//
//     eplb_sweep [--efforts FAST,NORMAL,MAX] [--limit RATIO] [--most-slots N] [--milliseconds T]
//                [--markdown FILE] [--commit TEXT] [--tsv FILE]
//
// BEST solves a few layers of each shape of a grid (sweep_grid.h) on one thread. Steps between
// neighbours of more than --limit (3) are reported, the largest first. Such a step is a cliff if
// the costlier shape takes more than --limit times what a slot of 256 experts on 288/32 takes:
// where a formula gives the optimum, the cheaper shape is no measure. The exit status is 1 if there
// is a cliff. --milliseconds is spent on each shape at least; the least time counts. Steps near the
// limit are measured again, ten times as long, so that a busy machine raises no false alarm. --tsv
// writes the time of every shape.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>

#include "subject.h"
#include "sweep_grid.h"

namespace bench {
namespace {

constexpr double kEnough = 50000;  // microseconds after which a large shape is not solved again
constexpr double kBatch = 100;     // microseconds that one reading of the clock must cover
// Nanoseconds per slot and microseconds of a solve from which on larger neighbours are left out.
constexpr double kHopeless = 5000, kLong = 100000;
// Steps between limit / kNear and limit * kNear are measured again, kLongerAgain times as long.
constexpr double kNear = 2, kLongerAgain = 10;

constexpr int kLayers = 12;
constexpr GridShape kReference{256, 9, 32};

struct Arguments {
  std::vector<std::string> efforts = {"FAST", "NORMAL"};
  double limit = 3, milliseconds = 1;
  int most_slots = 16384;
  std::string markdown, commit = "not stated", tsv;
};

struct Finding {
  Step step;
  double ratio;
};

struct Sweep {
  std::string effort;
  std::vector<double> nanoseconds{};  // per slot, by index of the grid
  std::vector<Finding> steps{};       // the largest first
  size_t above = 0;                   // of them above the limit
  size_t cliffs = 0;               // of those: the costlier shape is above limit * reference, too
  double reference = 0;            // nanoseconds per slot of kReference
  std::vector<size_t> left_out{};  // shapes with a neighbour that takes too long
  double seconds = 0;
};

// Microseconds of this process, which other processes do not lengthen as they do those of the wall
// clock.
double processor_time() { return 1e6 * double(std::clock()) / CLOCKS_PER_SEC; }

// Layers from even to steep. In the last an expert has more than half of the load, where there are
// more than two.
Trace make_weights(int experts) {
  Trace trace{.name = "even to steep", .layers = 0, .experts = experts};
  const auto add = [&](auto weight) {
    trace.layers++;
    for (int e = 0; e < experts; e++)
      trace.weights.push_back(float(std::floor(1 + 10000 * weight(e))));
  };
  std::mt19937_64 random{uint64_t(experts)};
  add([](int) { return 1.0; });
  for (double sigma : {0.1, 0.3, 0.6, 0.6, 1.0, 1.5}) {
    std::lognormal_distribution<double> body(0, sigma);
    add([&](int) { return body(random); });
  }
  const Trace hot = make_trace(2, experts, uint64_t(experts));
  trace.layers += hot.layers;
  trace.weights.insert(trace.weights.end(), hot.weights.begin(), hot.weights.end());
  std::vector<int> rank(static_cast<size_t>(experts));
  for (int e = 0; e < experts; e++) rank[size_t(e)] = e;
  for (double power : {0.5, 1.0, 2.0}) {
    std::shuffle(rank.begin(), rank.end(), random);
    add([&](int e) { return 1000 / std::pow(rank[size_t(e)] + 1, power); });
  }
  if (trace.layers != kLayers) throw std::logic_error("kLayers is wrong");
  return trace;
}

// Nanoseconds per slot of the last layer alone, once: enough to see that more would take minutes.
double probe(const Candidate& candidate, const Trace& trace, const GridShape& shape) {
  Trace last{.name = trace.name, .layers = 1, .experts = trace.experts};
  last.weights.assign(trace.weights.end() - trace.experts, trace.weights.end());
  Subject subject(candidate, last, shape.shape());
  const double start = processor_time();
  if (!subject.available()) throw std::runtime_error("BEST is not in this version");
  const double passed = processor_time() - start;
  return passed > kLong / kLayers ? 1000 * passed / shape.slots() : 0;
}

// Nanoseconds per slot of a solve, the least of several batches.
double measure(const Candidate& candidate, const Trace& trace, const GridShape& shape,
               double milliseconds) {
  const double probed = probe(candidate, trace, shape);
  if (probed > kHopeless * kLayers) return probed;
  Subject subject(candidate, trace, shape.shape());
  subject.available();
  double start = processor_time();
  subject.solve();
  double least = processor_time() - start;
  const int batch = 1 + int(kBatch / std::max(least, 0.1));
  double spent = least;
  for (int turn = 0; turn < 2 || spent < 1000 * milliseconds; turn++) {
    if (spent > kEnough) break;
    start = processor_time();
    for (int i = 0; i < batch; i++) subject.solve();
    const double passed = processor_time() - start;
    least = std::min(least, passed / batch);
    spent += passed;
  }
  return 1000 * least / (double(trace.layers) * shape.slots());
}

class Measurer {
 public:
  Measurer(std::vector<GridShape> grid, const Candidate& candidate)
      : grid_(std::move(grid)), candidate_(candidate) {}

  double operator()(size_t i, double milliseconds) { return (*this)(grid_[i], milliseconds); }
  double operator()(const GridShape& shape, double milliseconds) {
    auto found = traces_.find(shape.experts);
    if (found == traces_.end())
      found = traces_.emplace(shape.experts, make_weights(shape.experts)).first;
    return measure(candidate_, found->second, shape, milliseconds);
  }

 private:
  const std::vector<GridShape> grid_;
  const Candidate candidate_;
  std::map<int, Trace> traces_;
};

// 0 where one of them was left out.
double ratio_of(const Step& step, const std::vector<double>& times) {
  const auto [less, more] = std::minmax(times[step.from], times[step.to]);
  return less > 0 ? more / less : 0;
}

Candidate candidate_of(const std::string& effort) {
  for (const Candidate& candidate : all_candidates())
    if (candidate.name == "BEST, " + effort) return candidate;
  throw std::runtime_error("no effort is called " + effort);
}

// Times of all shapes, those with fewer slots first; 0 for those that are left out.
std::vector<double> measure_all(const std::vector<GridShape>& grid, const std::vector<Step>& steps,
                                Measurer& measurer, double milliseconds) {
  std::vector<std::vector<size_t>> smaller(grid.size());
  for (const Step& step : steps)
    if (step.from < step.to && std::string(step.parameter) != "experts")
      smaller[step.to].push_back(step.from);
  std::vector<double> times(grid.size());
  std::vector<bool> too_long(grid.size());
  for (size_t i = 0; i < grid.size(); i++) {
    for (size_t other : smaller[i]) too_long[i] = too_long[i] || too_long[other];
    if (too_long[i]) continue;
    times[i] = measurer(i, milliseconds);
    too_long[i] = times[i] > kHopeless && times[i] * grid[i].slots() * kLayers > 1000 * kLong;
  }
  return times;
}

Sweep sweep(const Arguments& arguments, const std::vector<GridShape>& grid,
            const std::vector<Step>& steps, const std::string& effort) {
  const double start = processor_time();
  Sweep result{.effort = effort};
  Measurer measurer(grid, candidate_of(effort));
  std::vector<double>& times = result.nanoseconds;
  times = measure_all(grid, steps, measurer, arguments.milliseconds);
  std::set<size_t> again;
  for (const Step& step : steps) {
    const double ratio = ratio_of(step, times) / arguments.limit;
    if (ratio > 1 / kNear && ratio < kNear) again.insert({step.from, step.to});
  }
  for (size_t i : again)
    times[i] = std::min(times[i], measurer(i, kLongerAgain * arguments.milliseconds));
  for (size_t i = 0; i < grid.size(); i++)
    if (times[i] == 0) result.left_out.push_back(i);
  for (const Step& step : steps) result.steps.push_back({step, ratio_of(step, times)});
  std::sort(result.steps.begin(), result.steps.end(),
            [](const Finding& a, const Finding& b) { return a.ratio > b.ratio; });
  result.reference = measurer(kReference, kLongerAgain * arguments.milliseconds);
  for (const Finding& finding : result.steps) {
    if (finding.ratio <= arguments.limit) break;
    const double costlier = std::max(times[finding.step.from], times[finding.step.to]);
    result.above++;
    result.cliffs += costlier > arguments.limit * result.reference;
  }
  result.seconds = (processor_time() - start) / 1e6;
  return result;
}

// ------------------------------------------------------------------------------------------ report

std::string row(const std::vector<GridShape>& grid, const Sweep& sweep, const Finding& finding) {
  size_t cheap = finding.step.from, costly = finding.step.to;
  if (sweep.nanoseconds[cheap] > sweep.nanoseconds[costly]) std::swap(cheap, costly);
  char text[512];
  std::snprintf(text, sizeof text, "| %.2f | %s | %s | %.0f | %s | %.0f |\n", finding.ratio,
                finding.step.parameter, to_string(grid[cheap]).c_str(), sweep.nanoseconds[cheap],
                to_string(grid[costly]).c_str(), sweep.nanoseconds[costly]);
  return text;
}

std::string table(const std::vector<GridShape>& grid, const Sweep& sweep, double limit,
                  size_t most_rows) {
  std::ostringstream out;
  out << "## BEST, " << sweep.effort << "\n\n"
      << "A slot of " << to_string(kReference) << " takes " << std::lround(sweep.reference)
      << " ns. " << sweep.above << " of " << sweep.steps.size() << " steps are above " << limit
      << "; in " << sweep.cliffs << " of them the costlier shape takes more than " << limit
      << " times that, too. " << sweep.left_out.size()
      << " shapes were left out because a smaller neighbour takes too long.\n\n"
      << "| ratio | step of | cheaper shape | ns per slot | costlier shape | ns per slot |\n"
      << "|---|---|---|---|---|---|\n";
  for (size_t i = 0; i < std::min(most_rows, sweep.steps.size()); i++)
    out << row(grid, sweep, sweep.steps[i]);
  out << "\n";
  return out.str();
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string heading(const Arguments& arguments, const std::vector<GridShape>& grid) {
  char backend[256] = "";
  eplb_backend_info(EPLB_DEVICE_CPU, nullptr, backend, sizeof backend, nullptr);
  std::ostringstream out;
  out << "# Time per slot from shape to shape\n\n"
      << "- machine: " << processor() << "; one thread\n"
      << "- library: libeplb " << eplb_version_string() << ", commit " << arguments.commit << "; "
      << backend << "\n"
      << "- compiled by " << EPLB_BENCH_COMPILER << ", library " << EPLB_BENCH_FLAGS << "\n"
      << "- " << grid.size() << " shapes of up to " << arguments.most_slots
      << " slots, written experts -> slots/GPUs\n"
      << "- time: a solve of " << kLayers
      << " layers from even to steep, per layer and slot, the least of several\n"
      << "- a step: two shapes that differ by one step of one parameter\n\n";
  return out.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text)) throw std::runtime_error(path + " cannot be written");
}

std::string all_times(const std::vector<GridShape>& grid, const std::vector<Sweep>& sweeps) {
  std::ostringstream out;
  out << "effort\texperts\tslots\tgpus\tnodes\tgroups\tns_per_slot\n";
  for (const Sweep& sweep : sweeps) {
    for (size_t i = 0; i < grid.size(); i++) {
      const GridShape& s = grid[i];
      out << sweep.effort << "\t" << s.experts << "\t" << s.slots() << "\t" << s.gpus << "\t"
          << s.nodes << "\t" << s.groups << "\t" << sweep.nanoseconds[i] << "\n";
    }
  }
  return out.str();
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (i + 1 == argc) throw std::runtime_error(word + " wants a value");
    const char* value = argv[++i];
    if (word == "--efforts") {
      arguments.efforts = split(value);
    } else if (word == "--limit") {
      arguments.limit = std::atof(value);
    } else if (word == "--most-slots") {
      arguments.most_slots = std::atoi(value);
    } else if (word == "--milliseconds") {
      arguments.milliseconds = std::atof(value);
    } else if (word == "--markdown") {
      arguments.markdown = value;
    } else if (word == "--commit") {
      arguments.commit = value;
    } else if (word == "--tsv") {
      arguments.tsv = value;
    } else {
      throw std::runtime_error("unknown: " + word + " " + value);
    }
  }
  return arguments;
}

int run(const Arguments& arguments) {
  constexpr size_t kPrinted = 40, kWritten = 10;
  const std::vector<GridShape> grid = make_grid(arguments.most_slots);
  const std::vector<Step> steps = neighbours(grid);
  std::string text = heading(arguments, grid);
  std::fputs(text.c_str(), stdout);
  std::vector<Sweep> sweeps;
  for (const std::string& effort : arguments.efforts) {
    sweeps.push_back(sweep(arguments, grid, steps, effort));
    const Sweep& latest = sweeps.back();
    std::fputs(
        table(grid, latest, arguments.limit, std::max(kWritten, std::min(kPrinted, latest.above)))
            .c_str(),
        stdout);
    std::printf("%.0f seconds\n\n", latest.seconds);
    std::fflush(stdout);
    text += table(grid, latest, arguments.limit, kWritten);
  }
  if (!arguments.markdown.empty()) write_file(arguments.markdown, text);
  if (!arguments.tsv.empty()) write_file(arguments.tsv, all_times(grid, sweeps));
  return std::any_of(sweeps.begin(), sweeps.end(),
                     [](const Sweep& s) { return s.cliffs + s.left_out.size() > 0; });
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::run(bench::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "eplb_sweep: %s\n", error.what());
    return 2;
  }
}
