// What the caller asks for becomes a problem.
#pragma once

#include "core/problem.h"

namespace eplb {

// Throw InvalidArgument naming the argument, both numbers and the nearest legal values; Unavailable
// for a constant above those that this version knows. Without options: of an evaluation.
Problem check_problem(const eplb_problem& asked, int64_t layers, int64_t experts);
Problem check_problem(const eplb_problem& asked, const eplb_solve_options& options, int64_t layers,
                      int64_t experts);

// The same for transfers between two placements of `length` elements, of which sizes and nodes are
// all that matters. The number of experts is the caller's to set.
Problem check_transfers(const eplb_problem& asked, eplb_transfer_order order, int64_t length);

}  // namespace eplb
