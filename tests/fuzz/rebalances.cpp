#include "rebalances.h"

#include <algorithm>
#include <numeric>

#include "expect.h"
#include "failure.h"
#include "figures.h"

namespace eplb::fuzz {
namespace {

// A GPU of a layer, before and after.
struct Row {
  const int64_t *before, *after;
  int64_t places, open;

  static bool has(const int64_t* slots, int64_t count, int64_t expert) {
    return std::find(slots, slots + count, expert) != slots + count;
  }
  int64_t arrivals() const {
    int64_t found = 0;
    for (int64_t i = 0; i < places; ++i)
      found += after[i] >= 0 && !has(after, i, after[i]) && !has(before, places, after[i]);
    return found;
  }
  // An expert that had an open slot and is still on the GPU has one of those that it had.
  bool keeps_slots() const {
    for (int64_t i = 0; i < open; ++i) {
      if (before[i] < 0 || !has(after, places, before[i])) continue;
      bool kept = false;
      for (int64_t slot = 0; slot < open; ++slot)
        kept |= before[slot] == before[i] && after[slot] == before[i];
      if (!kept) return false;
    }
    return true;
  }
};

Row row_of(const Known& known, int64_t layer, int64_t gpu) {
  const KnownPlan& plan = *known.plan;
  const auto at = static_cast<size_t>(layer * plan.problem.num_slots + gpu * plan.gpus.places);
  return {&known.current->expert[at], &plan.placement[at], plan.gpus.places,
          plan.gpus.open[static_cast<size_t>(gpu)]};
}

// The imbalance that is good enough; 0: none.
double target_of(const KnownPlan& plan) {
  const eplb_solve_options& options = plan.options;
  if (policy_of(plan.problem) == EPLB_POLICY_SOFT) return plan.home_target();
  const bool limited =
      options.max_moves >= 0 || options.max_moves_total >= 0 || options.move_price > 0;
  return options.target >= 0 ? options.target : limited ? 0 : 1.02;
}

// In each window, where windows are balanced.
double worst_imbalance(const Judged& judged, int64_t layer) {
  const KnownWeights& weights = judged.weights();
  const std::vector<int64_t> count = counts_of(judged, layer);
  if (judged.problem.objective != EPLB_OBJECTIVE_WINDOWS)
    return loads_of(judged, layer, weights.row(layer), count).imbalance;
  double worst = 1;
  for (int64_t window = 0; window < weights.kept(); ++window)
    worst = std::max(worst, loads_of(judged, layer, weights.row(window, layer), count).imbalance);
  return worst;
}

void check_limits(const Known& known) {
  const KnownPlan& plan = *known.plan;
  const eplb_solve_options& options = plan.options;
  int64_t total = 0;
  for (int64_t layer = 0; layer < plan.layers; ++layer) {
    int64_t moves = 0;
    for (int64_t gpu = 0; gpu < plan.gpus.count(); ++gpu) {
      const Row row = row_of(known, layer, gpu);
      const int64_t arrivals = row.arrivals();
      REQUIRE(options.max_arrivals == 0 || arrivals <= options.max_arrivals);
      REQUIRE(row.keeps_slots());
      moves += arrivals;
    }
    REQUIRE(options.max_moves < 0 || moves <= options.max_moves);
    total += moves;
  }
  REQUIRE(options.max_moves_total < 0 || total <= options.max_moves_total);
}

bool same_rows(const Known& known, int64_t layer) {
  const int64_t slots = known.plan->problem.num_slots;
  const auto first = static_cast<ptrdiff_t>(layer * slots);
  const auto before = known.current->expert.begin() + first;
  return std::equal(before, before + slots, known.plan->placement.begin() + first);
}

// A layer without load, or good enough, keeps every slot, if its placement is one.
void check_unchanged(const Known& known, double target) {
  const KnownPlan& plan = *known.plan;
  constexpr double kNear = 1e-3;  // what whole numbers of a search round away
  const Judged before{known, plan.problem, plan.gpus, known.current->expert, plan.home_target()};
  for (int64_t layer = 0; layer < plan.layers; ++layer) {
    if (!is_placement(before.row(layer), plan.experts, plan.problem, plan.gpus, plan.cap()))
      continue;
    const double* const weight = known.weights->row(layer);
    const bool loaded = std::accumulate(weight, weight + plan.experts, 0.0) > 0;
    const bool good = target > 0 && policy_of(plan.problem) != EPLB_POLICY_SOFT &&
                      worst_imbalance(before, layer) < target - kNear;
    if (!loaded || good)
      REQUIRE(same_rows(known, layer), "layer %lld", static_cast<long long>(layer));
  }
}

void check_target(const Known& known, double target, const eplb_report& report) {
  constexpr double kUnit = 0x1p-20;  // of a target
  const KnownPlan& plan = *known.plan;
  const Judged after{known, plan.problem, plan.gpus, plan.placement, plan.home_target()};
  int64_t least = 0, most = 0;
  for (int64_t layer = 0; target > 0 && layer < plan.layers; ++layer) {
    const double imbalance = worst_imbalance(after, layer);
    // A split is at least as good as the even one.
    least += plan.problem.objective != EPLB_OBJECTIVE_SPLIT && imbalance > target + kUnit;
    most += imbalance > target;
  }
  REQUIRE(report.layers_missed >= least && report.layers_missed <= most);
  REQUIRE(report.moves_bound >= report.moves_forced);
  if (target > 0 && report.layers_missed == 0)
    REQUIRE(report.moves_bound <= report.moves, "bound %lld, moves %lld",
            static_cast<long long>(report.moves_bound), static_cast<long long>(report.moves));
}

}  // namespace

void check_rebalance(const Known& known, const eplb_report& report) {
  REQUIRE(report.moves_forced >= 0 && report.moves_forced <= report.moves);
  if (known.plan->options.strategy != EPLB_STRATEGY_REBALANCE) {
    REQUIRE(report.moves_bound == report.moves_forced && report.layers_missed == 0);
    return;
  }
  const double target = target_of(*known.plan);
  check_limits(known);
  check_unchanged(known, target);
  check_target(known, target, report);
}

}  // namespace eplb::fuzz
