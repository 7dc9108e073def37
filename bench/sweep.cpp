// Looks for cliffs: shapes whose solve costs several times as much per slot as that of a
// neighbouring shape.
//
// BEST solves a few layers of each shape of a grid (sweep_grid.h) on one thread. A step between
// neighbours of more than the limit must be one of those that are known, with its reason
// (sweep_known.h). Steps near the limit are measured again, ten times as long, so that a busy
// machine raises no false alarm.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "layer_weights.h"
#include "program.h"
#include "subject.h"
#include "sweep_grid.h"
#include "sweep_known.h"

namespace bench {
namespace {

constexpr double kEnough = 8000;  // microseconds after which a shape is not solved again
constexpr double kBatch = 100;    // microseconds that one reading of the clock must cover
// Steps between limit / kNear and limit * kNear are measured again, kLongerAgain times as long.
constexpr double kNear = 1.5, kLongerAgain = 10;

constexpr int kFewSlots = 1024;      // up to which
constexpr int kLayersOfEachLaw = 2;  // are solved, beyond one
constexpr GridShape kReference{256, 9, 32};

struct Arguments {
  std::vector<std::string> efforts = {"FAST", "NORMAL", "MAX"};
  double limit = 3, milliseconds = 1;
  int most_slots = 16384;
  std::string markdown, commit = "not stated", tsv;
};

struct Finding {
  Step step;
  double ratio;
  const KnownStep* known;
};

struct Sweep {
  std::string effort;
  std::vector<GridShape> grid{};
  std::vector<double> nanoseconds{};  // per slot, by index of the grid
  std::vector<Finding> steps{};       // the largest first
  double reference = 0;               // nanoseconds per slot of kReference
  double seconds = 0;
};

// Microseconds of this process, which other processes do not lengthen as they do those of the wall
// clock.
double processor_time() { return 1e6 * double(std::clock()) / CLOCKS_PER_SEC; }

// Nanoseconds per slot of a solve, the median of several batches.
double measure(const Candidate& candidate, const Trace& trace, const GridShape& shape,
               double milliseconds) {
  Subject subject(candidate, trace, shape.shape());
  double start = processor_time();
  if (!subject.available()) throw std::runtime_error("BEST is not in this version");
  double spent = processor_time() - start;
  const int batch = 1 + int(kBatch / std::max(spent, 0.1));
  std::vector<double> times;
  while (times.size() < 3 || spent < 1000 * milliseconds) {
    if (spent > kEnough && (!times.empty() || milliseconds * 1000 < spent)) break;
    start = processor_time();
    for (int i = 0; i < batch; i++) subject.solve();
    const double passed = processor_time() - start;
    times.push_back(passed / batch);
    spent += passed;
  }
  // The first solve touches memory for the first time: it counts only where it is long.
  if (times.empty()) times.push_back(spent);
  std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
  return 1000 * times[times.size() / 2] / (double(trace.layers) * shape.slots());
}

class Measurer {
 public:
  explicit Measurer(const Candidate& candidate) : candidate_(candidate) {}

  double operator()(const GridShape& shape, double milliseconds) {
    const int layers = shape.slots() > kFewSlots ? 1 : kLayersOfEachLaw;
    const std::pair<int, int> key{shape.experts, layers};
    auto found = traces_.find(key);
    if (found == traces_.end())
      found = traces_.emplace(key, make_weights(shape.experts, layers)).first;
    return measure(candidate_, found->second, shape, milliseconds);
  }

 private:
  const Candidate candidate_;
  std::map<std::pair<int, int>, Trace> traces_;
};

double ratio_of(const Step& step, const std::vector<double>& times) {
  const auto [less, more] = std::minmax(times[step.from], times[step.to]);
  return more / less;
}

Candidate candidate_of(const std::string& effort) {
  for (const Candidate& candidate : all_candidates())
    if (candidate.name == "BEST, " + effort) return candidate;
  throw std::runtime_error("no effort is called " + effort);
}

Sweep sweep(const Arguments& arguments, const std::string& effort) {
  const double start = processor_time();
  Sweep result{.effort = effort, .grid = make_grid(arguments.most_slots, effort == "MAX" ? 4 : 2)};
  const std::vector<Step> steps = neighbours(result.grid);
  Measurer measurer(candidate_of(effort));
  std::vector<double>& times = result.nanoseconds;
  for (const GridShape& shape : result.grid)
    times.push_back(measurer(shape, arguments.milliseconds));
  std::set<size_t> again;
  for (const Step& step : steps) {
    const double ratio = ratio_of(step, times) / arguments.limit;
    if (ratio > 1 / kNear && ratio < kNear) again.insert({step.from, step.to});
  }
  for (size_t i : again) times[i] = measurer(result.grid[i], kLongerAgain * arguments.milliseconds);
  result.reference = measurer(kReference, kLongerAgain * arguments.milliseconds);
  for (const Step& step : steps) {
    MeasuredShape one{result.grid[step.from], times[step.from]};
    MeasuredShape other{result.grid[step.to], times[step.to]};
    if (one.nanoseconds > other.nanoseconds) std::swap(one, other);
    result.steps.push_back({step, other.nanoseconds / one.nanoseconds,
                            find_known(effort, one, other, result.reference)});
  }
  std::sort(result.steps.begin(), result.steps.end(),
            [](const Finding& a, const Finding& b) { return a.ratio > b.ratio; });
  result.seconds = (processor_time() - start) / 1e6;
  return result;
}

// ------------------------------------------------------------------------------------------ report

std::string row(const Sweep& sweep, const Finding& finding, const std::string& first) {
  size_t cheap = finding.step.from, costly = finding.step.to;
  if (sweep.nanoseconds[cheap] > sweep.nanoseconds[costly]) std::swap(cheap, costly);
  char text[512];
  std::snprintf(text, sizeof text, "| %s | %.1f | %s | %.0f | %s | %.0f |\n", first.c_str(),
                finding.ratio, to_string(sweep.grid[cheap]).c_str(), sweep.nanoseconds[cheap],
                to_string(sweep.grid[costly]).c_str(), sweep.nanoseconds[costly]);
  return text;
}

std::string header(const std::string& first) {
  return "| " + first +
         " | ratio | cheaper shape | ns per slot | costlier shape | ns per slot |\n"
         "|---|---|---|---|---|---|\n";
}

// Steps above the limit for which there is no reason.
std::vector<Finding> cliffs_of(const Sweep& sweep, double limit) {
  std::vector<Finding> cliffs;
  for (const Finding& finding : sweep.steps)
    if (finding.ratio > limit && !finding.known) cliffs.push_back(finding);
  return cliffs;
}

// How many steps above the limit each reason explains, and the largest of them.
std::string known_steps(const Sweep& sweep, double limit) {
  std::map<const KnownStep*, std::pair<size_t, Finding>> by_reason;
  for (const Finding& finding : sweep.steps)
    if (finding.ratio > limit && finding.known)
      by_reason.emplace(finding.known, std::pair{0, finding}).first->second.first++;
  std::string rows;
  for (const auto& [known, entry] : by_reason)
    rows += row(sweep, entry.second, known->reason + (" | " + std::to_string(entry.first)));
  return rows;
}

std::string table(const Sweep& sweep, double limit) {
  constexpr size_t kMostRows = 40;
  const std::vector<Finding> cliffs = cliffs_of(sweep, limit);
  const std::string known = known_steps(sweep, limit);
  std::ostringstream out;
  out << "## BEST, " << sweep.effort << "\n\n"
      << sweep.grid.size() << " shapes, " << sweep.steps.size() << " steps, in "
      << std::lround(sweep.seconds) << " s. A slot of " << to_string(kReference) << " takes "
      << std::lround(sweep.reference) << " ns. Steps above " << limit
      << " without a known reason: " << cliffs.size() << ".\n\n";
  if (!cliffs.empty()) out << header("step of");
  for (size_t i = 0; i < std::min(kMostRows, cliffs.size()); i++)
    out << row(sweep, cliffs[i], cliffs[i].step.parameter);
  if (!cliffs.empty()) out << "\n";
  if (!known.empty())
    out << "The largest step of each known reason:\n\n"
        << "| reason | steps | ratio | cheaper shape | ns per slot | costlier shape | ns per slot "
           "|\n"
        << "|---|---|---|---|---|---|---|\n"
        << known << "\n";
  return out.str();
}

std::string heading(const Arguments& arguments) {
  std::ostringstream out;
  out << "# Time per slot from shape to shape\n\n"
      << machine_and_library(arguments.commit) << "\n"
      << "- shapes of up to " << arguments.most_slots << " slots, written experts -> slots/GPUs\n"
      << "- time: a solve of " << kLaws * kLayersOfEachLaw << " layers (" << kLaws << " above "
      << kFewSlots << " slots) from even to steep, per layer and slot, the median\n"
      << "- a step: two shapes that differ by one notch of one parameter\n\n";
  return out.str();
}

std::string all_times(const std::vector<Sweep>& sweeps) {
  std::ostringstream out;
  out << "effort\texperts\tslots\tgpus\tnodes\tgroups\tns_per_slot\n";
  for (const Sweep& sweep : sweeps) {
    for (size_t i = 0; i < sweep.grid.size(); i++) {
      const GridShape& s = sweep.grid[i];
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
  parse_options(
      argc, argv,
      "Looks for cliffs: shapes whose solve costs several times as much per slot as that of a\n"
      "neighbouring shape. The exit status is 1 if there is one that is not known.",
      nullptr,
      {{"efforts", "LIST", "of BEST (FAST,NORMAL,MAX)",
        [&](const char* text) { arguments.efforts = split(text); }},
       {"limit", "RATIO", "above which a step is a cliff (3)", into(arguments.limit)},
       {"most-slots", "N", "of a shape (16384)", into(arguments.most_slots)},
       {"milliseconds", "T", "for each shape, at least; the median time counts (1)",
        into(arguments.milliseconds)},
       {"markdown", "FILE", "write the tables there", into(arguments.markdown)},
       {"tsv", "FILE", "write the time of every shape there", into(arguments.tsv)},
       {"commit", "TEXT", "that the tables name", into(arguments.commit)}});
  return arguments;
}

int run(const Arguments& arguments) {
  std::string text = heading(arguments);
  std::fputs(text.c_str(), stdout);
  std::vector<Sweep> sweeps;
  size_t cliffs = 0;
  for (const std::string& effort : arguments.efforts) {
    sweeps.push_back(sweep(arguments, effort));
    cliffs += cliffs_of(sweeps.back(), arguments.limit).size();
    const std::string found = table(sweeps.back(), arguments.limit);
    std::fputs(found.c_str(), stdout);
    std::fflush(stdout);
    text += found;
  }
  write_file(arguments.markdown, text);
  write_file(arguments.tsv, all_times(sweeps));
  return cliffs > 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  return bench::run_program("eplb_sweep", [&] { return bench::run(bench::parse(argc, argv)); });
}
