// Packing on GPUs that differ in slots or speed. The rules are those for equal packs
// (longest_first.h, refine.h, pack.h) with a pack's time in place of its load.
#pragma once

#include "solver/layer/cluster.h"
#include "solver/packing/pack.h"

EPLB_STAGE_BEGIN

// Packs with places for slots_per_pack positions each, of which the first ones are open. All open
// ones are filled: there are as many positions.
struct UnequalPacking {
  Packing packing;
  Cluster cluster;
  View<int64_t> slowness;  // by pack: kFastest times its time for a load of 1, rounded down
  int parts = 1;           // of the layer, each of which is packed like this

  // Of a pack with such a load: what the fastest pack would need as load to take as long.
  EPLB_FN int64_t time(int pack, int load) const { return load * slowness[pack] / kFastest; }
  EPLB_FN int64_t time(int pack) const { return time(pack, packing.load[pack]); }
};

// Empties all packs.
EPLB_FN void begin_packs(Team auto& team, const UnequalPacking& unequal) {
  const Packing& packing = unequal.packing;
  team.for_each(packing.packs, [&](int pack) {
    unequal.slowness[pack] = int64_t{kFastest} * kFastest / pace(unequal.cluster, pack);
    packing.scratch.used[pack] = 0;
    packing.load[pack] = 0;
  });
  // Contents are sorted with closed places last.
  team.for_each(packing.packs * packing.slots_per_pack,
                [&](int place) { packing.position[place] = kNever; });
}

template <class Number>
EPLB_FN void put_last(const UnequalPacking& unequal, int pack, int position) {
  const Packing& packing = unequal.packing;
  const int slot = packing.scratch.used[pack]++;
  packing.contents_of(pack)[slot] = position;
  packing.pack[position] = pack;
  packing.slot[position] = slot;
  packing.load[pack] = Number::add(packing.load[pack], packing.size[position]);
}

EPLB_FN bool has_room(const UnequalPacking& unequal, int pack) {
  return unequal.packing.scratch.used[pack] < open_slots(unequal.cluster, pack);
}

// The pack whose time is least with a position of this size on it, of those for which
// may_take(pack) holds; ties: lowest pack. -1 if there is none.
EPLB_FN int earliest_pack(Team auto& team, const UnequalPacking& unequal, int size, auto may_take) {
  const Packing& packing = unequal.packing;
  auto key_of = [&](int pack) {
    return may_take(pack) ? -unequal.time(pack, packing.load[pack] + size) : -kNever64;
  };
  const int64_t best = team.max_of(packing.packs, key_of);
  if (best == -kNever64) return -1;
  return team.find_of(packing.packs, [&](int pack) { return key_of(pack) == best; });
}

// Is this far larger than models, so that looking at every pack for each position would take longer
// than seconds?
EPLB_FN bool is_too_large(const UnequalPacking& unequal) {
  constexpr int64_t kMostLooks = int64_t{1} << 30;
  return int64_t{unequal.packing.items} * unequal.packing.packs > kMostLooks / unequal.parts;
}
EPLB_FN int time_key(const UnequalPacking& unequal, int pack) {
  if (unequal.cluster.gpu_pace == nullptr) return unequal.packing.load[pack];
  const int64_t time = unequal.time(pack);
  return time < kNever ? static_cast<int>(time) : kNever - 1;
}

// Puts every position, in order, on the pack with an open slot whose time is then least; where that
// takes too long, is least before. Between equally fast packs both are the lightest one.
template <class Number>
EPLB_FN void place_longest_first(Team auto& team, const UnequalPacking& unequal) {
  const Packing& packing = unequal.packing;
  begin_packs(team, unequal);
  if (unequal.cluster.gpu_pace && !is_too_large(unequal)) {
    for (int position = 0; position < packing.items; ++position) {
      const int pack = earliest_pack(team, unequal, packing.size[position],
                                     [&](int other) { return has_room(unequal, other); });
      team.single([&] { put_last<Number>(unequal, pack, position); });
    }
    return;
  }
  const View<int> keys = packing.scratch.keys;
  team.for_each(packing.packs,
                [&](int pack) { keys[pack] = has_room(unequal, pack) ? 0 : kNever; });
  team.serve(packing.packs, keys, packing.items, [&](int position, int pack, int) {
    put_last<Number>(unequal, pack, position);
    return has_room(unequal, pack) ? time_key(unequal, pack) : kNever;
  });
}

// The first pack with the largest time.
EPLB_FN int busiest_pack(Team auto& team, const UnequalPacking& unequal) {
  const int packs = unequal.packing.packs;
  const int64_t most = team.max_of(packs, [&](int pack) { return unequal.time(pack); });
  return team.find_of(packs, [&](int pack) { return unequal.time(pack) == most; });
}
// The first of those with slots that has the least.
EPLB_FN int idlest_pack(Team auto& team, const UnequalPacking& unequal) {
  return earliest_pack(team, unequal, 0,
                       [&](int pack) { return open_slots(unequal.cluster, pack) > 0; });
}

// A position of the busiest pack and a smaller one elsewhere: by how much both packs end below the
// largest time.
struct BusiestWithAny {
  const UnequalPacking& unequal;
  int busiest;

  EPLB_FN int64_t gain(int slot, int taken) const {
    const Packing& packing = unequal.packing;
    const int pack = packing.pack[taken];
    const int difference = packing.size[packing.contents_of(busiest)[slot]] - packing.size[taken];
    if (pack == busiest || difference <= 0) return 0;
    const int64_t own = unequal.time(busiest, packing.load[busiest] - difference),
                  other = unequal.time(pack, packing.load[pack] + difference);
    return unequal.time(busiest) - (own < other ? other : own);
  }
  EPLB_FN int64_t best_gain(int slot) const {
    int64_t best = 0;
    for (int taken = 0; taken < unequal.packing.items; ++taken) {
      const int64_t other = gain(slot, taken);
      best = other > best ? other : best;
    }
    return best;
  }
};

// Two positions of different packs: half of what the sum over packs of load^2 / pace loses, where
// the difference d of their sizes is at least 0, as sizes fall with the position.
struct AnyUnequalPair {
  const UnequalPacking& unequal;

  EPLB_FN int64_t gain(int first, int second) const {
    const Packing& packing = unequal.packing;
    const int from = packing.pack[first], to = packing.pack[second];
    const int64_t d = packing.size[first] - packing.size[second];
    if (from == to || d == 0) return 0;
    return d * (2 * int64_t{packing.load[from]} - d) / pace(unequal.cluster, from) -
           d * (2 * int64_t{packing.load[to]} + d) / pace(unequal.cluster, to);
  }
  EPLB_FN int64_t best_gain(int first) const {
    int64_t best = 0;
    for (int second = first + 1; second < unequal.packing.items; ++second) {
      const int64_t other = gain(first, second);
      best = other > best ? other : best;
    }
    return best;
  }
};

// Slots of the busiest and the idlest pack: how much closer their times get.
struct UnequalEnds {
  const UnequalPacking& unequal;
  int busiest, idlest;

  EPLB_FN int64_t gain(int busy_slot, int idle_slot) const {
    const Packing& packing = unequal.packing;
    const int moved = packing.size[packing.contents_of(busiest)[busy_slot]] -
                      packing.size[packing.contents_of(idlest)[idle_slot]];
    const int64_t after = unequal.time(busiest, packing.load[busiest] - moved) -
                          unequal.time(idlest, packing.load[idlest] + moved);
    return unequal.time(busiest) - unequal.time(idlest) - (after < 0 ? -after : after);
  }
  EPLB_FN int64_t best_gain(int busy_slot) const {
    int64_t best = 0;
    for (int slot = 0; slot < open_slots(unequal.cluster, idlest); ++slot) {
      const int64_t other = gain(busy_slot, slot);
      best = other > best ? other : best;
    }
    return best;
  }
};

EPLB_FN void exchange_unequal(Team auto& team, const UnequalPacking& unequal, int a, int b,
                              bool keep_order) {
  const Packing& packing = unequal.packing;
  const int pack_a = packing.pack[a], pack_b = packing.pack[b];
  const int slot_a = packing.slot[a], slot_b = packing.slot[b];
  const int difference = packing.size[a] - packing.size[b];
  team.barrier();
  team.single([&] {
    put(packing, pack_a, slot_a, b, keep_order);
    put(packing, pack_b, slot_b, a, keep_order);
    packing.load[pack_a] -= difference;
    packing.load[pack_b] += difference;
  });
}

// The best exchange of any two positions, if there is one.
EPLB_FN bool exchange_any_pair(Team auto& team, const UnequalPacking& unequal) {
  const int items = unequal.packing.items;
  int first, second;
  if (!find_best(team, AnyUnequalPair{unequal}, items, items, first, second)) return false;
  exchange_unequal(team, unequal, first, second, true);
  return true;
}

// The best exchange of the busiest pack, if there is one.
EPLB_FN bool exchange_busiest(Team auto& team, const UnequalPacking& unequal, bool with_any) {
  const Packing& packing = unequal.packing;
  const int busiest = busiest_pack(team, unequal), slots = open_slots(unequal.cluster, busiest);
  const View<int> contents = packing.contents_of(busiest);
  int first, second;
  if (with_any) {
    if (!find_best(team, BusiestWithAny{unequal, busiest}, slots, packing.items, first, second))
      return false;
    exchange_unequal(team, unequal, contents[first], second, true);
    return true;
  }
  const int idlest = idlest_pack(team, unequal);
  if (!find_best(team, UnequalEnds{unequal, busiest, idlest}, slots,
                 open_slots(unequal.cluster, idlest), first, second))
    return false;
  exchange_unequal(team, unequal, contents[first], packing.contents_of(idlest)[second], false);
  return true;
}

// Stops early when no exchange gains.
EPLB_FN void refine(Team auto& team, const UnequalPacking& unequal, Exchange kind,
                    int most_exchanges) {
  auto exchange_best = [&] {
    return kind == Exchange::kAnyPair
               ? exchange_any_pair(team, unequal)
               : exchange_busiest(team, unequal, kind == Exchange::kHeaviestWithAny);
  };
  while (most_exchanges-- > 0 && !team.stopped() && exchange_best()) {
  }
}

// Times that no int holds count as the largest.
EPLB_FN int score_of(Team auto& team, const UnequalPacking& unequal, Winner winner) {
  int64_t score = unequal.time(busiest_pack(team, unequal));
  if (winner == Winner::kLeastSpread) score -= unequal.time(idlest_pack(team, unequal));
  return score < kNever ? static_cast<int>(score) : kNever - 1;
}

// slot_of[item], of as many items as there are open slots, from the best of these chains (ties:
// lowest chain). Returns its score.
template <class Number>
EPLB_FN int pack(Team auto& team, const Preset& preset, UnequalPacking unequal, View<int> size,
                 Chance chance, Chains chains, View<int> slot_of) {
  Packing& packing = unequal.packing;
  packing.items = open_slots(unequal.cluster);
  packing.packs = unequal.cluster.gpus;
  const int per_pack = packing.slots_per_pack = slots_per_gpu(unequal.cluster);
  int best = kNever;
  for (int chain = chains.from; goes_on(team, preset, chains, chain, best); ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    arrange(team, packing, size, preset, chance);
    place_longest_first<Number>(team, unequal);
    refine(team, unequal, preset.exchange, preset.most_exchanges);
    const int score = preset.chains > 1 ? score_of(team, unequal, preset.winner) : 0;
    if (score >= best) continue;
    best = score;
    team.for_each(packing.items, [&](int position) {
      slot_of[packing.order[position]] = packing.pack[position] * per_pack + packing.slot[position];
    });
  }
  return best;
}

EPLB_STAGE_END
