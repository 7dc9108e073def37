// What the caller asks for becomes a problem.
#pragma once

#include "core/problem.h"

namespace eplb {

// Throw InvalidArgument naming the argument, both numbers and the nearest legal values; Unavailable
// for a constant above those that this version knows. Without options: of an evaluation.
Problem check_problem(const eplb_problem& asked, int64_t layers, int64_t experts);
Problem check_problem(const eplb_problem& asked, const eplb_solve_options& options, int64_t layers,
                      int64_t experts);

}  // namespace eplb
