// The state of BEST's search: a placement, the way back to the best one, and what is tabu.
#pragma once

#include "solver/team/random.h"
#include "solver/search/state.h"

EPLB_STAGE_BEGIN

inline constexpr int kPatience = 20;    // steps without a new best before going back
inline constexpr int kPairPlaces = 16;  // pairs are exchanged for 4 to so many slots per GPU

// What recount restores.
struct SavedPlacement {
  View<int> size, expert, gpu, slot;  // by position
  View<int> count, first;             // by expert
};

struct Search {
  Placement now;
  SavedPlacement saved;  // while recounted
  View<int> until;       // by position: tabu while until > step
  View<int> log;         // swaps since the best state, two positions each
  View<int> pairs;       // for pairs of slots: see PairList

  Draws chance;
  Chance recounts;
  int mean, most;  // load; copies an expert may have
  int fine;        // a load is good enough mean / 2^fine above the mean
  int best, enough;
  int step, since, patience, turn, logged;
  uint32_t draws;
  int64_t spent;
  bool recounted;

  EPLB_FN void lay_out(Arena& arena, int e, int s, int g) {
    now.lay_out(arena, e, s, g);
    until = arena.take<int>(s);
    const int places = s / g;
    pairs = arena.take<int>(places <= kPairPlaces ? 3 * places * (places - 1) / 2 : 0);
    chance.lay_out(arena);
  }
  // What is of no use before a search begins.
  EPLB_FN void lay_out_past(Arena& arena, int e, int s) {
    saved = {arena.take<int>(s), arena.take<int>(s), arena.take<int>(s),
             arena.take<int>(s), arena.take<int>(e), arena.take<int>(e)};
    log = arena.take<int>(2 * int64_t{larger(2 * kPatience, s / 4) + 1});
  }
};

// Nothing is tabu any more: positions have changed their meaning.
template <class Team> EPLB_FN void clear_tabu(Team& team, const Search& s) {
  team.for_each(s.now.p.slots + kAhead, [&](int i) { s.until[i] = 0; });
}

// Begins from a placement that has been started. bound: of its counts.
template <class Team>
EPLB_FN void begin(Team& team, Search& s, const Chance& chance, int mean, int most, int bound, int fine) {
  s.chance.begin(team, chance.at(kSearch));
  s.recounts = chance.at(kRecount);
  s.mean = mean;
  s.most = most;
  s.best = ends(team, s.now).most;
  s.fine = fine;
  s.enough = larger(bound, mean + (mean >> fine));
  s.step = s.since = s.turn = s.logged = 0;
  s.patience = kPatience;
  s.draws = 0;
  s.spent = 0;
  s.recounted = false;
  clear_tabu(team, s);
  team.for_each(kAhead, [&](int i) { s.now.gpu[s.now.p.slots + i] = 0; });
}

EPLB_STAGE_END
