// What a load pattern costs. A search compares changes by the cost of the loads that they touch.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// BEST's objective: the larger of the loads that a change leaves on the two GPUs that it touches.
struct Peak {
  EPLB_FN static auto cost(auto one, auto other) { return larger(one, other); }
};

// A swap leaves each GPU with its rest, the load without what it gives away, and what it receives.
template <class Objective>
EPLB_FN auto cost_of_swap(auto giver_rest, auto given, auto taker_rest, auto taken) {
  return Objective::cost(taken + giver_rest, taker_rest + given);
}

EPLB_STAGE_END
