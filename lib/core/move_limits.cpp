#include "core/move_limits.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"

namespace eplb {
namespace {

int slots_of(const Cluster& cluster, int64_t gpu) {
  return cluster.gpu_slots ? cluster.gpu_slots[gpu] : cluster.slots / cluster.gpus;
}

// What an expert of the current placement is on: how many GPUs that have slots, and the last one.
struct Holders {
  int64_t count = 0, last = -1;
};

std::vector<Holders> holders_of(const Problem& problem, int64_t layer) {
  std::vector<Holders> holders(static_cast<size_t>(problem.experts));
  const int64_t slots = problem.cluster.slots, each = slots / problem.cluster.gpus;
  for (int64_t slot = 0; slot < slots; ++slot) {
    const int64_t gpu = slot / each;
    const int32_t expert = problem.current.expert[layer * slots + slot];
    if (expert < 0 || slots_of(problem.cluster, gpu) == 0) continue;
    Holders& of = holders[static_cast<size_t>(expert)];
    if (of.last == gpu) continue;  // in a lower slot, too
    ++of.count;
    of.last = gpu;
  }
  return holders;
}

struct Arrivals {
  int64_t all = 0, most = 0;  // most: of a GPU
};
// Experts of the plan that a GPU lacked.
Arrivals arrivals_of(const Plan& plan, int64_t layer) {
  const Problem& problem = plan.problem;
  const int64_t slots = problem.cluster.slots, each = slots / problem.cluster.gpus;
  const int32_t* before = problem.current.expert + layer * slots;
  const int32_t* after = plan.physical_to_logical.data() + layer * slots;
  std::vector<int64_t> seen_on(static_cast<size_t>(problem.experts), -1);  // by expert: a GPU
  Arrivals arrivals;
  for (int64_t gpu = 0; gpu < problem.cluster.gpus; ++gpu) {
    const int64_t first = gpu * each, end = first + each;
    for (int64_t slot = first; slot < end; ++slot)
      if (before[slot] >= 0) seen_on[static_cast<size_t>(before[slot])] = gpu;
    int64_t own = 0;
    for (int64_t slot = first; slot < end; ++slot)
      if (after[slot] >= 0)
        own += std::exchange(seen_on[static_cast<size_t>(after[slot])], gpu) != gpu;
    arrivals.all += own;
    arrivals.most = std::max(arrivals.most, own);
  }
  return arrivals;
}

void check_layer(const Plan& plan, int64_t layer) {
  const Problem& problem = plan.problem;
  const MoveLimits& limits = problem.moves;
  const auto [moves, most] = arrivals_of(plan, layer);
  if (most > limits.most_arrivals)
    fail(EPLB_INVALID_ARGUMENT,
         "max_arrivals is %d, too few for the forced moves of layer %lld: no placement within it "
         "was found",
         limits.most_arrivals, ll(layer));
  const int limit = limits.layer_most ? limits.layer_most[layer] : limits.most;
  if (moves > limit)
    fail(EPLB_INVALID_ARGUMENT,
         "max_moves leaves %d to layer %lld, too few for its forced moves: no placement with less "
         "than %lld was found",
         limit, ll(layer), ll(moves));
  const int32_t* const counts = &plan.replica_count[layer * problem.experts];
  const int32_t* const largest = std::max_element(counts, counts + problem.experts);
  if (*largest > problem.limits.most_replicas)
    fail(EPLB_INVALID_ARGUMENT,
         "max_replicas is %d, but layer %lld of the current placement has expert %lld in %d slots, "
         "and a rebalance takes no replica away for that",
         problem.limits.most_replicas, ll(layer), ll(largest - counts), *largest);
}

}  // namespace

int64_t forced_moves(const Problem& problem, int64_t layer) {
  std::vector<int64_t> alone(static_cast<size_t>(problem.cluster.gpus));
  int64_t forced = 0;
  for (const Holders& of : holders_of(problem, layer)) {
    forced += of.count == 0;
    if (of.count == 1) ++alone[static_cast<size_t>(of.last)];
  }
  for (int64_t gpu = 0; gpu < problem.cluster.gpus; ++gpu)
    forced +=
        std::max<int64_t>(0, alone[static_cast<size_t>(gpu)] - slots_of(problem.cluster, gpu));
  return forced;
}

void check_forced_moves(const Problem& problem) {
  int64_t total = 0;
  const MoveLimits& limits = problem.moves;
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    const int64_t forced = forced_moves(problem, layer);
    if (forced > limits.most)
      fail(EPLB_INVALID_ARGUMENT,
           "max_moves is %d, but layer %lld takes %lld: the number of its experts that are nowhere "
           "they can stay",
           limits.most, ll(layer), ll(forced));
    total += forced;
  }
  if (limits.most_total >= 0 && total > limits.most_total)
    fail(
        EPLB_INVALID_ARGUMENT,
        "max_moves_total is %lld, but the layers take %lld: the number of experts that are nowhere "
        "they can stay",
        ll(limits.most_total), ll(total));
}

bool shares_moves(const Problem& problem) {
  return problem.options.strategy == EPLB_STRATEGY_REBALANCE && problem.moves.most_total >= 0;
}

bool moves_for_splits(const Problem& problem) {
  return problem.options.strategy == EPLB_STRATEGY_REBALANCE &&
         problem.options.objective == EPLB_OBJECTIVE_SPLIT;
}

bool has_limits(const Problem& problem) {
  const MoveLimits& limits = problem.moves;
  return problem.options.strategy == EPLB_STRATEGY_REBALANCE &&
         (limits.most < problem.cluster.slots || limits.most_total >= 0 ||
          limits.most_arrivals < problem.cluster.slots ||
          problem.limits.most_replicas < problem.cluster.slots);
}

void check_move_limits(const Plan& plan) {
  for (int64_t layer = 0; layer < plan.problem.layers; ++layer) check_layer(plan, layer);
}

}  // namespace eplb
