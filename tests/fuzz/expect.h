// Whether eplb.h lets a call succeed with what its context holds.
#pragma once

#include "known.h"

namespace eplb::fuzz {

// kEither: eplb.h leaves it open, as of limits that the forced moves of a layer may exceed.
enum class Expected { kSuccess, kRefusal, kEither };

bool is_legal_problem(const eplb_problem& problem, const KnownCluster& cluster, int64_t layers,
                      int64_t experts);
bool prices_fit(const Known& known, const eplb_problem& problem, int64_t experts);
Expected expect_solve(const Known& known, const eplb_problem& problem,
                      const eplb_solve_options& options);
Expected expect_reserve(const Known& known, const KnownReserve& asked);

// Is a row of a placement [S] what eplb_evaluate takes?
bool is_placement(const int64_t* row, int64_t experts, const eplb_problem& problem,
                  const Gpus& gpus, int64_t cap);

}  // namespace eplb::fuzz
