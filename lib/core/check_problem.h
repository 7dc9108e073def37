// What the caller asks for becomes a problem.
#pragma once

#include "core/cluster.h"

namespace eplb {

// Throw InvalidArgument naming the argument, both numbers and the nearest legal values; Unavailable
// for a constant above those that this version knows. Without options: of an evaluation.
// The problem points to the arrays of the cluster, if there is one.
Problem check_problem(const eplb_problem& asked, const ClusterArrays& cluster, int64_t layers,
                      int64_t experts);
Problem check_problem(const eplb_problem& asked, const eplb_solve_options& options,
                      const ClusterArrays& cluster, int64_t layers, int64_t experts);

// The same for transfers between two placements of `length` elements, of which sizes and nodes are
// all that matters. The number of experts is the caller's to set.
Problem check_transfers(const eplb_problem& asked, const ClusterArrays& cluster,
                        eplb_transfer_order order, int64_t length);

}  // namespace eplb
