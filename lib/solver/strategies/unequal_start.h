// A placement on GPUs that differ in slots or speed, to begin a search with: D'Hondt's counts, then
// the largest replica first, each on the GPU that has it done first.
#pragma once

#include "solver/counts/dhondt.h"
#include "solver/packing/unequal.h"

EPLB_STAGE_BEGIN

struct UnequalStart {
  Pricing<Integer> pricing;
  Items items;
  UnequalPacking unequal;

  // One of `nodes`.
  EPLB_FN void lay_out(Arena& arena, const Problem& node, int nodes) {
    const auto& cluster = node.cluster;
    pricing.lay_out(arena, node.experts);
    items.lay_out(arena, node.experts, cluster.slots);
    unequal.cluster = cluster;
    unequal.packing.lay_out(arena, cluster.slots, cluster.gpus);
    unequal.slowness = arena.take<int64_t>(cluster.gpus);
    unequal.parts = nodes;
  }
};

// Is the expert on the GPU, in another slot than this one?
EPLB_FN bool is_on(const Cluster& cluster, View<int> expert, int e, int gpu, int but_for = -1) {
  const int first = gpu * slots_per_gpu(cluster), end = first + open_slots(cluster, gpu);
  for (int slot = first; slot < end; ++slot)
    if (expert[slot] == e && slot != but_for) return true;
  return false;
}

// Puts every replica on the GPU with an open slot and without a copy of its expert whose time is
// then least; if none lacks it, on any with an open slot.
EPLB_FN void place_apart(Team auto& team, const UnequalStart& start, View<int> expert) {
  const UnequalPacking& unequal = start.unequal;
  const Packing& packing = unequal.packing;
  begin_packs(team, unequal);
  auto any = [&](int gpu) { return has_room(unequal, gpu); };
  for (int position = 0; position < packing.items; ++position) {
    const int e = start.items.expert[packing.order[position]], size = packing.size[position];
    auto apart = [&](int gpu) { return any(gpu) && !is_on(unequal.cluster, expert, e, gpu); };
    int gpu = earliest_pack(team, unequal, size, apart);
    if (gpu < 0) gpu = earliest_pack(team, unequal, size, any);
    team.single([&] {
      expert[gpu * packing.slots_per_pack + packing.scratch.used[gpu]] = e;
      put_last<Integer>(unequal, gpu, position);
    });
  }
}

// The same without looking for copies.
EPLB_FN void place_quickly(Team auto& team, const UnequalStart& start, View<int> expert) {
  const Packing& packing = start.unequal.packing;
  place_longest_first<Integer>(team, start.unequal);
  team.for_each(packing.items, [&](int position) {
    const int slot = packing.pack[position] * packing.slots_per_pack + packing.slot[position];
    expert[slot] = start.items.expert[packing.order[position]];
  });
}

// Exchanges of the replica in a slot, which shares its GPU with a copy.
struct Separation {
  const UnequalStart& start;
  View<int> expert;
  int slot;

  EPLB_FN int gpu_of(int other) const { return other / slots_per_gpu(start.unequal.cluster); }
  EPLB_FN int size(int other) const { return start.pricing.share[expert[other]]; }
  EPLB_FN bool is_with_copy(int other, int gpu) const {
    return is_on(start.unequal.cluster, expert, expert[other], gpu, other);
  }
  // The later of the two GPUs after an exchange with another slot; kNever64 if it would leave as
  // many copies together.
  EPLB_FN int64_t cost(int other) const {
    const int gpu = gpu_of(slot), partner = gpu_of(other);
    if (expert[other] < 0 || partner == gpu || is_with_copy(slot, partner)) return kNever64;
    if (is_with_copy(other, gpu) && !is_with_copy(other, partner)) return kNever64;
    const UnequalPacking& unequal = start.unequal;
    const View<int> load = unequal.packing.load;
    const int difference = size(slot) - size(other);
    const int64_t own = unequal.time(gpu, load[gpu] - difference),
                  its = unequal.time(partner, load[partner] + difference);
    return own < its ? its : own;
  }
  EPLB_FN void exchange_with(int other) const {
    const View<int> load = start.unequal.packing.load;
    const int difference = size(slot) - size(other), moved = expert[slot];
    load[gpu_of(slot)] -= difference;
    load[gpu_of(other)] += difference;
    expert[slot] = expert[other];
    expert[other] = moved;
  }
};

// While the replica of a slot is with a copy on its GPU it is exchanged with that of another GPU
// for which the later of the two GPUs is earliest; ties: lowest slot. It stays if there is none, or
// no looks are left.
EPLB_FN void separate(Team auto& team, const UnequalStart& start, View<int> expert, int slot,
                      int64_t& looks) {
  constexpr int kLooksOfSlot = 16;  // and at all of its GPU
  const Separation separation{start, expert, slot};
  const int slots = start.unequal.cluster.slots, each = slots_per_gpu(start.unequal.cluster);
  for (looks -= each; looks > 0 && expert[slot] >= 0;) {
    if (!separation.is_with_copy(slot, separation.gpu_of(slot))) return;
    looks -= int64_t{slots} * (each + kLooksOfSlot);
    const int64_t best = team.max_of(slots, [&](int other) { return -separation.cost(other); });
    if (best == -kNever64) return;
    const int other = team.find_of(slots, [&](int at) { return separation.cost(at) == -best; });
    team.single([&] { separation.exchange_with(other); });
  }
}

// Counts replicas, largest first. No expert has more copies than there are GPUs with slots, unless
// there are too few experts.
EPLB_FN void list_replicas(Team auto& team, UnequalStart& start, const Problem& node,
                           View<int> weight) {
  const Cluster& cluster = node.cluster;
  const int replicas = open_slots(cluster), round = (replicas + node.experts - 1) / node.experts;
  const int most = larger(smaller(open_gpus(cluster), node.limits.most_replicas), round);
  Packing& packing = start.unequal.packing;
  packing.items = replicas;
  packing.packs = cluster.gpus;
  packing.slots_per_pack = slots_per_gpu(cluster);
  count_replicas<Integer>(team, weight, node.experts, replicas, most, start.pricing, start.items);
  arrange(team, packing, start.items.size, Preset{}, {});
}

// expert[slot] of a node, -1 where a slot is closed; start.items.count are the counts.
EPLB_FN void start_unequal(Team auto& team, UnequalStart& start, const Problem& node,
                           View<int> weight, View<int> expert) {
  const Cluster& cluster = node.cluster;
  list_replicas(team, start, node, weight);
  team.for_each(cluster.slots, [&](int slot) { expert[slot] = -1; });
  // Where there are far more slots than models have, neither takes longer than seconds.
  int64_t looks = (int64_t{1} << 30) / start.unequal.parts;
  const bool too_large = int64_t{cluster.slots} * cluster.slots > looks;
  too_large ? place_quickly(team, start, expert) : place_apart(team, start, expert);
  if (open_slots(cluster) == node.experts) return;
  for (int slot = 0; slot < cluster.slots; ++slot) separate(team, start, expert, slot, looks);
}

EPLB_STAGE_END
