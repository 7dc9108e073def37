#include <algorithm>

#include "failure.h"
#include "plans.h"
#include "program.h"

namespace eplb::fuzz {
namespace {

void upload_cluster(Subject& subject, const KnownCluster& cluster) {
  subject.must(Call::kUploadCluster, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_cluster(context, or_null(cluster.slots), or_null(cluster.speeds),
                               or_null(cluster.nodes), cluster.gpus, err);
  });
}

void upload_prices(Subject& subject, const KnownPrices& prices) {
  subject.must(Call::kUploadPrices, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_prices(context, or_null(prices.prices), prices.nodes * prices.columns,
                              prices.nodes, prices.columns, err);
  });
}

void upload_window_weights(Subject& subject, const std::vector<double>& weights) {
  subject.must(Call::kUploadWindowWeights, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_window_weights(context, or_null(weights),
                                      static_cast<int64_t>(weights.size()), err);
  });
}

// Of one layer. Where windows are not balanced apart, their sum is enough: `sum`.
void upload_layer(Subject& subject, const KnownWeights& weights, int64_t layer, bool sum) {
  const int64_t windows = sum ? 1 : weights.windows;
  std::vector<double> rows;
  for (int64_t window = 0; window < windows; ++window) {
    const double* const row = sum ? weights.row(layer) : weights.row(window, layer);
    rows.insert(rows.end(), row, row + weights.experts);
  }
  subject.must(Call::kUploadWeights, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_weights(context, rows.data(), static_cast<int64_t>(rows.size()),
                               EPLB_FLOAT64, windows, 1, weights.experts, err);
  });
}

void upload_current(Subject& subject, const int64_t* row, int64_t slots) {
  subject.must(Call::kUploadPlacement, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_placement(context, row, slots, EPLB_INT64, 1, slots, err);
  });
}

}  // namespace

// The answer for a layer does not depend on others, but for a limit on the moves of all.
void solve_alone(Program& program) {
  const Known& known = program.subject().known;
  if (!known.plan || known.plan->options.max_moves_total >= 0) return;
  // Of the largest integers, only the nearest doubles are known.
  if (known.weights->dtype == EPLB_INT64) return;
  const KnownPlan& plan = *known.plan;
  const int64_t layer = program.bytes.below(plan.layers), slots = plan.problem.num_slots;
  trace("solve layer %lld alone", static_cast<long long>(layer));
  Subject alone(1, 0, 0);
  upload_layer(alone, *known.weights, layer,
               plan.problem.objective != EPLB_OBJECTIVE_WINDOWS && program.bytes.one_in(2));
  upload_cluster(alone, known.cluster);
  if (known.prices) upload_prices(alone, *known.prices);
  upload_window_weights(alone, known.window_weights);
  if (plan.has_current)
    upload_current(alone, &known.current->expert[static_cast<size_t>(layer * slots)], slots);
  alone.must(Call::kSolve, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_solve(context, &plan.problem, &plan.options, err);
  });
  const std::vector<int64_t> row = alone.fetch_whole(EPLB_MAP_PHYSICAL_TO_LOGICAL, slots);
  REQUIRE(std::equal(row.begin(), row.end(), plan.placement.begin() + layer * slots));
}

}  // namespace eplb::fuzz
