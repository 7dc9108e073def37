#include <algorithm>
#include <numeric>

#include "expect.h"
#include "failure.h"
#include "plans.h"
#include "rebalances.h"
#include "transfers.h"

namespace eplb::fuzz {
namespace {

Judged judged_of(const Known& known) {
  const KnownPlan& plan = *known.plan;
  return {known, plan.problem, plan.gpus, plan.placement, plan.home_target()};
}

eplb_report fetch_report(Subject& subject) {
  eplb_report report;
  note(Call::kReportInit);
  REQUIRE(eplb_report_init(&report, sizeof report, nullptr) == EPLB_OK);
  subject.must(Call::kFetchReport, {{&report, sizeof report, true}},
               [&](eplb_context* context, eplb_error* err) {
                 return eplb_fetch_report(context, &report, err);
               });
  return report;
}

std::vector<int64_t> logical_to_physical(const KnownPlan& plan, int64_t width) {
  std::vector<int64_t> map(static_cast<size_t>(plan.layers * plan.experts * width), -1);
  for (int64_t layer = 0; layer < plan.layers; ++layer) {
    int64_t at = layer * plan.problem.num_slots;
    for (int64_t row = layer * plan.experts; row < (layer + 1) * plan.experts; ++row)
      for (int64_t i = 0; i < plan.counts[static_cast<size_t>(row)]; ++i, ++at)
        map[static_cast<size_t>(row * width + i)] = plan.replica_slots[static_cast<size_t>(at)];
  }
  return map;
}

std::vector<int64_t> whole_of(const Known& known, eplb_map map) {
  const KnownPlan& plan = *known.plan;
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL: return plan.placement;
    case EPLB_MAP_REPLICA_COUNT: return plan.counts;
    case EPLB_MAP_REPLICA_SLOTS: return plan.replica_slots;
    case EPLB_MAP_LOGICAL_TO_PHYSICAL:
      return logical_to_physical(plan, dims_of(map, sizes_of(known)).dims[2]);
    default: break;
  }
  std::vector<int64_t> duplicates;
  const Judged judged = judged_of(known);
  for (int64_t layer = 0; layer < plan.layers; ++layer)
    duplicates.push_back(places_of(judged, layer, counts_of(judged, layer)).duplicates);
  return duplicates;
}

// It does not change while there is the plan.
void keep(std::vector<double>& kept, const std::vector<double>& bound) {
  if (kept.empty()) kept = bound;
  REQUIRE(kept == bound);
}

void check_real(Subject& subject, eplb_map map, const std::vector<double>& values) {
  KnownPlan& plan = *subject.known.plan;
  const Judged judged = judged_of(subject.known);
  switch (map) {
    case EPLB_MAP_BOUND:
      check_bounds(judged, figures_of(judged), values);
      return keep(plan.bound, values);
    case EPLB_MAP_WINDOW_BOUND:
      check_window_figures(judged, {}, values);
      return keep(plan.window_bound, values);
    case EPLB_MAP_WINDOW_IMBALANCE: return check_window_figures(judged, values, {});
    case EPLB_MAP_OFF_HOME: return check_off_home(judged, values, {});
    case EPLB_MAP_OFF_HOME_BOUND: return check_off_home(judged, {}, values);
    default: break;
  }
  std::vector<double> expected;
  for (const Loads& loads : figures_of(judged).loads)
    if (map == EPLB_MAP_IMBALANCE)
      expected.push_back(loads.imbalance);
    else
      expected.insert(expected.end(), loads.of_gpu.begin(), loads.of_gpu.end());
  REQUIRE(values == expected);
}

// Means and worst of maps that were fetched.
void check_homes(const KnownPlan& plan, const std::vector<double>& share,
                 const std::vector<double>& bound, const eplb_report& report) {
  const auto loaded = static_cast<double>(plan.layers - report.num_empty_layers);
  const auto mean = [&](const std::vector<double>& values) {
    return loaded > 0 ? std::accumulate(values.begin(), values.end(), 0.0) / loaded : 0;
  };
  REQUIRE(report.off_home_mean == mean(share) && report.off_home_bound_mean == mean(bound));
  REQUIRE(report.off_home_worst == *std::max_element(share.begin(), share.end()));
}

}  // namespace

void check_map(Subject& subject, eplb_map map) {
  const int64_t length = dims_of(map, sizes_of(subject.known)).elements();
  if (length > kMostElements) return;
  if (is_real(map)) return check_real(subject, map, subject.fetch_real(map, length));
  const std::vector<int64_t> expected = whole_of(subject.known, map);
  REQUIRE(subject.fetch_whole(map, length) == expected);
  const std::vector<int32_t> narrow = subject.fetch<int32_t>(map, EPLB_INT32, length);
  REQUIRE(std::equal(narrow.begin(), narrow.end(), expected.begin(), expected.end()));
}

void check_moves(Subject& subject) {
  const KnownPlan& plan = *subject.known.plan;
  if (!plan.has_current) return;
  const auto fetch = [&](eplb_map map) {
    return subject.fetch_whole(map, dims_of(map, sizes_of(subject.known)).elements());
  };
  const TransferMaps maps{fetch(EPLB_MAP_MOVE_SOURCE), fetch(EPLB_MAP_MOVE_ROUND),
                          fetch(EPLB_MAP_MOVE_GROUP)};
  std::vector<int64_t> counts;
  const MoveFigures figures = carry_out(subject.known.current->expert, plan.placement, maps,
                                        plan.gpus, plan.options.transfer_order, &counts);
  REQUIRE(counts == fetch(EPLB_MAP_MOVE_COUNT));
  check_report(figures, fetch_report(subject));
}

void check_plan(Subject& subject) {
  for (eplb_map map = 0; map <= EPLB_MAP_OFF_HOME_BOUND; ++map)
    if (!is_of_moves(map) && !(is_of_windows(map) && subject.known.weights->kept() == 0))
      check_map(subject, map);
  check_moves(subject);
  const KnownPlan& plan = *subject.known.plan;
  const Judged judged = judged_of(subject.known);
  const eplb_report report = fetch_report(subject);
  check_report(judged, figures_of(judged), plan.bound, report);
  const int64_t layers = plan.layers;
  check_homes(plan, subject.fetch_real(EPLB_MAP_OFF_HOME, layers),
              subject.fetch_real(EPLB_MAP_OFF_HOME_BOUND, layers), report);
  REQUIRE(report.strategy == plan.options.strategy);
  if (plan.options.strategy == EPLB_STRATEGY_BEST && plan.gpus.places <= 64) {
    int64_t fewest = 0;
    for (int64_t layer = 0; layer < layers; ++layer) fewest += fewest_duplicates(judged, layer);
    REQUIRE(report.duplicates == fewest);
  }
  if (plan.has_current) check_rebalance(subject.known, report);
}

}  // namespace eplb::fuzz
