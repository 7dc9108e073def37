// What BEST's tabu search keeps: its state, the way back to the best one, and what is tabu.
#pragma once

#include "solver/counts/count_rules.h"
#include "solver/search/log.h"
#include "solver/search/objective.h"
#include "solver/search/pair_list.h"

EPLB_STAGE_BEGIN

inline constexpr int kPatience = 20;  // swaps without a new best before the search goes back

// A re-target makes the loads worse at first: swaps without a new best before it is taken back.
EPLB_FN int patience_after_retarget(int slots) { return larger(2 * kPatience, slots / 4); }

struct TabuSearch {
  State state;
  View<int> tabu_until;  // by replica: it is tabu while this is above `step`
  PairList pairs;
  RetargetScratch retarget_scratch;
  Log log;  // moves since the best state

  ChanceBuffer draws;
  uint32_t drawn;  // how many have been used
  Chance retarget_chance;
  CountLimits limits;
  int tolerance_shift;    // a load is good enough mean / 2^tolerance_shift above the mean
  int best, good_enough;  // loads
  int step, since_best, patience, stalls;
  int64_t spent;  // of the budget, in steps

  EPLB_FN void lay_out(Arena& arena, int experts, int slots, int gpus) {
    state.lay_out(arena, experts, slots, gpus);
    tabu_until = arena.take<int>(slots);
    pairs.lay_out(arena, slots / gpus);
    draws.lay_out(arena);
  }
  // What is not used before the search begins.
  EPLB_FN void lay_out_later(Arena& arena, int slots) {
    retarget_scratch.lay_out(arena, slots);
    log.lay_out(arena, patience_after_retarget(slots) + 1);
  }
};

// Nothing is tabu any more: replicas have new numbers.
EPLB_FN void clear_tabu(Team auto& team, const TabuSearch& search) {
  team.for_each(search.state.sorted.slots + kAhead, [&](int i) { search.tabu_until[i] = 0; });
}

EPLB_FN int nearly_mean(const TabuSearch& search) {
  return search.limits.mean + (search.limits.mean >> search.tolerance_shift);
}

// Begins from a state that has been started. bound: of its counts.
EPLB_FN void begin(Team auto& team, TabuSearch& search, const Chance& chance, CountLimits limits,
                   int bound, int tolerance_shift) {
  const State& state = search.state;
  search.draws.begin(team, chance.at(kSearch));
  search.drawn = 0;
  search.retarget_chance = chance.at(kRetarget);
  search.limits = limits;
  search.tolerance_shift = tolerance_shift;
  search.best = load_range(team, state).most;
  search.good_enough = larger(bound, nearly_mean(search));
  search.step = search.since_best = search.stalls = search.log.length = 0;
  search.patience = kPatience;
  search.spent = 0;
  clear_tabu(team, search);
  list_rows(team, search.pairs, state.slots_per_gpu());
  team.for_each(kAhead, [&](int i) { state.gpu[state.sorted.slots + i] = 0; });
}

// Returns to the best state.
EPLB_FN void go_back(Team auto& team, TabuSearch& search) {
  if (undo(team, search.state, search.log, search.retarget_scratch)) clear_tabu(team, search);
}

EPLB_STAGE_END
