// The step of BEST's search: the best swap of the heaviest GPU.
#pragma once

#include "solver/search/search.h"

EPLB_STAGE_BEGIN

inline constexpr int kTenure = 4, kTenureSpread = 8;  // steps that a moved position is tabu: 4 to 11

struct Swap {
  int value, p, q;  // value: the larger of the two new loads; kNever: there is none
};

// The value of a swap of position p, of size `mine` on the heaviest GPU h, with q: the larger of the two new loads. Negative,
// for the largest is looked for. While p or q is tabu only a value below the best load counts.
EPLB_FN auto swap_value(const Search& search, const Ends& e, int p) {
  const View<int> size = search.now.p.size, rest = search.now.rest, gpu = search.now.gpu, until = search.until;
  const int mine = size[p], without = e.most - mine, h = e.heaviest, best = search.best;
  const int now = until[p] > search.step ? -1 : search.step;  // -1: nothing is free of a tabu then
  return [=](auto q) {
    const auto value = larger(size[q] + without, rest[q] + mine);
    return choose((gpu[q] == h) | ((until[q] > now) & (value >= best)), -kNever, 0 - value);
  };
}

// The first position from `from` on whose size is below `mine`.
EPLB_FN int first_smaller(View<int> size, int from, int to, int mine) {
  while (from < to) {
    const int middle = from + (to - from) / 2;
    if (size[middle] < mine)
      to = middle;
    else
      from = middle + 1;
  }
  return to;
}

// The least (value, slot of h, position q) over positions p on the heaviest GPU h and strictly smaller q on others, with a
// value below most + (most - least): worsening is allowed. Exchanges that would make a duplicate are not looked at here.
//
// value - load of q's GPU = size p - size q, so q is above size p - (limit - least): a window, with the same answer.
template <class Team> EPLB_FN Swap least_swap(Team& team, const Search& search, const Ends& e) {
  const Placement& s = search.now;
  const View<int> size = s.p.size;
  const int limit = e.most + (e.most - e.least);
  const View<int> items = s.item.from(e.heaviest * s.p.places);
  const Found found = team.max_in_stretches(s.p.places, -limit, [&](int k) {
    const int p = items[k], expert = s.p.expert[p], mine = size[p];
    const int cap = search.until[p] > search.step ? smaller(limit, search.best) : limit, floor = mine - (cap - e.least);
    int from = s.p.first[expert] + s.p.count[expert];
    if (EPLB_RARELY(size[from] == mine)) from = first_smaller(size, from, s.p.slots, mine);
    return stretch_of(
        from, s.p.slots, [=](int q) { return size[q] > floor; }, swap_value(search, e, p));
  });
  if (found.value == -limit) return {kNever, 0, 0};
  return {-found.value, items[found.stretch], found.index};
}

// The same with duplicates left out one by one: where the least of all would make one, which is rare.
template <class Team> EPLB_FN Swap least_clean_swap(Team& team, const Search& search, const Ends& e) {
  const Placement& s = search.now;
  const int h = e.heaviest, best = search.best;
  Swap found{e.most + (e.most - e.least), 0, 0};
  bool any = false;
  for (int k = 0; k < s.p.places; ++k) {
    const int p = s.item[h * s.p.places + k], mine = s.p.size[p], expert = s.p.expert[p];
    const bool tabu = search.until[p] > search.step;
    const int cap = tabu ? smaller(found.value, best) : found.value, floor = mine - (cap - e.least);
    const int from = s.p.first[expert] + s.p.count[expert];
    const int to = team.find(from, s.p.slots, [=](auto q) { return s.p.size[q] <= floor; });
    auto value_of = [&](int i) {
      const int q = from + i, g = s.gpu[q], value = larger(e.most - mine + s.p.size[q], s.rest[q] + mine);
      if (g == h || s.p.size[q] >= mine || value >= cap) return -kNever;
      if (search.until[q] > search.step && value >= best) return -kNever;
      const bool makes_duplicate = (s.p.count[expert] > 1 && holds(s, g, expert)) ||
                                   (s.p.count[s.p.expert[q]] > 1 && holds(s, h, s.p.expert[q]));
      return makes_duplicate ? -kNever : -value;
    };
    const int value = team.max_of(to - from, value_of);
    if (value == -kNever) continue;
    any = true;
    found = {-value, p, from + team.find_of(to - from, [&](int i) { return value_of(i) == value; })};
  }
  return any ? found : Swap{kNever, 0, 0};
}

template <class Team> EPLB_FN bool relieve(Team& team, Search& search, const Ends& e) {
  Swap swap = least_swap(team, search, e);
  if (swap.value != kNever && clash(team, search.now, swap.p, swap.q)) swap = least_clean_swap(team, search, e);
  if (swap.value == kNever) return false;
  const uint32_t random = search.chance(team, search.draws++);
  exchange(team, search.now, swap.p, swap.q, [&] {
    search.until[swap.p] = search.step + kTenure + below(random, kTenureSpread);
    search.until[swap.q] = search.step + kTenure + below(random * 0x9E3779B1u, kTenureSpread);
    search.log[2 * search.logged] = swap.p;
    search.log[2 * search.logged + 1] = swap.q;
  });
  ++search.logged;
  ++search.since;
  return true;
}

EPLB_STAGE_END
