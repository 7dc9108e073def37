// After the start, where GPUs are many: the heaviest GPU swaps with the lightest, the second
// heaviest with the second lightest, and so on, all at once. The search relieves one GPU in a step.
#pragma once

#include "solver/search/move.h"
#include "solver/search/objective.h"

EPLB_STAGE_BEGIN

// With fewer GPUs the search gets there as fast. With more slots on each the start is level
// enough, and looking costs slots_per_gpu^2.
inline constexpr int kLevelGpus = 64, kLevelSlots = 64;
EPLB_FN int level_sweeps(int gpus, int slots_per_gpu) {
  return gpus < kLevelGpus || slots_per_gpu > kLevelSlots ? 0 : smaller(2 + gpus / 256, 4);
}

// Makes the swap of a replica on `heavy` with a smaller one on `light` that costs least, if that
// is less than heavy's load, and no duplicate results; ties: lowest slot of heavy, then of light.
// By one lane, which touches only these two GPUs and what they hold.
EPLB_FN void level_pair(const State& state, int heavy, int light) {
  const SortedReplicas& sorted = state.sorted;
  const int per_gpu = state.slots_per_gpu();
  const View<int> heavy_replica = state.replicas_on(heavy),
                  light_replica = state.replicas_on(light);
  int least = state.load[heavy];
  Swap best{-1, -1};
  for (int i = 0; i < per_gpu; ++i)
    for (int j = 0; j < per_gpu; ++j) {
      const int give = heavy_replica[i], take = light_replica[j];
      const int given = sorted.size[give], taken = sorted.size[take];
      const int cost = cost_of_swap<Peak>(state.rest[give], given, state.rest[take], taken);
      if (given <= taken || cost >= least) continue;
      if (makes_duplicate(state, Swap{give, take})) continue;
      least = cost;
      best = {give, take};
    }
  if (best.give >= 0) apply_alone(state, best);
}

// order: scratch [gpus], of GPUs, heaviest first.
EPLB_FN void level(Team auto& team, const State& state, View<int> order) {
  const int gpus = state.sorted.gpus;
  for (int sweep = level_sweeps(gpus, state.slots_per_gpu()); sweep > 0; --sweep) {
    team.order(gpus, order, [&](int g) { return largest_first(state.load[g]); });
    team.for_each(gpus / 2, [&](int i) { level_pair(state, order[i], order[gpus - 1 - i]); });
  }
}

EPLB_STAGE_END
