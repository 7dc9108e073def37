// Refinement of a packing: exchanges of two positions, the best one at a time.
#pragma once

#include "solver/packing/longest_first.h"
#include "solver/packing/preset.h"

EPLB_STAGE_BEGIN

// Puts a position into a slot whose contents have left. With keep_order the contents of a pack stay
// sorted by position: those in between move over by one slot.
EPLB_FN void put(const Packing& packing, int pack, int slot, int position, bool keep_order) {
  const View<int> contents = packing.contents_of(pack);
  auto pull_from = [&](int other) {
    contents[slot] = contents[other];
    packing.slot[contents[slot]] = slot;
    slot = other;
  };
  const int last = packing.slots_per_pack - 1;
  while (keep_order && slot > 0 && contents[slot - 1] > position) pull_from(slot - 1);
  while (keep_order && slot < last && contents[slot + 1] < position) pull_from(slot + 1);
  contents[slot] = position;
  packing.slot[position] = slot;
  packing.pack[position] = pack;
}

// Exchanges positions a and b of different packs.
EPLB_FN void exchange(Team auto& team, const Packing& packing, int a, int b, bool keep_order) {
  const int pack_a = packing.pack[a], pack_b = packing.pack[b];
  const int slot_a = packing.slot[a], slot_b = packing.slot[b];
  const int difference = packing.size[a] - packing.size[b];
  const int load_a = packing.load[pack_a] - difference, load_b = packing.load[pack_b] + difference;
  team.barrier();
  team.single([&] {
    put(packing, pack_a, slot_a, b, keep_order);
    put(packing, pack_b, slot_b, a, keep_order);
    packing.load[pack_a] = load_a;
    packing.load[pack_b] = load_b;
  });
  const View<int> contents_a = packing.contents_of(pack_a),
                  contents_b = packing.contents_of(pack_b);
  team.for_each(packing.slots_per_pack, [&](int slot) {
    packing.pack_load[contents_a[slot]] = load_a;
    packing.pack_load[contents_b[slot]] = load_b;
  });
}

// Partners of a position `given` on the heaviest pack. With d, the difference of their sizes, the
// score min(d, heaviest - load of the other pack - d) is how far below the heaviest load both packs
// end. Partners on the heaviest pack itself need no test: their score is min(d, -d). If sizes fall
// with the position, a partner comes later and is larger than size - (heaviest - lightest). That is
// exact: no other partner has a score above 0.
EPLB_FN auto partners_of(const Packing& packing, int given, const MinMax& loads, bool sorted) {
  const View<int> size = packing.size, pack_load = packing.pack_load;
  const int given_size = size[given], heaviest = loads.max;
  const int from = sorted ? given + 1 : 0,
            floor = sorted ? given_size - (heaviest - loads.min) : -1;
  return stretch_of(
      from, packing.items, [=](int taken) { return size[taken] > floor; },
      [=](auto taken) {
        const auto difference = given_size - size[taken];
        return smaller(difference, heaviest - pack_load[taken] - difference);
      });
}

// Exchanges a position of the heaviest pack (ties: lowest pack) with a smaller one elsewhere: the
// pair with the largest score, if it is above 0; ties: lowest slot of the heaviest pack, whose
// contents are sorted by position, then lowest partner. False if there is none. As in the reference
// program vectorized_lpt_and_swap.
EPLB_FN bool exchange_heaviest(Team auto& team, const Packing& packing, bool sorted) {
  const View<int> load = packing.load;
  const MinMax loads = team.min_max(packing.packs, [=](auto pack) { return load[pack]; });
  const View<int> contents = packing.contents_of(loads.first_max);
  const Found found = team.max_in_stretches(packing.slots_per_pack, 0, [&](int slot) {
    return partners_of(packing, contents[slot], loads, sorted);
  });
  if (found.value == 0) return false;
  exchange(team, packing, contents[found.stretch], found.index, true);
  return true;
}

// The pair with the largest gain, if that is above 0; ties: lowest first, then lowest second. False
// if there is none. best_gain(i): the largest of i with any second.
EPLB_FN bool find_best(Team auto& team, const auto& pairs, int firsts, int seconds, int& first,
                       int& second) {
  const auto gain = team.max_of(firsts, [&](int i) { return pairs.best_gain(i); });
  if (gain <= 0) return false;
  first = team.find_of(firsts, [&](int i) { return pairs.best_gain(i) == gain; });
  second = team.find_of(seconds, [&](int i) { return pairs.gain(first, i) == gain; });
  return true;
}

// Pairs of positions in different packs, the first of which comes first. With d, the difference of
// their sizes, and the loads of their packs, the gain d * (load - load of the other - d) is half of
// what the sum of squared loads loses. Sizes fall with the position, so d >= 0, and a gain above 0
// needs d < load - lightest: that ends the window of partners. (The pair in the other order has the
// same gain and comes later.)
struct AnyPair {
  const Packing& packing;
  int lightest;

  EPLB_FN int64_t gain(int first, int second) const {
    const int64_t difference = packing.size[first] - packing.size[second];
    return difference * (packing.pack_load[first] - packing.pack_load[second] - difference);
  }
  EPLB_FN int64_t best_gain(int first) const {
    const int floor = packing.size[first] - (packing.pack_load[first] - lightest);
    int64_t best = 0;
    for (int second = first + 1; second < packing.items && packing.size[second] > floor; ++second) {
      const int64_t other = gain(first, second);
      best = other > best ? other : best;
    }
    return best;
  }
};

// Exchanges the best of these pairs. As in the reference program l2_opt_packing_gpu.
EPLB_FN bool exchange_any_pair(Team auto& team, const Packing& packing) {
  const View<int> load = packing.load;
  const int lightest = team.min(0, packing.packs, [=](auto pack) { return load[pack]; });
  int first, second;
  if (!find_best(team, AnyPair{packing, lightest}, packing.items, packing.items, first, second))
    return false;
  exchange(team, packing, first, second, true);
  return true;
}

// Pairs of slots of the heaviest and the lightest pack. The gain is how much closer their loads
// get.
struct EndsPair {
  const Packing& packing;
  View<int> heavy, light;  // contents of the two packs
  int difference;          // of their loads

  EPLB_FN int gain(int heavy_slot, int light_slot) const {
    const int moved = packing.size[heavy[heavy_slot]] - packing.size[light[light_slot]];
    return difference - magnitude(difference - 2 * moved);
  }
  EPLB_FN int best_gain(int heavy_slot) const {
    int best = 0;
    for (int slot = 0; slot < packing.slots_per_pack; ++slot)
      best = larger(best, gain(heavy_slot, slot));
    return best;
  }
};

// Exchanges the best of these pairs. What takes a slot stays in it, whatever its position. As in
// the reference program gpu_parallel_randomized_greedy_refinement.
EPLB_FN bool exchange_with_lightest(Team auto& team, const Packing& packing) {
  const View<int> load = packing.load;
  const MinMax loads = team.min_max(packing.packs, [=](auto pack) { return load[pack]; });
  const int lightest =
      team.find_of(packing.packs, [&](int pack) { return load[pack] == loads.min; });
  const View<int> heavy = packing.contents_of(loads.first_max);
  const View<int> light = packing.contents_of(lightest);
  const EndsPair pairs{packing, heavy, light, loads.max - loads.min};
  int heavy_slot, light_slot;
  const int slots = packing.slots_per_pack;
  if (!find_best(team, pairs, slots, slots, heavy_slot, light_slot)) return false;
  exchange(team, packing, heavy[heavy_slot], light[light_slot], false);
  return true;
}

// Stops early when no exchange gains. sorted: sizes fall with the position.
EPLB_FN void refine(Team auto& team, const Packing& packing, Exchange kind, int most_exchanges,
                    bool sorted) {
  constexpr int kSmaller = -(1 << 29);  // than any size: behind the last position nothing gains
  team.for_each(packing.items, [&](int position) {
    packing.pack_load[position] = packing.load[packing.pack[position]];
  });
  team.for_each(kAhead, [&](int i) {
    packing.size[packing.items + i] = kSmaller;
    packing.pack_load[packing.items + i] = 0;
  });
  auto exchange_best = [&] {
    if (kind == Exchange::kHeaviestWithAny) return exchange_heaviest(team, packing, sorted);
    return kind == Exchange::kAnyPair ? exchange_any_pair(team, packing)
                                      : exchange_with_lightest(team, packing);
  };
  while (most_exchanges-- > 0 && !team.stopped() && exchange_best()) {
  }
}

EPLB_STAGE_END
