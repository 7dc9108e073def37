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
  View<int> holder;  // slots of the current placement by expert, node and slot
  View<int> gpu_at;  // GPUs by node, of a cluster that does not have them so
  View<int> rank;    // by slot, scratch of the lists
  View<int> node;    // by GPU
  View<int> sends;   // by GPU: transfers to other GPUs
  // Heaps of holders, those of each expert on a node or anywhere: see least_sending.
  View<int64_t> on_node, anywhere;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    first = arena.take<int>(problem.experts + 2);
    arena.take(problem.cluster.slots, holder, rank);
    arena.take(problem.cluster.gpus, gpu_at, node, sends);
    arena.take(problem.cluster.slots, on_node, anywhere);
  }
};

// The slots of each expert, in the order of slot_at(int i).
EPLB_FN void list_slots(Team auto& team, const Problem& problem, const int* current,
                        const SourceWorkspace& workspace, auto slot_at, auto list) {
  const int experts = problem.experts, slots = problem.cluster.slots;
  const View<int> count = workspace.first, rank = workspace.rank;
  auto expert_in = [=](int i) {
    const int expert = current[slot_at(i)];
    return expert == kNoExpert ? experts : expert;
  };
  team.for_each(experts + 2, [&](int e) { count[e] = 0; });
  team.rank_among_equals(slots, count.from(1), rank, expert_in);
  team.single([&] {
    for (int e = 0; e <= experts; ++e) count[e + 1] += count[e];
  });
  team.for_each(slots, [&](int i) { list[workspace.first[expert_in(i)] + rank[i]] = slot_at(i); });
}

// By node and slot.
EPLB_FN void list_by_node(Team auto& team, const Problem& problem, const int* current,
                          const SourceWorkspace& workspace) {
  const Cluster& cluster = problem.cluster;
  const int per_gpu = slots_per_gpu(cluster);
  const View<int> gpu_at = workspace.gpu_at;
  team.order(cluster.gpus, gpu_at,
             [&](int gpu) { return static_cast<uint64_t>(workspace.node[gpu]); });
  auto slot_at = [=](int i) { return gpu_at[i / per_gpu] * per_gpu + i % per_gpu; };
  list_slots(team, problem, current, workspace, slot_at, workspace.holder);
}

// Nobody sends yet, so that lists by slot are heaps.
EPLB_FN void list_holders(Team auto& team, const Problem& problem, const int* current,
                          const SourceWorkspace& workspace) {
  const int slots = problem.cluster.slots;
  const View<int> holder = workspace.holder;
  const View<int64_t> on_node = workspace.on_node, anywhere = workspace.anywhere;
  auto same = [](int s) { return s; };
  team.for_each(problem.cluster.gpus,
                [&](int gpu) { workspace.node[gpu] = node_of(problem.cluster, gpu); });
  list_slots(team, problem, current, workspace, same, anywhere);
  if (problem.cluster.gpu_node)
    list_by_node(team, problem, current, workspace);
  else
    team.for_each(slots, [&](int i) { holder[i] = static_cast<int>(anywhere[i]); });
  team.for_each(slots, [&](int i) { on_node[i] = holder[i]; });
}

// A part of the lists of holders.
struct Holders {
  int begin, end;
  EPLB_FN int count() const { return end - begin; }
};

// By what holders are ordered: node and GPU.
EPLB_FN int64_t gpu_key(const SourceWorkspace& workspace, int gpu) {
  return workspace.node[gpu] * kMaxSlots + gpu;
}
// Those of an expert on GPUs of smaller keys end here.
EPLB_FN int holders_below(const Problem& problem, const SourceWorkspace& workspace, int expert,
                          int64_t key) {
  const int per_gpu = slots_per_gpu(problem.cluster);
  int low = workspace.first[expert], high = workspace.first[expert + 1];
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (gpu_key(workspace, workspace.holder[middle] / per_gpu) < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}
EPLB_FN Holders holders_between(const Problem& problem, const SourceWorkspace& workspace,
                                int expert, int64_t key, int64_t end) {
  return {holders_below(problem, workspace, expert, key),
          holders_below(problem, workspace, expert, end)};
}
EPLB_FN Holders holders_anywhere(const SourceWorkspace& workspace, int expert) {
  return {workspace.first[expert], workspace.first[expert + 1]};
}

EPLB_FN int64_t sending_key(const SourceWorkspace& workspace, int per_gpu, int64_t slot) {
  return workspace.sends[static_cast<int>(slot / per_gpu)] * kMaxSlots + slot;
}
// Of the holders in a heap, one on the GPU that sends least; ties: the lowest slot. GPUs only send
// more as time goes by, so a key that is out of date is too small and comes to the top, where it is
// renewed.
EPLB_FN int least_sending(const SourceWorkspace& workspace, View<int64_t> heap, Holders holders,
                          int per_gpu) {
  while (true) {
    const int64_t top = heap[holders.begin];
    const int64_t renewed = sending_key(workspace, per_gpu, top % kMaxSlots);
    if (renewed == top) return static_cast<int>(top % kMaxSlots);
    int at = 0;
    for (int child = 1; child < holders.count(); child = 2 * at + 1) {
      if (child + 1 < holders.count() &&
          heap[holders.begin + child + 1] < heap[holders.begin + child])
        ++child;
      if (heap[holders.begin + child] > renewed) break;
      heap[holders.begin + at] = heap[holders.begin + child];
      at = child;
    }
    heap[holders.begin + at] = renewed;
  }
}

// Holders of an expert at most so far from a slot. 0: on its GPU; 1: on its node; 2: anywhere.
inline constexpr int kAnywhere = 2;
EPLB_FN Holders holders_within(const Problem& problem, const SourceWorkspace& workspace, int expert,
                               int slot, int distance) {
  if (distance == kAnywhere) return holders_anywhere(workspace, expert);
  const int gpu = slot / slots_per_gpu(problem.cluster);
  const int64_t node = workspace.node[gpu], key = gpu_key(workspace, gpu);
  if (distance == 0) return holders_between(problem, workspace, expert, key, key + 1);
  return holders_between(problem, workspace, expert, node * kMaxSlots, (node + 1) * kMaxSlots);
}
EPLB_FN int distance_of(const SourceWorkspace& workspace, int gpu, int other) {
  return gpu == other ? 0 : workspace.node[gpu] == workspace.node[other] ? 1 : kAnywhere;
}

// The nearest ones.
struct Nearest {
  Holders holders;
  int distance;
};
EPLB_FN Nearest nearest_holders(const Problem& problem, const SourceWorkspace& workspace,
                                int expert, int slot) {
  const int per_gpu = slots_per_gpu(problem.cluster);
  const Holders all = holders_anywhere(workspace, expert);
  if (all.count() == 1)
    return {all, distance_of(workspace, slot / per_gpu, workspace.holder[all.begin] / per_gpu)};
  for (int distance = 0; distance < kAnywhere && all.count() > 0; ++distance) {
    const Holders near = holders_within(problem, workspace, expert, slot, distance);
    if (near.count() > 0) return {near, distance};
  }
  return {all, kAnywhere};
}

// Sets the sources that are not known yet of the slots that have a choice, or of those that have
// none. By one lane.
EPLB_FN void choose_nearest(const Problem& problem, const LayerChange& change,
                            const SourceWorkspace& workspace, View<int> source, bool has_choice) {
  const int per_gpu = slots_per_gpu(problem.cluster);
  for (int s = 0; s < problem.cluster.slots; ++s) {
    if (source[s] != kReload) continue;
    const Nearest nearest = nearest_holders(problem, workspace, change.placement[s], s);
    const int count = nearest.holders.count();
    if (count == 0 || (count > 1) != has_choice) continue;
    const View<int64_t> heap = nearest.distance == 1 ? workspace.on_node : workspace.anywhere;
    source[s] = count == 1 || nearest.distance == 0
                    ? workspace.holder[nearest.holders.begin]
                    : least_sending(workspace, heap, nearest.holders, per_gpu);
    if (nearest.distance > 0) ++workspace.sends[source[s] / per_gpu];
  }
}

// Sets the sources of slots that need no choice; of others, kReload.
EPLB_FN void begin_sources(Team auto& team, const Problem& problem, const LayerChange& change,
                           const SourceWorkspace& workspace, View<int> source) {
  const int slots = problem.cluster.slots;
  list_holders(team, problem, change.current, workspace);
  team.for_each(problem.cluster.gpus, [&](int gpu) { workspace.sends[gpu] = 0; });
  team.for_each(slots, [&](int s) {
    const int expert = change.placement[s];
    source[s] = expert == kNoExpert ? kNoSource : expert == change.current[s] ? s : kReload;
  });
}

// Those that have a choice come last, so that it evens out what the others send; each time, lowest
// slot first. By one lane.
EPLB_FN void choose_evenly(const Problem& problem, const LayerChange& change,
                           const SourceWorkspace& workspace, View<int> source) {
  choose_nearest(problem, change, workspace, source, false);
  choose_nearest(problem, change, workspace, source, true);
}

EPLB_STAGE_END
