// Replicas that share a GPU with another of their expert, where they gain nothing.
#pragma once

#include "solver/layer/solve_layer.h"

EPLB_STAGE_BEGIN

// With few slots on a GPU, comparing each with the lower ones is faster than a list of replicas.
inline constexpr int kFewPlaces = 16;

// The slots of every expert, lowest first, and what numbering them takes.
struct ReplicaList {
  View<int> count;  // by expert
  View<int> first;  // by expert: where its slots begin
  View<int> rank;   // by slot: how many lower ones hold its expert
  View<int> slot;   // expert by expert

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    arena.take(problem.experts, count, first);
    arena.take(problem.cluster.slots, rank, slot);
  }
};

// Sets count and rank.
EPLB_FN void number_replicas(Team auto& team, const Problem& problem, const int* placement,
                             const ReplicaList& list) {
  team.for_each(problem.experts, [&](int e) { list.count[e] = 0; });
  team.rank_among_equals(problem.cluster.slots, list.count, list.rank,
                         [&](int s) { return placement[s]; });
}

// Slots whose expert already sits in a lower one of their GPU. Those of an expert are in the order
// of GPUs, so it is enough to look at the one before. number_replicas comes first.
EPLB_FN int64_t duplicates_in(Team auto& team, const Problem& problem, const int* placement,
                              const ReplicaList& list) {
  const int places = slots_per_gpu(problem.cluster);
  team.scan(
      problem.experts, [&](int e) { return list.count[e]; },
      [&](int e, int before) { list.first[e] = before; });
  team.for_each(problem.cluster.slots,
                [&](int s) { list.slot[list.first[placement[s]] + list.rank[s]] = s; });
  return team.sum_of(problem.cluster.slots, [&](int s) {
    if (list.rank[s] == 0) return 0;
    const int lower = list.slot[list.first[placement[s]] + list.rank[s] - 1];
    return lower >= s / places * places ? 1 : 0;
  });
}

// The same without memory, which takes K for each slot.
EPLB_FN int64_t duplicates_in(Team auto& team, const Problem& problem, const int* placement) {
  const int places = slots_per_gpu(problem.cluster);
  if (places == 1) return 0;
  return team.sum_of(problem.cluster.gpus, [&](int gpu) {
    const int* const held = placement + int64_t{gpu} * places;
    int duplicates = 0;
    for (int k = 1; k < places; ++k) {
      int lower = 0;
      while (held[lower] != held[k]) ++lower;
      duplicates += lower < k;
    }
    return duplicates;
  });
}

// Duplicates that no placement with these replica counts could avoid. An expert's replicas are all
// on one node.
EPLB_FN int64_t unavoidable_duplicates(Team auto& team, const Problem& problem, const auto& count) {
  const int gpus = node_problem(problem).cluster.gpus;
  return problem.cluster.slots -
         team.sum_of(problem.experts, [&](int e) { return smaller(count(e), gpus); });
}

EPLB_STAGE_END
