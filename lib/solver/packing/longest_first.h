// Longest processing time first: items on packs that have equally many slots. The items are groups
// and the packs nodes, or the items are replicas and the packs GPUs.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// What filling packs needs, by pack.
struct FillScratch {
  View<int> used;           // number of slots that are filled
  View<int> keys, waiting;  // see Team::fill

  EPLB_FN void lay_out(Arena& arena, int packs) {
    arena.take(packs, used, keys);
    waiting = arena.take<int>(2 * int64_t{packs});
  }
};

// One chain's packing. A *position* is an item's place in the order of the chain, in which items
// are packed and by which ties are broken.
struct Packing {
  int items, packs, slots_per_pack;
  View<int> order;      // by position: its item
  View<int> size;       // by position
  View<int> pack;       // by position
  View<int> slot;       // by position: its slot in the pack
  View<int> pack_load;  // by position: load of its pack
  View<int> position;   // by pack and slot: position[pack * slots_per_pack + slot]
  View<int> load;       // by pack
  FillScratch scratch;

  EPLB_FN void lay_out(Arena& arena, int most_items, int most_packs) {
    arena.take(most_items, order, size, pack, pack_load, position, slot);
    load = arena.take<int>(most_packs);
    scratch.lay_out(arena, most_packs);
  }
  EPLB_FN View<int> contents_of(int pack_index) const {
    return position.from(pack_index * slots_per_pack);
  }
};

// Puts every position, in order, on the lightest pack with an open slot; ties: lowest pack. A run
// of apart(position) positions goes to different packs while there are enough open ones.
template <class Number>
EPLB_FN void place_longest_first(Team auto& team, const Packing& packing, auto apart) {
  const FillScratch& scratch = packing.scratch;
  team.for_each(packing.packs, [&](int pack) { scratch.used[pack] = 0; });
  team.template fill<Number>(
      packing.packs, scratch.keys, scratch.waiting, packing.items,
      [&](int position) { return packing.size[position]; }, apart,
      [&](int position, int pack, int load) {
        const int slot = scratch.used[pack];
        scratch.used[pack] = slot + 1;
        packing.position[pack * packing.slots_per_pack + slot] = position;
        packing.pack[position] = pack;
        packing.slot[position] = slot;
        packing.load[pack] = Number::add(load, packing.size[position]);
        return slot + 1 == packing.slots_per_pack;
      });
}

// slot_of[item] = pack * slots_per_pack + slot in the pack.
EPLB_FN void write_slots(Team auto& team, const Packing& packing, View<int> slot_of) {
  team.for_each(packing.items,
                [&](int slot) { slot_of[packing.order[packing.position[slot]]] = slot; });
}

EPLB_STAGE_END
