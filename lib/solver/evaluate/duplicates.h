// Replicas that share a GPU with another of their expert, where they gain nothing.
#pragma once

#include "solver/layer/solve_layer.h"

EPLB_STAGE_BEGIN

// With few slots on a GPU, comparing each with the lower ones is faster than a list of replicas.
inline constexpr int kFewPlaces = 16;

// The slots of every expert, lowest first, and what numbering them takes.
struct ReplicaList {
  View<int> count;  // by expert, and of slots that hold none
  View<int> first;  // by expert: where its slots begin
  View<int> rank;   // by slot: how many lower ones hold its expert
  View<int> slot;   // expert by expert

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    count = arena.take<int>(problem.experts + 1);
    first = arena.take<int>(problem.experts);
    arena.take(problem.cluster.slots, rank, slot);
  }
};

// Sets count and rank.
EPLB_FN void number_replicas(Team auto& team, const Problem& problem, const int* placement,
                             const ReplicaList& list) {
  const int none = problem.experts;
  team.for_each(problem.experts + 1, [&](int e) { list.count[e] = 0; });
  team.rank_among_equals(problem.cluster.slots, list.count, list.rank,
                         [&](int s) { return placement[s] < 0 ? none : placement[s]; });
}

// Slots whose expert already sits in a lower one of their GPU. Those of an expert are in the order
// of GPUs, so it is enough to look at the one before. number_replicas comes first; this one
// completes the list.
EPLB_FN int64_t duplicates_in(Team auto& team, const Problem& problem, const int* placement,
                              const ReplicaList& list) {
  const int places = slots_per_gpu(problem.cluster);
  team.scan(
      problem.experts, [&](int e) { return list.count[e]; },
      [&](int e, int before) { list.first[e] = before; });
  team.for_each(problem.cluster.slots, [&](int s) {
    if (placement[s] >= 0) list.slot[list.first[placement[s]] + list.rank[s]] = s;
  });
  return team.sum_of(problem.cluster.slots, [&](int s) {
    if (placement[s] < 0 || list.rank[s] == 0) return 0;
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
      duplicates += lower < k && held[k] >= 0;
    }
    return duplicates;
  });
}

// Experts all of whose replicas are on one GPU, which are lost with it: of the GPU that has most.
// With a list that duplicates_in has completed: the first and the last of their slots are there.
EPLB_FN int64_t most_lost(Team auto& team, const Problem& problem, const int* placement,
                          const ReplicaList& list) {
  const int places = slots_per_gpu(problem.cluster);
  return team.max_of(problem.cluster.gpus, [&](int gpu) {
    const int first = gpu * places, end = first + places;
    int lost = 0;
    for (int s = first; s < end; ++s) {
      const int e = placement[s];
      if (e >= 0 && list.rank[s] == 0)
        lost += list.slot[list.first[e] + list.count[e] - 1] < end ? 1 : 0;
    }
    return lost;
  });
}

// The same without memory, which takes K for a slot whose expert has copies.
EPLB_FN int64_t most_lost(Team auto& team, const Problem& problem, const int* placement,
                          const auto& count) {
  const int places = slots_per_gpu(problem.cluster);
  return team.max_of(problem.cluster.gpus, [&](int gpu) {
    const int* const held = placement + int64_t{gpu} * places;
    int lost = 0;
    for (int k = 0; k < places; ++k) {
      const int copies = held[k] < 0 ? kNever : count(held[k]);
      if (copies > k + 1) continue;  // this is not the last of them
      int here = 1;
      for (int lower = 0; lower < k && copies > 1; ++lower) here += held[lower] == held[k];
      lost += here == copies;
    }
    return lost;
  });
}

// A GPU holds no more different experts than it has slots, and t GPUs hold an expert at most t
// times. So GPUs and experts that they hold form at most as many pairs as the sum of min(count, t)
// and of the slots of all GPUs but those t; the least of these is reached (Gale 1957, Ryser 1957).
// It is where the t GPUs have more slots than the others.
EPLB_FN int64_t most_apart(Team auto& team, const Cluster& node, int nodes, int experts,
                           const auto& count) {
  int64_t most = kNever64;
  for (int least = 1;;) {  // slots of the t GPUs
    const int t = static_cast<int>(
        team.sum_of(node.gpus, [&](int gpu) { return open_slots(node, gpu) >= least ? 1 : 0; }));
    if (t == 0) return most;
    const int64_t others = team.sum_of(node.gpus, [&](int gpu) {
      return open_slots(node, gpu) < least ? open_slots(node, gpu) : 0;
    });
    const int64_t apart =
        nodes * others + team.sum_of(experts, [&](int e) { return smaller(count(e), t); });
    most = apart < most ? apart : most;
    least = 1 - static_cast<int>(team.max_of(node.gpus, [&](int gpu) {
              return open_slots(node, gpu) >= least ? -open_slots(node, gpu) : -kNever;
            }));
  }
}

// Duplicates that no placement with these replica counts could avoid. An expert's replicas are all
// on one node; where GPUs of a node have different slots, there may be more.
EPLB_FN int64_t unavoidable_duplicates(Team auto& team, const Problem& problem, const auto& count) {
  const Cluster node = node_problem(problem).cluster;
  if (node.gpu_slots == nullptr)
    return team.sum_of(problem.experts,
                       [&](int e) { return count(e) - smaller(count(e), node.gpus); });
  const int64_t replicas = team.sum_of(problem.experts, [&](int e) { return count(e); });
  return replicas - most_apart(team, node, problem.partition.nodes, problem.experts, count);
}

EPLB_STAGE_END
