// Where the slots of a new placement get their contents from.
#pragma once

#include "solver/layer/cluster.h"
#include "solver/team/team.h"

EPLB_STAGE_BEGIN

inline constexpr int kNoExpert = -1;  // a slot that is closed or empty, or cannot be read
inline constexpr int kNoSource = -1;  // the slot holds nothing afterwards
inline constexpr int kReload = -2;    // no readable slot holds the expert: from storage

// A layer before and after.
struct LayerChange {
  const int* current;    // [S]: an expert, or kNoExpert
  const int* placement;  // [S]: an expert, or kNoExpert
};

// What is found out about a change, by slot of the new placement.
struct TransferMaps {
  View<int> source;  // slot of the current placement; its own: unchanged; kNoSource; kReload
  View<int> round;   // -1: unchanged or empty; 0: at any time; from 1 on: see plan_transfers.h
  View<int> group;   // of a cycle; -1: in none
};

struct SourceWorkspace {
  View<int> first;   // by expert, and one more: where its holders begin
  View<int> holder;  // slots of the current placement, expert by expert, lowest first
  View<int> rank;    // by slot, scratch of the list
  View<int> sends;   // by GPU: transfers to other GPUs

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    first = arena.take<int>(problem.experts + 2);
    arena.take(problem.cluster.slots, holder, rank);
    sends = arena.take<int>(problem.cluster.gpus);
  }
};

EPLB_FN void list_holders(Team auto& team, const Problem& problem, const int* current,
                          const SourceWorkspace& workspace) {
  const int experts = problem.experts, slots = problem.cluster.slots;
  const View<int> count = workspace.first, rank = workspace.rank;
  auto expert_in = [=](int s) { return current[s] == kNoExpert ? experts : current[s]; };
  team.for_each(experts + 2, [&](int e) { count[e] = 0; });
  team.rank_among_equals(slots, count.from(1), rank, expert_in);
  team.single([&] {
    for (int e = 0; e <= experts; ++e) count[e + 1] += count[e];
  });
  team.for_each(slots,
                [&](int s) { workspace.holder[workspace.first[expert_in(s)] + rank[s]] = s; });
}

// The nearest holders of an expert: on the same GPU, else on its node, else anywhere.
struct Nearest {
  int slot;   // of those whose GPU sends least, the lowest; kReload: there is none
  int count;  // how many are as near
};
EPLB_FN Nearest nearest_holder(const Problem& problem, const SourceWorkspace& workspace, int expert,
                               int slot) {
  const int per_gpu = slots_per_gpu(problem.cluster), gpu = slot / per_gpu;
  Nearest found{kReload, 0};
  int least_distance = 3, least_sends = 0;
  for (int i = workspace.first[expert]; i < workspace.first[expert + 1]; ++i) {
    const int other = workspace.holder[i] / per_gpu, sends = workspace.sends[other];
    const bool same_node = node_of(problem.cluster, other) == node_of(problem.cluster, gpu);
    const int distance = other == gpu ? 0 : same_node ? 1 : 2;
    if (distance > least_distance) continue;
    found.count = distance < least_distance ? 1 : found.count + 1;
    if (distance == least_distance && sends >= least_sends) continue;
    found.slot = workspace.holder[i];
    least_distance = distance;
    least_sends = sends;
  }
  return found;
}

// Sets the sources that are not known yet of the slots that have a choice, or of those that have
// none. By one lane.
EPLB_FN void choose_nearest(const Problem& problem, const LayerChange& change,
                            const SourceWorkspace& workspace, View<int> source, bool has_choice) {
  const int per_gpu = slots_per_gpu(problem.cluster);
  for (int s = 0; s < problem.cluster.slots; ++s) {
    if (source[s] != kReload) continue;
    const Nearest nearest = nearest_holder(problem, workspace, change.placement[s], s);
    if (nearest.count == 0 || (nearest.count > 1) != has_choice) continue;
    source[s] = nearest.slot;
    if (nearest.slot / per_gpu != s / per_gpu) ++workspace.sends[nearest.slot / per_gpu];
  }
}

// Sets the source of every slot. Those that have a choice come last, so that it evens out what the
// others send; each time, lowest slot first.
EPLB_FN void choose_sources(Team auto& team, const Problem& problem, const LayerChange& change,
                            const SourceWorkspace& workspace, View<int> source) {
  const int slots = problem.cluster.slots;
  list_holders(team, problem, change.current, workspace);
  team.for_each(problem.cluster.gpus, [&](int gpu) { workspace.sends[gpu] = 0; });
  team.for_each(slots, [&](int s) {
    const int expert = change.placement[s];
    source[s] = expert == kNoExpert ? kNoSource : expert == change.current[s] ? s : kReload;
  });
  team.single([&] {
    choose_nearest(problem, change, workspace, source, false);
    choose_nearest(problem, change, workspace, source, true);
  });
}

EPLB_STAGE_END
