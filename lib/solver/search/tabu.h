// BEST's search on three or more slots per GPU. A step relieves the heaviest GPU by the best swap, even if that makes
// something worse; what has moved stays where it is for some steps, so that the search does not turn on the spot. When it is
// stuck it goes back to the best state and shakes it: by changing a replica's expert, by exchanging pairs, or by a walk.
// Everything is integers, and every choice a minimum with a stated tie: no machine and no order of lanes changes it.
#pragma once

#include "solver/search/pair_swap.h"
#include "solver/search/retarget.h"
#include "solver/search/swap.h"

EPLB_STAGE_BEGIN

template <class Team> EPLB_FN void go_back(Team& team, Search& s) {
  if (s.recounted) return restore(team, s);
  for (; s.logged > 0; --s.logged) exchange(team, s.now, s.log[2 * s.logged - 2], s.log[2 * s.logged - 1]);
}

// A few random exchanges among the other GPUs that keep every load below the heaviest: fresh partners for it. Each position
// tries the next smaller ones.
template <class Team> EPLB_FN void walk(Team& team, Search& search, const Ends& e) {
  constexpr int kLooks = 8;
  const Placement& s = search.now;
  ++search.spent;
  for (int t = smaller(larger(s.p.gpus / 8, 2), 16); t > 0; --t) {
    const int p = below(search.chance(team, search.draws++), s.p.slots), g = s.gpu[p], expert = s.p.expert[p];
    if (g == e.heaviest) continue;
    const int from = s.p.first[expert] + s.p.count[expert], to = smaller(s.p.slots, from + kLooks);
    auto lighter_host = [=, room = e.most - s.p.size[p], h = e.heaviest](auto q) {
      return (s.gpu[q] != h) & (s.gpu[q] != g) & (s.rest[q] < room);
    };
    int q = team.find(from, to, lighter_host);
    while (q < to && clash(team, s, p, q)) q = team.find(q + 1, to, lighter_host);
    if (q < to) exchange(team, s, p, q);
  }
}

// False when the best is good enough.
template <class Team> EPLB_FN bool step(Team& team, Search& s) {
  Ends e = ends(team, s.now);
  if (e.most <= s.best) {  // an equal state counts too: GPUs that share the largest load are relieved one by one
    if (e.most < s.best) s.since = 0;
    if (e.most < s.best || s.recounted) {
      s.recounted = false;
      s.patience = kPatience;
    }
    s.best = e.most;
    s.logged = 0;
  }
  if (s.best <= s.enough) return false;
  ++s.spent;
  ++s.step;
  if (s.since < s.patience && relieve(team, s, e)) return true;
  go_back(team, s);
  s.since = 0;
  s.patience = kPatience;
  e = ends(team, s.now);
  const bool wide = s.now.p.slots > s.now.p.experts && s.best > s.mean + s.mean / 512;
  if (wide && s.turn++ % 4 == 3 && recount(team, s, e.heaviest)) return true;
  const bool pairs = s.now.p.places >= 4 && s.now.p.places <= kPairPlaces;
  if (!pairs || !exchange_pairs(team, s, e)) walk(team, s, e);
  return true;
}

// Leaves the best state found. The budget counts steps, and dearer things as several.
template <class Team> EPLB_FN void run(Team& team, Search& s, int64_t budget) {
  while (s.spent < budget && step(team, s)) {
  }
  const int last = ends(team, s.now).most;
  if (last < s.best) {
    s.best = last;
    s.logged = 0;
    s.recounted = false;
  }
  go_back(team, s);
}

EPLB_STAGE_END
