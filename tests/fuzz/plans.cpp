#include "plans.h"

#include <algorithm>
#include <set>
#include <utility>

#include "expect.h"
#include "failure.h"

namespace eplb::fuzz {
namespace {

const int64_t* row_of(const std::vector<int64_t>& array, int64_t layer, int64_t width) {
  return &array[static_cast<size_t>(layer * width)];
}

// Counts and replicas say what the placement says, and slots without an expert come last.
void check_replicas(const KnownPlan& plan, int64_t layer) {
  const int64_t slots = plan.problem.num_slots;
  const int64_t* const placement = row_of(plan.placement, layer, slots);
  const int64_t* replica = row_of(plan.replica_slots, layer, slots);
  const int64_t* const end = replica + slots;
  std::set<int64_t> taken;
  for (int64_t expert = 0; expert < plan.experts; ++expert) {
    const int64_t count = row_of(plan.counts, layer, plan.experts)[expert];
    REQUIRE(count >= 1 && count <= end - replica);
    for (int64_t left = count; left > 0; --left, ++replica)
      REQUIRE(*replica >= 0 && *replica < slots && placement[*replica] == expert &&
              taken.insert(*replica).second);
  }
  REQUIRE(std::count(placement, placement + slots, -1) == end - replica);
  REQUIRE(std::count(replica, end, -1) == end - replica);
}

// Open slots hold something, unless they may be empty.
void check_open_slots(const KnownPlan& plan) {
  const bool rebalances = plan.options.strategy == EPLB_STRATEGY_REBALANCE;
  const bool soft =
      plan.options.strategy == EPLB_STRATEGY_BEST && policy_of(plan.problem) == EPLB_POLICY_SOFT;
  if (rebalances || (soft && plan.options.allow_empty)) return;
  for (size_t i = 0; i < plan.placement.size(); ++i) {
    const int64_t slot = static_cast<int64_t>(i) % plan.problem.num_slots;
    REQUIRE(plan.placement[i] >= 0 || !plan.gpus.is_open(slot));
  }
}

// Replica order included: what a fingerprint stands for.
bool are_same(const KnownPlan& one, const KnownPlan& other) {
  return one.layers == other.layers && one.experts == other.experts &&
         one.problem.num_slots == other.problem.num_slots &&
         one.problem.num_gpus == other.problem.num_gpus && one.placement == other.placement &&
         one.replica_slots == other.replica_slots;
}

void fetch_plan(Subject& subject) {
  KnownPlan& plan = *subject.known.plan;
  const int64_t length = plan.layers * plan.problem.num_slots;
  plan.placement = subject.fetch_whole(EPLB_MAP_PHYSICAL_TO_LOGICAL, length);
  plan.counts = subject.fetch_whole(EPLB_MAP_REPLICA_COUNT, plan.layers * plan.experts);
  plan.replica_slots = subject.fetch_whole(EPLB_MAP_REPLICA_SLOTS, length);
  subject.must(Call::kFingerprint, {{&plan.fingerprint, sizeof plan.fingerprint}},
               [&](eplb_context* context, eplb_error* err) {
                 return eplb_fingerprint(context, &plan.fingerprint, err);
               });
  trace_numbers("plan", plan.placement);
}

}  // namespace

KnownReserve sizes_of(const Known& known) {
  return {known.weights->windows, known.plan->layers, known.plan->experts, known.plan->problem,
          known.plan->options};
}

Dims dims_of(eplb_map map, const KnownReserve& sizes) {
  const int64_t slots = sizes.problem.num_slots, layers = sizes.layers;
  const int64_t cap = lower_cap(sizes.problem.max_replicas, sizes.options.max_replicas);
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL:
    case EPLB_MAP_REPLICA_SLOTS:
    case EPLB_MAP_MOVE_SOURCE:
    case EPLB_MAP_MOVE_ROUND:
    case EPLB_MAP_MOVE_GROUP: return {2, {layers, slots, 1, 1}};
    case EPLB_MAP_LOGICAL_TO_PHYSICAL:
      return {3, {layers, sizes.experts, cap > 0 ? cap : slots - sizes.experts + 1, 1}};
    case EPLB_MAP_REPLICA_COUNT: return {2, {layers, sizes.experts, 1, 1}};
    case EPLB_MAP_GPU_LOAD: return {2, {layers, sizes.problem.num_gpus, 1, 1}};
    case EPLB_MAP_WINDOW_IMBALANCE:
    case EPLB_MAP_WINDOW_BOUND: return {2, {layers, sizes.windows, 1, 1}};
    default: return {1, {layers, 1, 1, 1}};
  }
}

void take_plan(Subject& subject, const eplb_problem& problem, const eplb_solve_options& options) {
  Known& known = subject.known;
  const std::optional<KnownPlan> earlier = std::move(known.plan);
  KnownPlan& plan = known.plan.emplace();
  plan.problem = problem;
  plan.options = options;
  plan.layers = known.weights->layers;
  plan.experts = known.weights->experts;
  plan.gpus = gpus_of(known.cluster, problem);
  plan.has_current = known.current.has_value();
  fetch_plan(subject);
  if (earlier) REQUIRE(are_same(*earlier, plan) == (earlier->fingerprint == plan.fingerprint));
  for (int64_t layer = 0; layer < plan.layers; ++layer) {
    const int64_t* const row = row_of(plan.placement, layer, problem.num_slots);
    REQUIRE(is_placement(row, plan.experts, problem, plan.gpus, plan.cap()));
    check_replicas(plan, layer);
  }
  check_open_slots(plan);
}

}  // namespace eplb::fuzz
