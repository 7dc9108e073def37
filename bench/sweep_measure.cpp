#include "sweep_measure.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "sweep_weights.h"

namespace bench {
namespace {

constexpr double kEnough = 8000;  // microseconds after which a shape is not solved again
constexpr double kBatch = 100;    // microseconds that one reading of the clock must cover
// Steps between limit / kNear and limit * kNear are measured again, kLongerAgain times as long.
constexpr double kNear = 1.5, kLongerAgain = 10;

// Nanoseconds per slot, the median of several batches.
double measure(const Kind& kind, const Trace& trace, const GridShape& shape, double milliseconds) {
  Call call(kind, trace, shape);
  double spent = call.time(1);
  const int batch = 1 + int(kBatch / std::max(spent, 0.1));
  std::vector<double> times;
  while (times.size() < 3 || spent < 1000 * milliseconds) {
    if (spent > kEnough && (!times.empty() || milliseconds * 1000 < spent)) break;
    times.push_back(call.time(batch));
    spent += times.back() * batch;
  }
  // The first call touches memory for the first time: it counts only where it is long.
  if (times.empty()) times.push_back(spent);
  std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
  return 1000 * times[times.size() / 2] / (double(trace.layers) * shape.slots());
}

class Measurer {
 public:
  explicit Measurer(const Kind& kind) : kind_(kind) {}

  double operator()(const GridShape& shape, double milliseconds) {
    const int layers = shape.slots() > kFewSlots ? 1 : kLayersOfEachLaw;
    const std::pair<int, int> key{shape.experts, layers};
    auto found = traces_.find(key);
    if (found == traces_.end())
      found = traces_.emplace(key, make_weights(shape.experts, layers)).first;
    return measure(kind_, found->second, shape, milliseconds);
  }

 private:
  const Kind& kind_;
  std::map<std::pair<int, int>, Trace> traces_;
};

double ratio_of(const Step& step, const std::vector<double>& times) {
  const auto [less, more] = std::minmax(times[step.from], times[step.to]);
  return more / less;
}

std::vector<Finding> find_steps(const Sweep& sweep, const std::vector<Step>& steps, double slack) {
  std::vector<Finding> findings;
  for (const Step& step : steps) {
    MeasuredShape one{sweep.grid[step.from], sweep.nanoseconds[step.from]};
    MeasuredShape other{sweep.grid[step.to], sweep.nanoseconds[step.to]};
    if (one.nanoseconds > other.nanoseconds) std::swap(one, other);
    findings.push_back({step, other.nanoseconds / one.nanoseconds,
                        find_known(sweep.kind, one, other, slack * sweep.reference)});
  }
  std::sort(findings.begin(), findings.end(),
            [](const Finding& a, const Finding& b) { return a.ratio > b.ratio; });
  return findings;
}

}  // namespace

Sweep sweep(const Kind& kind, const GridSize& size, const SweepOptions& options) {
  const double start = processor_time();
  Sweep result{.kind = kind};
  for (const GridShape& shape : make_grid(size))
    if (fits(kind, shape)) result.grid.push_back(shape);
  Measurer measurer(kind);
  std::vector<double>& times = result.nanoseconds;
  for (const GridShape& shape : result.grid) times.push_back(measurer(shape, options.milliseconds));
  const double longer = kLongerAgain * options.milliseconds;
  result.reference = measurer(kReference, longer);
  const std::vector<Step> steps = neighbours(result.grid);
  std::set<size_t> again;
  for (const Step& step : steps) {
    const double ratio = ratio_of(step, times) / options.limit;
    if (ratio > 1 / kNear && ratio < kNear) again.insert({step.from, step.to});
  }
  result.steps = find_steps(result, steps, options.slack);
  for (const Finding& cliff : cliffs_of(result, options.limit))
    again.insert({cliff.step.from, cliff.step.to});
  for (size_t i : again) times[i] = measurer(result.grid[i], longer);
  result.steps = find_steps(result, steps, options.slack);
  result.seconds = (processor_time() - start) / 1e6;
  return result;
}

std::vector<Finding> cliffs_of(const Sweep& sweep, double limit) {
  std::vector<Finding> cliffs;
  for (const Finding& finding : sweep.steps)
    if (finding.ratio > limit && !finding.known) cliffs.push_back(finding);
  return cliffs;
}

}  // namespace bench
