// The bound that every report can afford: the mean load, the largest replica, and arguments about
// large replicas that must meet on a GPU. No placement can beat it, ones with duplicates on a GPU
// included.
#pragma once

#include "solver/evaluate/pigeonhole.h"

EPLB_STAGE_BEGIN

// The largest replica of the counts that make it least: every extra goes to the largest weight per
// replica (Jefferson, D'Hondt). Then it is the (extras + 1)-th largest of all weight / copies,
// whatever the order among equal ones. The weights of the extras + 1 heaviest experts are such
// quotients, so lighter experts cannot change it.
EPLB_FN double largest_replica(Team auto& team, const Problem& problem,
                               const BoundWorkspace& workspace) {
  const View<double> weight = workspace.descending;
  const int extras = problem.cluster.slots - problem.experts;
  const int candidates = smaller(problem.experts, extras + 1);
  auto key_of = [](double share) { return kNever64 - 1 - bits_of(share); };
  team.for_each(candidates, [&](int i) {
    workspace.key[i] = key_of(weight[i]);
    workspace.copies[i] = 1;
  });
  team.serve(candidates, workspace.key, extras,
             [&](int, int i, int64_t) { return key_of(weight[i] / ++workspace.copies[i]); });
  auto share_of = [&](int i) { return bits_of(weight[i] / workspace.copies[i]); };
  return of_bits(team.max_of(candidates, share_of));
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
EPLB_FN double raise_bound(Team auto& team, const Pigeonhole& pigeonhole, double bound, int j) {
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

// Of workspace.weight, whose sum is `total`.
EPLB_FN double simple_bound(Team auto& team, const Problem& problem, double total,
                            const BoundWorkspace& workspace) {
  constexpr int kDepth = 64;  // with more replicas on a GPU they even out; looking costs K for each
  if (!(total > 0)) return 0;
  sort_weights(team, problem, workspace);
  const Pigeonhole pigeonhole{workspace.descending, problem.experts,
                              problem.cluster.slots - problem.experts, problem.cluster.gpus,
                              slots_per_gpu(problem.cluster)};
  double bound = larger(total / problem.cluster.gpus, largest_replica(team, problem, workspace));
  for (int j = 0; j < smaller(pigeonhole.per_gpu, kDepth); ++j)
    bound = larger(bound, raise_bound(team, pigeonhole, bound, j));
  if (pigeonhole.extras == 0 && pigeonhole.per_gpu > 1)
    bound = larger(bound, heaviest_together(pigeonhole.descending, problem.experts,
                                            problem.cluster.gpus, pigeonhole.per_gpu));
  return bound * (1 - 0x1p-40);
}

EPLB_STAGE_END
