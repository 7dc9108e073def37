// n items on packs of equally many places: groups on nodes, replicas on GPUs.
#pragma once

#include "solver/team/fill.h"

EPLB_STAGE_BEGIN

// One chain's state. A *position* is an item's place in the chain's order, in which it is packed and in which ties fall.
struct Packing {
  int items, packs, places;  // places: per pack
  View<int> order;           // item at a position
  View<int> size, pack;      // by position
  View<int> beside;          // by position: the load of its pack
  View<int> at, slot;        // positions by pack: at[g * places + k]; and by position, its k
  View<int> load, used;      // by pack
  View<int> open, held;      // by pack, for filling: its load while it has room, then kNever; those set aside

  EPLB_FN void lay_out(Arena& arena, int most_items, int most_packs) {
    order = arena.take<int>(most_items);
    size = arena.take<int>(most_items);
    pack = arena.take<int>(most_items);
    beside = arena.take<int>(most_items);
    at = arena.take<int>(most_items);
    slot = arena.take<int>(most_items);
    load = arena.take<int>(most_packs);
    used = arena.take<int>(most_packs);
    open = arena.take<int>(most_packs);
    held = arena.take<int>(2 * int64_t{most_packs});
  }
};

// Longest processing time first, with places: every position to the lightest pack that has room; ties: lowest pack. Runs of
// apart(position) positions go to different packs while they can.
template <class Number, class Team, class Apart>
EPLB_FN void place_longest_first(Team& team, const Packing& p, Apart apart) {
  team.for_each(p.packs, [&](int g) { p.used[g] = 0; });
  team.template fill<Number>(
      p.packs, p.open, p.held, p.items, [&](int i) { return p.size[i]; }, apart,
      [&](int i, int g, int load) {
        const int k = p.used[g];
        p.used[g] = k + 1;
        p.at[g * p.places + k] = i;
        p.pack[i] = g;
        p.slot[i] = k;
        p.load[g] = Number::add(load, p.size[i]);
        return k + 1 == p.places;
      });
}

// place[item]: the items of a pack as they are listed.
template <class Team> EPLB_FN void number_places(Team& team, const Packing& p, View<int> place) {
  team.for_each(p.items, [&](int s) { place[p.order[p.at[s]]] = s; });
}

EPLB_STAGE_END
