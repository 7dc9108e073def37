#include "core/check_problem.h"

#include <algorithm>

#include "core/error.h"
#include "core/strategy.h"

namespace eplb {
namespace {

constexpr double kDefaultTarget = 1.02, kDefaultSplitTarget = 1.01, kMostImbalance = 1024;

// Counts without a limit of their own have the same meaning from kMaxSlots on.
int whole(int64_t count) { return static_cast<int>(std::min(count, kMaxSlots)); }

// Names the nearest multiples below and above that are at least `least`.
void check_multiple(const char* name, int64_t value, const char* of, int64_t divisor,
                    int64_t least = 1) {
  if (value % divisor == 0) return;
  const int64_t below = value / divisor * divisor, from = std::max(value, least) - 1;
  int64_t above;
  const bool has_above = !__builtin_add_overflow(from - from % divisor, divisor, &above);
  if (has_above && below >= least)
    fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be a multiple of %s = %lld (%lld or %lld)", name,
         ll(value), of, ll(divisor), ll(below), ll(above));
  fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be a multiple of %s = %lld (%lld)", name, ll(value),
       of, ll(divisor), ll(has_above ? above : below));
}

eplb_policy resolve_policy(const eplb_problem& asked, int64_t groups, eplb_policy_reason* reason) {
  switch (asked.policy) {
    case EPLB_POLICY_HIERARCHICAL:
    case EPLB_POLICY_GLOBAL:
    case EPLB_POLICY_SOFT: *reason = EPLB_POLICY_REASON_ASKED; return asked.policy;
    default:
      *reason = groups % asked.num_nodes == 0 ? EPLB_POLICY_REASON_GROUPS_DIVIDE
                                              : EPLB_POLICY_REASON_GROUPS_DO_NOT;
      return groups % asked.num_nodes == 0 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
  }
}

void check_sizes(const eplb_problem& asked) {
  constexpr const char* kWhy = "2^18, the range of exact 32-bit arithmetic";
  check_least("num_slots", asked.num_slots, 1);
  check_least("num_gpus", asked.num_gpus, 1);
  check_least("num_nodes", asked.num_nodes, 1);
  check_most("num_slots", asked.num_slots, kMaxSlots, kWhy);
  check_most("num_gpus", asked.num_gpus, kMaxSlots, kWhy);
}

void check_max_replicas(int64_t cap) {
  check_least("max_replicas", cap, 0);
  check_most("max_replicas", cap, kMaxSlots, "2^18, the most slots there can be");
}

void check_ranges(const eplb_problem& asked) {
  check_sizes(asked);
  check_least("num_groups", asked.num_groups, 0);
  check_constant("policy", asked.policy, EPLB_POLICY_SOFT);
  check_constant("objective", asked.objective, EPLB_OBJECTIVE_SPLIT);
  if (asked.reserved != 0)
    fail(EPLB_INVALID_ARGUMENT, "problem.reserved is %d, must be 0", asked.reserved);
  check_range("off_home_target", asked.off_home_target, 1, kMostImbalance, "");
  check_max_replicas(asked.max_replicas);
}

[[noreturn]] void refuse(const char* asked, eplb_strategy strategy) {
  fail(EPLB_UNAVAILABLE,
       "%s, which strategy %s does not have: EPLB_STRATEGY_BEST and EPLB_STRATEGY_REBALANCE do",
       asked, traits_of(strategy).name);
}
void check_for_splits(const eplb_problem& asked, const eplb_solve_options& options) {
  if (asked.objective != EPLB_OBJECTIVE_SPLIT) return;
  const char* lacks = nullptr;
  if (!traits_of(options.strategy).by_excess)
    refuse("objective is EPLB_OBJECTIVE_SPLIT", options.strategy);
  if (asked.policy == EPLB_POLICY_SOFT) lacks = "EPLB_POLICY_SOFT";
  if (options.strategy == EPLB_STRATEGY_REBALANCE) {
    if (options.max_moves_total >= 0) lacks = "max_moves_total";
    if (options.move_price > 0) lacks = "move_price";
    if (options.allow_empty) lacks = "allow_empty";
  }
  if (lacks)
    fail(EPLB_UNAVAILABLE, "objective is EPLB_OBJECTIVE_SPLIT, which knows no %s: leave it out",
         lacks);
}
void check_wishes(const eplb_problem& asked, const eplb_solve_options& options) {
  const eplb_strategy strategy = options.strategy;
  check_for_splits(asked, options);
  if (traits_of(strategy).by_excess) return;
  if (asked.objective == EPLB_OBJECTIVE_WINDOWS)
    refuse("objective is EPLB_OBJECTIVE_WINDOWS", strategy);
  if (asked.policy == EPLB_POLICY_SOFT) refuse("policy is EPLB_POLICY_SOFT", strategy);
}

void check_hierarchy(const eplb_problem& asked, int64_t experts, int64_t groups) {
  check_multiple("num_groups", groups, "num_nodes", asked.num_nodes);
  check_multiple("num_experts", experts, "num_groups", groups);
  check_multiple("num_gpus", asked.num_gpus, "num_nodes", asked.num_nodes);
}

void check_slots(const eplb_problem& asked, int64_t layers, int64_t experts) {
  check_multiple("num_slots", asked.num_slots, "num_gpus", asked.num_gpus, experts);
  if (asked.num_slots < experts)
    fail(EPLB_INVALID_ARGUMENT, "num_slots is %lld, must be at least num_experts = %lld (%lld)",
         ll(asked.num_slots), ll(experts),
         ll((experts + asked.num_gpus - 1) / asked.num_gpus * asked.num_gpus));
  // What every layer, slot and chain takes is counted in 64 bits.
  if (layers > (int64_t{1} << 50) / asked.num_slots)
    fail(EPLB_INVALID_ARGUMENT, "num_layers * num_slots = %lld * %lld is more than memory can hold",
         ll(layers), ll(asked.num_slots));
}

// Where groups are soft, every expert has a price on every node.
void check_prices(const eplb_problem& asked, int64_t experts) {
  constexpr int64_t kMost = int64_t{1} << 26;
  const int64_t nodes = std::min(asked.num_nodes, asked.num_gpus);
  if (asked.policy == EPLB_POLICY_SOFT && nodes > kMost / experts)
    fail(EPLB_INVALID_ARGUMENT,
         "num_nodes * num_experts = %lld * %lld is above 2^26, the most for EPLB_POLICY_SOFT",
         ll(nodes), ll(experts));
}

void check_bound_kind(eplb_bound_kind kind) {
  check_constant("bound_kind", kind, EPLB_BOUND_NODE);
  if (kind == EPLB_BOUND_NODE)
    fail(EPLB_INVALID_ARGUMENT, "bound_kind is EPLB_BOUND_NODE, which is reported, not asked for");
}

void check_move_limits(const eplb_solve_options& options) {
  check_least("max_moves", options.max_moves, -1);
  check_least("max_moves_total", options.max_moves_total, -1);
  check_least("max_arrivals", options.max_arrivals, 0);
  if (options.target != -1 && options.target != 0)
    check_range("target", options.target, 1, kMostImbalance, "-1, 0 for none, or ");
  check_range("move_price", options.move_price, 0, kMostImbalance, "");
  if (options.allow_empty != 0 && options.allow_empty != 1)
    fail(EPLB_INVALID_ARGUMENT, "allow_empty is %d, must be 0 or 1", options.allow_empty);
}

void check_order(eplb_transfer_order order) {
  check_constant("transfer_order", order, EPLB_TRANSFER_EXCLUSIVE);
}

// 0 is no cap.
int lower_cap(int64_t one, int64_t other) {
  return whole(one > 0 && other > 0 ? std::min(one, other) : std::max(one, other));
}

void check_options(const eplb_solve_options& options) {
  check_constant("strategy", options.strategy, EPLB_STRATEGY_REBALANCE);
  check_constant("effort", options.effort, EPLB_EFFORT_MAX);
  check_order(options.transfer_order);
  check_max_replicas(options.max_replicas);
  check_move_limits(options);
}

void check_speeds(const Cluster& cluster, eplb_strategy strategy) {
  if (cluster.gpu_speed == nullptr || traits_of(strategy).knows_speeds) return;
  fail(EPLB_INVALID_ARGUMENT,
       "strategy is %s, which knows no speeds, but the cluster's GPUs differ in them: all other "
       "strategies take them",
       traits_of(strategy).name);
}

// -1: any. More than every slot is any, too.
int most_moves(int64_t most) {
  const int any = MoveLimits{}.most;
  return most < 0 ? any : static_cast<int>(std::min<int64_t>(most, any));
}

// Rounded down: what is reached in these units is reached.
int in_imbalance_units(double imbalance) { return static_cast<int>(imbalance * kImbalanceUnits); }

// Groups leave home up to a target, so there always is one.
double soft_target(const eplb_problem& asked, const eplb_solve_options& options) {
  const bool own = options.strategy == EPLB_STRATEGY_REBALANCE && options.target > 0;
  return own ? options.target : asked.off_home_target;
}

MoveLimits move_limits(const eplb_problem& asked, const eplb_solve_options& options) {
  const bool limited =
      options.max_moves >= 0 || options.max_moves_total >= 0 || options.move_price > 0;
  double target = options.target < 0 ? limited ? 0 : kDefaultTarget : options.target;
  if (asked.policy == EPLB_POLICY_SOFT) target = soft_target(asked, options);
  if (asked.objective == EPLB_OBJECTIVE_SPLIT && options.strategy == EPLB_STRATEGY_BEST)
    target = options.target > 0 ? options.target : kDefaultSplitTarget;
  return {.most = most_moves(options.max_moves),
          .most_total = options.max_moves_total,
          .most_arrivals = most_moves(options.max_arrivals > 0 ? options.max_arrivals : -1),
          .target = in_imbalance_units(target),
          .price = in_imbalance_units(options.move_price),
          .allow_empty = options.allow_empty != 0};
}

void set_moves(const eplb_problem& asked, const eplb_solve_options& options, Problem& problem) {
  const bool soft = asked.policy == EPLB_POLICY_SOFT;
  problem.moves = move_limits(asked, options);
  if (soft) problem.limits.off_home_target = soft_target(asked, options);
}

// Nodes have equal shares of slots and experts, so one test serves both policies.
void check_cap(int cap, int slots, int64_t experts) {
  const int64_t least = (slots + experts - 1) / experts;
  if (cap > 0 && cap < least)
    fail(EPLB_INVALID_ARGUMENT,
         "max_replicas is %d, too few: %d slots of %lld experts need at least %lld", cap, slots,
         ll(experts), ll(least));
}

Cluster equal_gpus(const eplb_problem& asked) {
  return {.slots = whole(asked.num_slots),
          .gpus = whole(asked.num_gpus),
          .nodes = whole(asked.num_nodes)};
}

}  // namespace

Problem check_problem(const eplb_problem& asked, const ClusterArrays& cluster, int64_t layers,
                      int64_t experts) {
  check_ranges(asked);
  check_num_gpus(cluster, asked.num_gpus);
  const int64_t groups = std::max<int64_t>(asked.num_groups, 1);
  eplb_policy_reason reason;
  const eplb_policy policy = resolve_policy(asked, groups, &reason);
  const bool hierarchical = policy == EPLB_POLICY_HIERARCHICAL;
  if (hierarchical) check_hierarchy(asked, experts, groups);
  check_slots(asked, layers, experts);
  check_prices(asked, experts);
  check_bound_kind(asked.bound_kind);
  const Cluster equal = equal_gpus(asked);
  Problem problem{.layers = layers,
                  .experts = whole(experts),
                  .cluster = equal,
                  .limits = {.policy = policy,
                             .reason = reason,
                             .groups = whole(groups),
                             .off_home_target = asked.off_home_target,
                             .max_replicas = whole(asked.max_replicas),
                             .most_replicas = equal.slots,
                             .refused_above = 0},
                  .partition = {.nodes = hierarchical ? equal.nodes : 1,
                                .groups = hierarchical ? whole(groups) : 1},
                  .options = {.bound_kind = asked.bound_kind}};
  set_cluster(cluster, problem);
  return problem;
}

Problem check_problem(const eplb_problem& asked, const eplb_solve_options& options,
                      const ClusterArrays& cluster, int64_t layers, int64_t experts) {
  Problem problem = check_problem(asked, cluster, layers, experts);
  const int slots = problem.cluster.slots - problem.cluster.closed;
  check_options(options);
  check_wishes(asked, options);
  check_speeds(problem.cluster, options.strategy);
  const int cap = lower_cap(asked.max_replicas, options.max_replicas);
  check_cap(cap, slots, experts);
  problem.options = {.strategy = options.strategy,
                     .effort = options.effort,
                     .seed = options.seed,
                     .bound_kind = asked.bound_kind,
                     .transfer_order = options.transfer_order,
                     .objective = asked.objective};
  set_moves(asked, options, problem);
  problem.limits.max_replicas = cap;
  const bool keeps_cap = traits_of(options.strategy).knows_caps;
  if (cap > 0 && keeps_cap) problem.limits.most_replicas = std::min(cap, slots);
  if (!keeps_cap) problem.limits.refused_above = cap;
  return problem;
}

Problem check_transfers(const eplb_problem& asked, const ClusterArrays& cluster,
                        eplb_transfer_order order, int64_t length) {
  check_sizes(asked);
  check_num_gpus(cluster, asked.num_gpus);
  check_multiple("num_slots", asked.num_slots, "num_gpus", asked.num_gpus);
  check_least("placement_length", length, 1);
  check_multiple("placement_length", length, "num_slots", asked.num_slots);
  check_order(order);
  Problem problem{.layers = length / asked.num_slots,
                  .cluster = equal_gpus(asked),
                  .options = {.transfer_order = order}};
  set_cluster(cluster, problem);
  return problem;
}

}  // namespace eplb
