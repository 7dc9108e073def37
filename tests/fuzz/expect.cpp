#include "expect.h"

#include <algorithm>
#include <vector>

namespace eplb::fuzz {
namespace {

bool is_imbalance(double value, double least) { return value >= least && value <= 1024; }
bool is_cap(int64_t cap) { return cap >= 0 && cap <= kMostSlots; }

bool are_legal_ranges(const eplb_problem& problem) {
  return problem.num_slots >= 1 && problem.num_slots <= kMostSlots && problem.num_gpus >= 1 &&
         problem.num_gpus <= kMostSlots && problem.num_nodes >= 1 && problem.num_groups >= 0 &&
         problem.policy >= EPLB_POLICY_AUTO && problem.policy <= EPLB_POLICY_SOFT &&
         problem.bound_kind >= EPLB_BOUND_SIMPLE && problem.bound_kind <= EPLB_BOUND_THRESHOLD &&
         problem.objective >= EPLB_OBJECTIVE_SUM && problem.objective <= EPLB_OBJECTIVE_SPLIT &&
         problem.reserved == 0 && is_imbalance(problem.off_home_target, 1) &&
         is_cap(problem.max_replicas);
}

// A hierarchical policy solves one node for all.
bool are_equal_nodes(const Gpus& gpus, int64_t nodes) {
  const int64_t each = gpus.count() / nodes;
  for (int64_t gpu = 0; gpu < gpus.count(); ++gpu) {
    const auto own = static_cast<size_t>(gpu), first = static_cast<size_t>(gpu % each);
    if (gpus.node[own] != gpu / each || gpus.open[own] != gpus.open[first]) return false;
    if (!gpus.speed.empty() && gpus.speed[own] != gpus.speed[first]) return false;
  }
  return true;
}

bool is_legal_cluster(const KnownCluster& cluster, const eplb_problem& problem, int64_t experts) {
  if (cluster.gpus == 0) return true;
  if (cluster.gpus != problem.num_gpus) return false;
  const Gpus gpus = gpus_of(cluster, problem);
  if (std::any_of(gpus.open.begin(), gpus.open.end(),
                  [&](int64_t open) { return open > gpus.places; }) ||
      std::any_of(gpus.node.begin(), gpus.node.end(),
                  [&](int64_t node) { return node >= problem.num_nodes; }))
    return false;
  if (gpus.open_slots < experts) return false;
  return !is_hierarchical(problem) || problem.num_nodes == 1 ||
         are_equal_nodes(gpus, problem.num_nodes);
}

bool are_legal_ranges(const eplb_solve_options& options) {
  return options.strategy >= EPLB_STRATEGY_GREEDY && options.strategy <= EPLB_STRATEGY_REBALANCE &&
         options.effort >= EPLB_EFFORT_FAST && options.effort <= EPLB_EFFORT_MAX &&
         options.transfer_order >= EPLB_TRANSFER_BUFFERED &&
         options.transfer_order <= EPLB_TRANSFER_EXCLUSIVE && is_cap(options.max_replicas) &&
         options.max_moves >= -1 && options.max_moves_total >= -1 && options.max_arrivals >= 0 &&
         (options.target == -1 || options.target == 0 || is_imbalance(options.target, 1)) &&
         is_imbalance(options.move_price, 0) &&
         (options.allow_empty == 0 || options.allow_empty == 1);
}

// What a problem and options must be with each other.
bool can_be_for_splits(const eplb_problem& problem, const eplb_solve_options& options) {
  if (problem.policy == EPLB_POLICY_SOFT) return false;
  if (options.strategy != EPLB_STRATEGY_REBALANCE) return options.strategy == EPLB_STRATEGY_BEST;
  return options.max_moves_total < 0 && options.move_price == 0 && options.allow_empty == 0;
}

bool are_legal_together(const Known& known, const eplb_problem& problem,
                        const eplb_solve_options& options, int64_t windows, int64_t experts) {
  if (!are_legal_ranges(options)) return false;
  const bool by_excess = options.strategy >= EPLB_STRATEGY_BEST;
  const bool of_windows = problem.objective == EPLB_OBJECTIVE_WINDOWS;
  if (!by_excess && (of_windows || problem.policy == EPLB_POLICY_SOFT)) return false;
  if (problem.objective == EPLB_OBJECTIVE_SPLIT && !can_be_for_splits(problem, options))
    return false;
  const Gpus gpus = gpus_of(known.cluster, problem);
  if (options.strategy == EPLB_STRATEGY_GREEDY && !gpus.speed.empty()) return false;
  const int64_t cap = lower_cap(problem.max_replicas, options.max_replicas);
  if (cap > 0 && cap * experts < gpus.open_slots) return false;
  if (!of_windows) return true;
  return windows <= kMostWindows && (known.window_weights.empty() ||
                                     static_cast<int64_t>(known.window_weights.size()) == windows);
}

bool current_fits(const KnownCurrent& current, const eplb_problem& problem, int64_t layers,
                  int64_t experts) {
  return current.layers == layers && current.slots == problem.num_slots &&
         std::all_of(current.expert.begin(), current.expert.end(),
                     [&](int64_t expert) { return expert < experts; });
}

}  // namespace

bool is_legal_problem(const eplb_problem& problem, const KnownCluster& cluster, int64_t layers,
                      int64_t experts) {
  if (!are_legal_ranges(problem) || problem.num_slots % problem.num_gpus != 0 ||
      problem.num_slots < experts || layers > (int64_t{1} << 50) / problem.num_slots)
    return false;
  if (is_hierarchical(problem) &&
      (groups_of(problem) % problem.num_nodes != 0 || experts % groups_of(problem) != 0 ||
       problem.num_gpus % problem.num_nodes != 0))
    return false;
  return is_legal_cluster(cluster, problem, experts);
}

bool prices_fit(const Known& known, const eplb_problem& problem, int64_t experts) {
  if (!known.prices || problem.policy != EPLB_POLICY_SOFT) return true;
  return known.prices->nodes == problem.num_nodes &&
         (known.prices->columns == experts || known.prices->columns == groups_of(problem));
}

Wanted expect_solve(const Known& known, const eplb_problem& problem,
                    const eplb_solve_options& options) {
  if (!known.weights) return Wanted::kRefusal;
  const KnownWeights& weights = *known.weights;
  if (!is_legal_problem(problem, known.cluster, weights.layers, weights.experts) ||
      !are_legal_together(known, problem, options, weights.windows, weights.experts) ||
      !prices_fit(known, problem, weights.experts))
    return Wanted::kRefusal;
  if (known.current && !current_fits(*known.current, problem, weights.layers, weights.experts))
    return Wanted::kRefusal;
  const int64_t cap = lower_cap(problem.max_replicas, options.max_replicas);
  if (options.strategy == EPLB_STRATEGY_GREEDY)
    return cap > 0 || !weights.fits_float32 ? Wanted::kEither : Wanted::kSuccess;
  if (options.strategy != EPLB_STRATEGY_REBALANCE) return Wanted::kSuccess;
  if (!known.current) return Wanted::kRefusal;
  const bool limited =
      options.max_moves >= 0 || options.max_moves_total >= 0 || options.max_arrivals > 0 || cap > 0;
  return limited ? Wanted::kEither : Wanted::kSuccess;
}

Wanted expect_reserve(const Known& known, const KnownReserve& asked) {
  return is_legal_problem(asked.problem, known.cluster, asked.layers, asked.experts) &&
                 are_legal_together(known, asked.problem, asked.options, asked.windows,
                                    asked.experts) &&
                 prices_fit(known, asked.problem, asked.experts)
             ? Wanted::kSuccess
             : Wanted::kRefusal;
}

// Every group on one node, and as many groups on each.
static bool are_groups_on_nodes(const int64_t* row, int64_t experts, const eplb_problem& problem) {
  const int64_t groups = groups_of(problem), nodes = problem.num_nodes;
  std::vector<int64_t> home(static_cast<size_t>(groups), -1), own(static_cast<size_t>(nodes));
  for (int64_t slot = 0; slot < problem.num_slots; ++slot) {
    if (row[slot] < 0) continue;
    const int64_t node = slot / (problem.num_slots / nodes);
    int64_t& known = home[static_cast<size_t>(row[slot] * groups / experts)];
    if (known < 0) ++own[static_cast<size_t>(node)];
    if (known >= 0 && known != node) return false;
    known = node;
  }
  return std::all_of(own.begin(), own.end(),
                     [&](int64_t count) { return count == groups / nodes; });
}

bool is_placement(const int64_t* row, int64_t experts, const eplb_problem& problem,
                  const Gpus& gpus, int64_t cap) {
  std::vector<int64_t> count(static_cast<size_t>(experts));
  for (int64_t slot = 0; slot < problem.num_slots; ++slot) {
    const int64_t expert = row[slot];
    if (expert < -1 || expert >= experts || (expert >= 0 && !gpus.is_open(slot))) return false;
    if (expert >= 0) ++count[static_cast<size_t>(expert)];
  }
  return std::all_of(count.begin(), count.end(),
                     [&](int64_t own) { return own > 0 && (cap == 0 || own <= cap); }) &&
         (!is_hierarchical(problem) || are_groups_on_nodes(row, experts, problem));
}

}  // namespace eplb::fuzz
