// How much of the load is served away from its group's home, and how much has to be.
#pragma once

#include "core/evaluation.h"
#include "core/weights.h"

namespace eplb {

// Works out part kHomes of an evaluation of a placement [L,S], which has the size.
void find_off_home(const Weights& weights, const Problem& problem, const int32_t* placement,
                   Evaluation& evaluation);

}  // namespace eplb
