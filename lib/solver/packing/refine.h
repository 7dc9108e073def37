// Refinement: exchanges of two positions, best first.
#pragma once

#include "solver/packing/longest_first.h"
#include "solver/packing/preset.h"

EPLB_STAGE_BEGIN

// Puts position i into place k of pack g; with `in_order` into the one that the order of positions wants, k being free.
EPLB_FN void put(const Packing& p, int g, int k, int i, bool in_order) {
  const View<int> at = p.at.from(g * p.places);
  auto take = [&](int from) {
    at[k] = at[from];
    p.slot[at[k]] = k;
    k = from;
  };
  while (in_order && k > 0 && at[k - 1] > i) take(k - 1);
  while (in_order && k + 1 < p.places && at[k + 1] < i) take(k + 1);
  at[k] = i;
  p.slot[i] = k;
  p.pack[i] = g;
}

template <class Team> EPLB_FN void exchange(Team& team, const Packing& p, int i, int j, bool in_order) {
  const int g = p.pack[i], h = p.pack[j], k = p.slot[i], l = p.slot[j], d = p.size[i] - p.size[j];
  const int load_g = p.load[g] - d, load_h = p.load[h] + d;
  team.barrier();
  team.single([&] {
    put(p, g, k, j, in_order);
    put(p, h, l, i, in_order);
    p.load[g] = load_g;
    p.load[h] = load_h;
  });
  team.for_each(p.places, [&](int m) {
    p.beside[p.at[g * p.places + m]] = load_g;
    p.beside[p.at[h * p.places + m]] = load_h;
  });
}

// Where j may be for an i on the heaviest pack. If sizes fall with the position, j comes after i, and only down to a size of
// size i - (heaviest - lightest): a shortcut with the same answer, for no other j has a score above 0.
struct Window {
  int from, floor;
};
EPLB_FN Window window(const Packing& p, int i, int spread, bool sorted) {
  return sorted ? Window{i + 1, p.size[i] - spread} : Window{0, -1};
}

// One best swap of the heaviest pack (lowest id) with any other: position i on it, a smaller j elsewhere, d = size i - size j.
// The score min(d, heaviest - load of j's pack - d) is how far both packs come down below the heaviest; the largest counts if
// it is above 0, ties: lowest i, then lowest j. On the heaviest pack itself the score is min(d, -d), so j needs no test for
// that. Source: the swap refinement of the seeds vectorized_lpt_and_swap and its relatives.
template <class Team> EPLB_FN bool swap_heaviest(Team& team, const Packing& p, bool sorted) {
  const int heaviest = team.most(0, p.packs, [=](auto g) { return p.load[g]; });
  const int lightest = team.least(0, p.packs, [=](auto g) { return p.load[g]; });
  const int h = team.find(0, p.packs, [=](auto g) { return p.load[g] == heaviest; });
  const Found found = team.found(p.places, 0, [&](int k) {
    const int i = p.at[h * p.places + k], mine = p.size[i];
    const Window w = window(p, i, heaviest - lightest, sorted);
    return stretch_of(
        w.from, p.items, [=, size = p.size](int s) { return size[s] > w.floor; },
        [=, size = p.size, beside = p.beside](auto s) {
          const auto d = mine - size[s];
          return less(d, heaviest - beside[s] - d);
        });
  });
  if (found.value == 0) return false;
  exchange(team, p, p.at[h * p.places + found.stretch], found.index, true);
  return true;
}

// One best swap of any two positions i before j in different packs of loads Pa, Pb: the gain d (Pa - Pb - d) is half of what
// the sum of squared loads loses; the largest counts if it is above 0, ties: lowest i, then lowest j. Sizes fall with the
// position, so d >= 0, and d < Pa - Pb <= Pa - lightest ends the window. (The mirrored pair has the same gain and comes
// later.) Source: the seed l2_opt_packing_gpu.
template <class Team> EPLB_FN bool swap_any_pair(Team& team, const Packing& p) {
  const int lightest = team.least(0, p.packs, [=](auto g) { return p.load[g]; });
  auto gain = [&](int i, int j) {
    const int64_t d = p.size[i] - p.size[j];
    return d * (p.beside[i] - p.beside[j] - d);
  };
  auto inside = [&](int i, int j) { return j < p.items && p.size[j] > p.size[i] - (p.beside[i] - lightest); };
  auto best_of = [&](int i) {
    int64_t best = 0;
    for (int j = i + 1; inside(i, j); ++j) {
      const int64_t x = gain(i, j);
      best = x > best ? x : best;
    }
    return best;
  };
  const int64_t value = team.most_of(p.items, best_of);
  if (value <= 0) return false;
  const int i = team.find_of(p.items, [&](int a) { return best_of(a) == value; });
  const int j = team.find_of(p.items, [&](int b) { return b > i && inside(i, b) && gain(i, b) == value; });
  exchange(team, p, i, j, true);
  return true;
}

// One best swap of the heaviest with the lightest pack, D being the difference of their loads: the gain D - |D - 2d| is how
// much smaller it gets; the largest counts if it is above 0, ties: lowest slot in the heaviest, then in the lightest. The
// lists of the packs keep their order. Source: the seed gpu_parallel_randomized_greedy_refinement.
template <class Team> EPLB_FN bool swap_with_lightest(Team& team, const Packing& p) {
  const int heaviest = team.most(0, p.packs, [=](auto g) { return p.load[g]; });
  const int lightest = team.least(0, p.packs, [=](auto g) { return p.load[g]; });
  const int h = team.find(0, p.packs, [=](auto g) { return p.load[g] == heaviest; });
  const int l = team.find(0, p.packs, [=](auto g) { return p.load[g] == lightest; });
  const int difference = heaviest - lightest;
  auto gain = [&](int k, int m) {
    const int d = p.size[p.at[h * p.places + k]] - p.size[p.at[l * p.places + m]];
    const int left = difference - 2 * d;
    return difference - (left < 0 ? -left : left);
  };
  auto best_of = [&](int k) {
    int best = 0;
    for (int m = 0; m < p.places; ++m) best = more(best, gain(k, m));
    return best;
  };
  const int value = team.most_of(p.places, best_of);
  if (value <= 0) return false;
  const int k = team.find_of(p.places, [&](int x) { return best_of(x) == value; });
  const int m = team.find_of(p.places, [&](int x) { return gain(k, x) == value; });
  exchange(team, p, p.at[h * p.places + k], p.at[l * p.places + m], false);
  return true;
}

// `sorted`: sizes fall with the position.
template <class Team> EPLB_FN void refine(Team& team, const Packing& p, Move move, int steps, bool sorted) {
  constexpr int kSmaller = -(1 << 29);  // than any size: behind the last position nothing is worth a swap
  team.for_each(p.items, [&](int i) { p.beside[i] = p.load[p.pack[i]]; });
  team.for_each(kAhead, [&](int i) {
    p.size[p.items + i] = kSmaller;
    p.beside[p.items + i] = 0;
  });
  auto step = [&] {
    if (move == Move::kHeaviest) return swap_heaviest(team, p, sorted);
    return move == Move::kAnyPair ? swap_any_pair(team, p) : swap_with_lightest(team, p);
  };
  while (steps-- > 0 && step()) {
  }
}

EPLB_STAGE_END
