// BEST's search on three or more slots per GPU. A step relieves the heaviest GPU by the best swap,
// even if that makes the state worse; replicas that were swapped stay where they are for some
// steps, so that the search does not go in circles. When it is stuck it goes back to the best state
// and shakes it: by a re-target, by swapping pairs, or by a walk. Everything is integers, and every
// choice is a minimum with a stated tie: no machine and no order of lanes changes it.
#pragma once

#include "solver/search/pair_swap.h"
#include "solver/search/retarget.h"
#include "solver/search/swap.h"
#include "solver/search/walk.h"

EPLB_STAGE_BEGIN

// Keeps the state as the best one if it is no worse. An equal state counts too: GPUs that share the
// largest load are relieved one by one.
EPLB_FN void keep_if_best(TabuSearch& search, int load) {
  if (load > search.best) return;
  if (load < search.best) search.since_best = 0;
  search.best = load;
  search.patience = kPatience;
  search.log.length = 0;
}

// Shakes the best state. Pairs and walks leave no load above the best, so they need no log.
EPLB_FN void shake(Team auto& team, TabuSearch& search) {
  const SortedReplicas& sorted = search.state.sorted;
  const LoadRange loads = load_range(team, search.state);
  const int mean = search.limits.mean;
  const bool above_mean = sorted.slots > sorted.experts && search.best > mean + mean / 512;
  if (above_mean && search.stalls++ % 4 == 3 && retarget(team, search, loads.heaviest)) return;
  if (!has_pairs(sorted.slots_per_gpu) || !swap_pairs(team, search, loads))
    walk(team, search, loads);
}

// False when the best state is good enough.
EPLB_FN bool step(Team auto& team, TabuSearch& search) {
  const LoadRange loads = load_range(team, search.state);
  keep_if_best(search, loads.most);
  if (search.best <= search.good_enough) return false;
  ++search.spent;
  ++search.step;
  if (search.since_best < search.patience && relieve(team, search, loads)) return true;
  go_back(team, search);
  search.since_best = 0;
  search.patience = kPatience;
  shake(team, search);
  return true;
}

// Leaves the best state found. The budget counts steps; what takes longer counts as several.
EPLB_FN void run(Team auto& team, TabuSearch& search, int64_t budget) {
  while (search.spent < budget && !team.stopped() && step(team, search)) {
  }
  const int last = load_range(team, search.state).most;
  if (last < search.best) {
    search.best = last;
    search.log.length = 0;
  }
  go_back(team, search);
}

EPLB_STAGE_END
