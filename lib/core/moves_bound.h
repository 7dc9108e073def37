// How many moves a target takes at least, see docs/algorithms.md, section 12.11.
#pragma once

#include "core/problem.h"
#include "core/weights.h"

namespace eplb {

// Of a layer, from the problem's current placement; at least the forced ones. A proof for
// more needs equal GPUs, full slots and no copies on one GPU.
int64_t moves_bound(const Problem& problem, const Weights& weights, int64_t layer);

}  // namespace eplb
