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
  View<int> holder;  // slots of the current placement, expert by expert, node by node, lowest first
  View<int> rank;    // by slot, scratch of the list
  View<int> sends;   // by GPU: transfers to other GPUs
  // Heaps of holders, those of each expert on a node or anywhere: see least_sending.
  View<int64_t> on_node, anywhere;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    first = arena.take<int>(problem.experts + 2);
    arena.take(problem.cluster.slots, holder, rank);
    sends = arena.take<int>(problem.cluster.gpus);
    arena.take(problem.cluster.slots, on_node, anywhere);
  }
};

// By node, then by slot: in the order of slots where nodes have consecutive GPUs.
EPLB_FN int64_t node_key(const Cluster& cluster, int node, int64_t slot) {
  return cluster.gpu_node ? node * kMaxSlots + slot : slot;
}
EPLB_FN int64_t node_key(const Cluster& cluster, int slot) {
  if (cluster.gpu_node == nullptr) return slot;
  return node_key(cluster, node_of(cluster, slot / slots_per_gpu(cluster)), slot);
}

// Of an expert, whose holders are in the order of slots.
EPLB_FN void sort_by_node(const Cluster& cluster, const SourceWorkspace& workspace, int expert) {
  const View<int> holder = workspace.holder;
  for (int i = workspace.first[expert]; i < workspace.first[expert + 1]; ++i) {
    const int slot = holder[i];
    int at = i;
    for (; at > workspace.first[expert] &&
           node_key(cluster, holder[at - 1]) > node_key(cluster, slot);
         --at)
      holder[at] = holder[at - 1];
    holder[at] = slot;
  }
}

// From lists in the order of slots, which are heaps while nobody sends.
EPLB_FN void begin_heaps(Team auto& team, const Problem& problem,
                         const SourceWorkspace& workspace) {
  const int experts = problem.experts, slots = problem.cluster.slots;
  team.for_each(slots, [&](int i) { workspace.anywhere[i] = workspace.holder[i]; });
  if (problem.cluster.gpu_node)
    team.for_each(experts, [&](int e) { sort_by_node(problem.cluster, workspace, e); });
  team.for_each(slots, [&](int i) { workspace.on_node[i] = workspace.holder[i]; });
}

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
  begin_heaps(team, problem, workspace);
}

// A part of the lists of holders.
struct Holders {
  int begin, end;
  EPLB_FN int count() const { return end - begin; }
};

// Those of an expert whose node_key is below `limit` end here.
EPLB_FN int holders_below(const Cluster& cluster, const SourceWorkspace& workspace, int expert,
                          int64_t limit) {
  int low = workspace.first[expert], high = workspace.first[expert + 1];
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (node_key(cluster, workspace.holder[middle]) < limit)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}
EPLB_FN Holders holders_on_gpu(const Cluster& cluster, const SourceWorkspace& workspace, int expert,
                               int gpu) {
  const int64_t first = node_key(cluster, gpu * slots_per_gpu(cluster));
  return {holders_below(cluster, workspace, expert, first),
          holders_below(cluster, workspace, expert, first + slots_per_gpu(cluster))};
}
EPLB_FN Holders holders_on_node(const Cluster& cluster, const SourceWorkspace& workspace,
                                int expert, int node) {
  auto first_of = [&](int which) {
    return cluster.gpu_node ? node_key(cluster, which, 0)
                            : first_gpu_of(cluster, which) * slots_per_gpu(cluster);
  };
  return {holders_below(cluster, workspace, expert, first_of(node)),
          holders_below(cluster, workspace, expert, first_of(node + 1))};
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

// The nearest holders of an expert: on the same GPU, else on its node, else anywhere.
struct Nearest {
  Holders holders;
  int distance;  // 0: on the GPU; 1: on its node; 2: anywhere, or the only one that there is
};
EPLB_FN Nearest nearest_holders(const Problem& problem, const SourceWorkspace& workspace,
                                int expert, int slot) {
  const Holders all{workspace.first[expert], workspace.first[expert + 1]};
  const int gpu = slot / slots_per_gpu(problem.cluster);
  if (all.count() <= 1) {
    const bool on_gpu =
        all.count() == 1 && workspace.holder[all.begin] / slots_per_gpu(problem.cluster) == gpu;
    return {all, on_gpu ? 0 : 2};
  }
  const Holders same_gpu = holders_on_gpu(problem.cluster, workspace, expert, gpu);
  if (same_gpu.count() > 0) return {same_gpu, 0};
  const Holders same_node =
      holders_on_node(problem.cluster, workspace, expert, node_of(problem.cluster, gpu));
  if (same_node.count() > 0) return {same_node, 1};
  return {all, 2};
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
