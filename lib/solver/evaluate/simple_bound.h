// The bound that every report can afford: the mean load, the largest replica, and arguments about
// large replicas that must meet on a GPU. No placement can beat it, ones with duplicates on a GPU
// included.
#pragma once

#include "solver/evaluate/pigeonhole.h"

EPLB_STAGE_BEGIN

// The largest replica of the counts that make it least: every extra goes to the largest weight per
// replica (Jefferson, D'Hondt). Then it is the (extras + 1)-th largest of all weight / copies,
// whatever the order among equal ones. The weights of the extras + 1 heaviest experts are such
// quotients, so lighter experts cannot change it. Where experts can have fewer copies, those
// of the heaviest weigh at least as much as with all that it can have.
EPLB_FN double largest_replica(Team auto& team, const Problem& problem,
                               const BoundWorkspace& workspace) {
  const View<double> weight = workspace.descending;
  const int extras = open_slots(problem.cluster) - problem.experts;
  const int candidates = smaller(problem.experts, extras + 1);
  auto key_of = [](double share) { return kNever64 - 1 - bits_of(share); };
  team.for_each(candidates, [&](int i) {
    workspace.key[i] = key_of(weight[i]);
    workspace.copies[i] = 1;
  });
  team.serve(candidates, workspace.key, extras,
             [&](int, int i, int64_t) { return key_of(weight[i] / ++workspace.copies[i]); });
  auto share_of = [&](int i) { return bits_of(weight[i] / workspace.copies[i]); };
  return larger(of_bits(team.max_of(candidates, share_of)), weight[0] / most_copies(problem));
}

// No redundancy: the m heaviest experts are on m GPUs, which hold (K-1) m others too, or two of
// them share one.
EPLB_FN double heaviest_together(View<double> descending, int experts, int gpus, int per_gpu) {
  double smallest = 0;  // the K - 2 smallest
  for (int k = 0; k + 2 < per_gpu; ++k) smallest += descending[experts - 1 - k];
  double top = descending[0], rest = 0, best = 0;
  int next = experts - 1;
  for (int k = 0; k < per_gpu - 1; ++k) rest += descending[next--];
  for (int m = 2; m <= gpus; ++m) {
    top += descending[m - 1];
    for (int k = 0; k < per_gpu - 1; ++k) rest += descending[next--];
    best =
        larger(best, smaller((top + rest) / m, descending[m - 1] + descending[m - 2] + smallest));
  }
  return best;
}

// The largest load, from `bound` on, that the pigeonhole argument for j refutes.
EPLB_FN double raise_bound(Team auto& team, Pigeonhole& pigeonhole, double bound, int j) {
  constexpr int kBisections = 50;
  if (pigeonhole.reachable(team, bound * (1 - 1e-12), j)) return bound;
  double low = bound, high = 1.5 * bound;
  while (!pigeonhole.reachable(team, high, j)) {
    low = high;
    high = 1.5 * low;
  }
  for (int i = 0; i < kBisections; ++i) {
    const double middle = low + (high - low) / 2;
    (pigeonhole.reachable(team, middle, j) ? high : low) = middle;
  }
  return low;
}

// Sets workspace.descending.
EPLB_FN void sort_weights(Team auto& team, const Problem& problem,
                          const BoundWorkspace& workspace) {
  const View<double> weight = workspace.weight;
  team.order(problem.experts, workspace.order, [&](int e) { return largest_first(weight[e]); });
  team.for_each(problem.experts,
                [&](int i) { workspace.descending[i] = weight[workspace.order[i]]; });
}

// Replicas that GPUs can hold with at most j on each.
EPLB_FN int64_t most_together(Team auto& team, const Cluster& cluster, int j) {
  if (cluster.gpu_slots == nullptr) return int64_t{j} * cluster.gpus;
  return team.sum_of(cluster.gpus, [&](int gpu) { return smaller(open_slots(cluster, gpu), j); });
}

EPLB_FN double fastest_speed(Team auto& team, const Cluster& cluster) {
  return of_bits(team.max_of(cluster.gpus, [&](int gpu) {
    return open_slots(cluster, gpu) > 0 ? bits_of(cluster.gpu_speed[gpu]) : int64_t{0};
  }));
}

// No largest load is below `least`, nor below what this returns. filled: only of placements without
// empty slots?
EPLB_FN double bound_of_loads(Team auto& team, const Problem& problem,
                              const BoundWorkspace& workspace, bool filled, double least) {
  constexpr int kDepth = 64;  // with more replicas on a GPU they even out; looking costs K for each
  const Cluster& cluster = problem.cluster;
  const bool equal = !is_unequal(cluster);
  Pigeonhole pigeonhole{
      workspace.descending,   problem.experts,      open_slots(cluster) - problem.experts,
      slots_per_gpu(cluster), most_copies(problem), equal && filled};
  double bound = larger(least, largest_replica(team, problem, workspace));
  for (int j = 0; j < smaller(pigeonhole.per_gpu, kDepth); ++j) {
    pigeonhole.together = most_together(team, cluster, j);
    bound = larger(bound, raise_bound(team, pigeonhole, bound, j));
  }
  if (equal && pigeonhole.extras == 0 && pigeonhole.per_gpu > 1)
    bound = larger(bound, heaviest_together(pigeonhole.descending, problem.experts, cluster.gpus,
                                            pigeonhole.per_gpu));
  return bound;
}

// Of workspace.weight, whose sum is `total`. Where GPUs differ in speed it is a bound of times: no
// load is larger than the largest time of the fastest GPU.
EPLB_FN double simple_bound(Team auto& team, const Problem& problem, double total,
                            const BoundWorkspace& workspace, bool filled) {
  if (!(total > 0)) return 0;
  sort_weights(team, problem, workspace);
  const Cluster& cluster = problem.cluster;
  const double mean = total / open_gpus(cluster);
  if (cluster.gpu_speed == nullptr)
    return bound_of_loads(team, problem, workspace, filled, mean) * (1 - 0x1p-40);
  // The sum of up to 2^18 speeds is known to 35 bits.
  const double loads = bound_of_loads(team, problem, workspace, filled, 0);
  return larger(mean, loads / fastest_speed(team, cluster)) * (1 - 0x1p-34);
}

EPLB_STAGE_END
