// When the search is stuck well above the mean: a replica changes its expert.
#pragma once

#include "solver/search/search.h"

EPLB_STAGE_BEGIN

inline constexpr int kRecountTries = 8;

template <class Team> EPLB_FN void save(Team& team, const Search& search) {
  const Placement& s = search.now;
  const SavedPlacement& to = search.saved;
  team.for_each(s.p.slots, [&](int i) {
    to.size[i] = s.p.size[i];
    to.expert[i] = s.p.expert[i];
    to.gpu[i] = s.gpu[i];
    to.slot[i] = s.slot[i];
  });
  team.for_each(s.p.experts, [&](int e) {
    to.count[e] = s.p.count[e];
    to.first[e] = s.p.first[e];
  });
}

template <class Team> EPLB_FN void restore(Team& team, Search& search) {
  const Placement& s = search.now;
  const SavedPlacement& from = search.saved;
  team.for_each(s.p.slots, [&](int i) {
    s.p.size[i] = from.size[i];
    s.p.expert[i] = from.expert[i];
    s.gpu[i] = from.gpu[i];
    s.slot[i] = from.slot[i];
  });
  team.for_each(s.p.experts, [&](int e) {
    s.p.count[e] = from.count[e];
    s.p.first[e] = from.first[e];
  });
  settle(team, s);
  clear_tabu(team, search);
  search.recounted = false;
  search.logged = 0;
}

// The replica at position `from` becomes one of expert b, its last; all others keep their places. `saved` holds the state
// before: every position's new one follows from where the two experts' copies were and will be.
template <class Team> EPLB_FN void change_expert(Team& team, const Search& search, int from, int b) {
  const Placement& s = search.now;
  const SavedPlacement& old = search.saved;
  const int a = old.expert[from], copies_a = old.count[a] - 1, copies_b = old.count[b] + 1;
  const int size_a = s.p.weight[a] / copies_a, size_b = s.p.weight[b] / copies_b;
  auto before = [](int size, int e, int other_size, int other) {
    return size > other_size || (size == other_size && e < other);
  };
  auto others_before = [&](int size, int e) {  // positions of neither expert that come first
    const int at = team.find_of(s.p.slots, [&](int i) { return !before(old.size[i], old.expert[i], size, e); });
    return at - larger(0, smaller(at - old.first[a], old.count[a])) - larger(0, smaller(at - old.first[b], old.count[b]));
  };
  const int first_a = others_before(size_a, a) + (before(size_b, b, size_a, a) ? copies_b : 0);
  const int first_b = others_before(size_b, b) + (before(size_a, a, size_b, b) ? copies_a : 0);
  auto put = [&](int to, int size, int expert, int i) {
    s.p.size[to] = size;
    s.p.expert[to] = expert;
    s.gpu[to] = old.gpu[i];
    s.slot[to] = old.slot[i];
  };
  team.for_each(s.p.slots, [&](int i) {
    const int e = old.expert[i];
    if (i == from) return put(first_b + copies_b - 1, size_b, b, i);
    if (e == a) return put(first_a + (i - old.first[a]) - (i > from ? 1 : 0), size_a, a, i);
    if (e == b) return put(first_b + (i - old.first[b]), size_b, b, i);
    const int shift = (before(size_a, a, old.size[i], e) ? copies_a : 0) +
                      (before(size_b, b, old.size[i], e) ? copies_b : 0) - (old.first[a] < i ? old.count[a] : 0) -
                      (old.first[b] < i ? old.count[b] : 0);
    put(i + shift, old.size[i], e, i);
    if (i == old.first[e]) s.p.first[e] = i + shift;
  });
  team.single([&] {
    s.p.first[a] = first_a;
    s.p.first[b] = first_b;
    s.p.count[a] = copies_a;
    s.p.count[b] = copies_b;
  });
}

// Of 8 random changes the one with the least load on the GPUs that gain; ties: first. Then the search has max(40, S/4) steps
// to find a new best, or the state before comes back. False if none of the 8 is possible.
template <class Team> EPLB_FN bool recount(Team& team, Search& search, int h) {
  const Placement& s = search.now;
  const Positions& p = s.p;
  int least = kNever, chosen = -1, chosen_b = -1;
  for (int t = 0; t < kRecountTries; ++t, ++search.draws) {
    const uint32_t random = search.recounts(2 * search.draws), other = search.recounts(2 * search.draws + 1);
    const int from = below(random, p.slots), a = p.expert[from], g = s.gpu[from];
    const int b = other & 1 ? p.expert[s.item[h * p.places + below(other, p.places)]] : p.expert[below(other, p.slots)];
    if (p.count[a] < 2 || a == b || p.count[b] >= search.most || slot_of_expert(team, s, g, b) < p.places) continue;
    const int gain = p.weight[a] / (p.count[a] - 1) - p.size[from];
    const int others = team.max_of(p.count[a], [&](int i) {
      const int q = p.first[a] + i;
      return q == from ? 0 : s.load[s.gpu[q]] + gain;
    });
    const int value = larger(others, s.load[g] - p.size[from] + p.weight[b] / (p.count[b] + 1));
    if (value < least) {
      least = value;
      chosen = from;
      chosen_b = b;
    }
  }
  if (chosen < 0) return false;
  save(team, search);
  change_expert(team, search, chosen, chosen_b);
  settle(team, s);
  clear_tabu(team, search);
  search.spent += p.slots / 12;
  search.recounted = true;
  search.patience = larger(2 * kPatience, p.slots / 4);
  search.logged = 0;
  search.enough = search.mean + (search.mean >> search.fine);
  return true;
}

EPLB_STAGE_END
