// Where the positions are: GPUs, their slots and loads, and the exchange of two positions.
#pragma once

#include "solver/counts/sorted_replicas.h"
#include "solver/packing/longest_first.h"

EPLB_STAGE_BEGIN

struct Placement {
  Positions p;
  View<int> gpu, slot;  // by position
  View<int> rest;       // by position: the load of its GPU without it
  View<int> item;       // position by GPU and slot: item[g * places + k]
  View<int> held;       // its size, slot by slot: held[k * stride + g]
  View<int> load;       // by GPU
  int stride;

  EPLB_FN void lay_out(Arena& arena, int e, int s, int g) {
    p.lay_out(arena, e, s);
    gpu = arena.take<int>(s);
    slot = arena.take<int>(s);
    rest = arena.take<int>(s);
    item = arena.take<int>(s);
    stride = (g + 15) / 16 * 16;
    held = arena.take<int>(int64_t{s} / g * stride);
    load = arena.take<int>(g);
  }
};

// Behind the last position: more than any load, so that nothing there is worth a swap.
inline constexpr int kNoRest = 1 << 30;

struct Ends {
  int heaviest, most, least;  // the lowest GPU with the largest load; largest and least load
};
template <class Team> EPLB_FN Ends ends(Team& team, const Placement& s) {
  const MinMax loads = team.min_max(s.p.gpus, [=](auto g) { return s.load[g]; });
  return {loads.first_max, loads.max, loads.min};
}

// Items, loads and rests from gpu and slot.
template <class Team> EPLB_FN void settle(Team& team, const Placement& s) {
  const int k = s.p.places;
  team.for_each(s.p.slots, [&](int i) {
    s.item[s.gpu[i] * k + s.slot[i]] = i;
    s.held[s.slot[i] * s.stride + s.gpu[i]] = s.p.size[i];
  });
  team.for_each(s.p.gpus, [&](int g) {
    int sum = 0;
    for (int i = 0; i < k; ++i) sum += s.held[i * s.stride + g];
    s.load[g] = sum;
  });
  team.for_each(s.p.slots, [&](int i) { s.rest[i] = s.load[s.gpu[i]] - s.p.size[i]; });
  team.for_each(kAhead, [&](int i) { s.rest[s.p.slots + i] = kNoRest; });
}

// The lowest slot of g that holds expert e, or places if there is none.
template <class Team> EPLB_FN int slot_of_expert(Team& team, const Placement& s, int g, int e) {
  const int from = s.p.first[e], to = from + s.p.count[e];
  const View<int> items = s.item.from(g * s.p.places);
  return team.find(0, s.p.places, [=](auto k) { return (items[k] >= from) & (items[k] < to); });
}

// The same question by one lane, for bodies of int.
EPLB_FN bool holds(const Placement& s, int g, int e) {
  const int from = s.p.first[e], to = from + s.p.count[e];
  for (int k = 0; k < s.p.places; ++k) {
    const int i = s.item[g * s.p.places + k];
    if (i >= from && i < to) return true;
  }
  return false;
}

EPLB_FN int copies_on(const Placement& s, int g, int e) {
  const int from = s.p.first[e], to = from + s.p.count[e];
  int copies = 0;
  for (int k = 0; k < s.p.places; ++k) {
    const int i = s.item[g * s.p.places + k];
    copies += i >= from && i < to;
  }
  return copies;
}

// Does GPU g keep a replica of expert e when `out` and `out2` have left it?
template <class Team> EPLB_FN bool keeps(Team& team, const Placement& s, int g, int e, int out, int out2) {
  if (s.p.count[e] == 1) return false;
  const int from = s.p.first[e], to = from + s.p.count[e];
  const View<int> items = s.item.from(g * s.p.places);
  return team.find(0, s.p.places, [=](auto k) {
    const auto i = items[k];
    return (i >= from) & (i < to) & (i != out) & (i != out2);
  }) < s.p.places;
}

// Would an exchange of p and q put two replicas of an expert on one GPU?
template <class Team> EPLB_FN bool clash(Team& team, const Placement& s, int p, int q) {
  const int ep = s.p.expert[p], eq = s.p.expert[q], k = s.p.places;
  if (s.p.count[ep] == 1 && s.p.count[eq] == 1) return false;
  const int from_p = s.p.first[ep], to_p = from_p + s.p.count[ep], from_q = s.p.first[eq],
            to_q = from_q + s.p.count[eq];
  const View<int> beside_p = s.item.from(s.gpu[p] * k), beside_q = s.item.from(s.gpu[q] * k);
  return team.find(0, k, [=](auto m) {
    const auto i = beside_p[m], j = beside_q[m];
    return ((i >= from_q) & (i < to_q) & (i != p)) | ((j >= from_p) & (j < to_p) & (j != q));
  }) < k;
}

// p and q change places. `also` is done by one lane on the way: it must touch nothing that a placement has.
template <class Team, class Also>
EPLB_FN void exchange(Team& team, const Placement& s, int p, int q, const Also& also) {
  const int g = s.gpu[p], h = s.gpu[q], i = s.slot[p], j = s.slot[q], k = s.p.places;
  const int size_p = s.p.size[p], size_q = s.p.size[q], d = size_p - size_q;
  const int load_g = s.load[g] - d, load_h = s.load[h] + d;
  const View<int> items_g = s.item.from(g * k), items_h = s.item.from(h * k);
  team.barrier();
  team.single_nowait([&] {
    items_g[i] = q;
    items_h[j] = p;
    s.held[i * s.stride + g] = size_q;
    s.held[j * s.stride + h] = size_p;
    s.gpu[p] = h;
    s.gpu[q] = g;
    s.slot[p] = j;
    s.slot[q] = i;
    s.load[g] = load_g;
    s.load[h] = load_h;
    also();
  });
  const auto on_g = team.patched(items_g, i, q), on_h = team.patched(items_h, j, p);
  team.for_each(k, [&](int m) {
    const int x = on_g[m], y = on_h[m];
    s.rest[x] = load_g - s.p.size[x];
    s.rest[y] = load_h - s.p.size[y];
  });
}
template <class Team> EPLB_FN void exchange(Team& team, const Placement& s, int p, int q) {
  exchange(team, s, p, q, [] {});
}

// Does a lower slot of the GPU hold a replica of the same expert?
EPLB_FN bool is_duplicate(const Placement& s, int slot) {
  const int e = s.p.expert[s.item[slot]];
  if (s.p.count[e] == 1) return false;
  const int from = s.p.first[e], to = from + s.p.count[e];
  for (int other = slot - slot % s.p.places; other < slot; ++other)
    if (s.item[other] >= from && s.item[other] < to) return true;
  return false;
}

// A duplicate changes places with the position that leaves the least larger load and makes no other, or is one itself (ties:
// lowest position); true if that was possible. Each time there is one duplicate less.
template <class Team> EPLB_FN bool repair(Team& team, const Placement& s, int slot) {
  const int p = s.item[slot], e = s.p.expert[p], g = slot / s.p.places;
  auto value = [&](int q) {
    const int h = s.gpu[q], d = s.p.size[p] - s.p.size[q];
    const bool fits = h != g && !holds(s, h, e) && (!holds(s, g, s.p.expert[q]) || copies_on(s, h, s.p.expert[q]) > 1);
    return fits ? -larger(s.load[g] - d, s.load[h] + d) : -kNever;
  };
  const int least = team.max_of(s.p.slots, value);
  if (least == -kNever) return false;
  exchange(team, s, p, team.find_of(s.p.slots, [&](int q) { return value(q) == least; }));
  return true;
}

// With more slots on a GPU duplicates stay: looking for them costs K for each slot, and with fewer experts than slots on a GPU
// most cannot be avoided.
inline constexpr int kRepairPlaces = 1024, kRepairPlacesOfFew = 64;

// The start: longest first, copies apart while they can be; then duplicates are repaired, GPU by GPU and slot by slot.
template <class Number, class Team> EPLB_FN void start(Team& team, const Placement& s, Packing packing) {
  packing.items = s.p.slots;
  packing.packs = s.p.gpus;
  packing.slots_per_pack = s.p.places;
  packing.size = s.p.size;
  packing.pack = s.gpu;
  packing.slot = s.slot;
  packing.position = s.item;
  packing.load = s.load;
  place_longest_first<Number>(team, packing, [&](int i) { return s.p.count[s.p.expert[i]]; });
  settle(team, s);
  if (s.p.slots == s.p.experts) return;
  if (s.p.places > (s.p.experts < s.p.places ? kRepairPlacesOfFew : kRepairPlaces)) return;
  auto next = [&](int from) {
    return from + team.find_of(s.p.slots - from, [&](int i) { return is_duplicate(s, from + i); });
  };
  for (int slot = next(0); slot < s.p.slots; slot = next(slot))
    if (!repair(team, s, slot)) ++slot;
}

EPLB_STAGE_END
