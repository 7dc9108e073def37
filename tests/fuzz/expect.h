// Whether eplb.h lets a call succeed with what its context holds.
#pragma once

#include "known.h"

namespace eplb::fuzz {

// What a call must return; kRefusal is any error, and kEither is for what eplb.h leaves open, such as
// limits that the forced moves of a layer may exceed.
enum class Wanted {
  kSuccess = EPLB_OK,
  kInvalidArgument = EPLB_INVALID_ARGUMENT,
  kInvalidState = EPLB_INVALID_STATE,
  kInvalidWeight = EPLB_INVALID_WEIGHT,
  kInvalidPlacement = EPLB_INVALID_PLACEMENT,
  kUnavailable = EPLB_UNAVAILABLE,
  kRefusal = -1,
  kEither = -2
};
inline Wanted success_if(bool fits, Wanted otherwise) {
  return fits ? Wanted::kSuccess : otherwise;
}

bool is_legal_problem(const eplb_problem& problem, const KnownCluster& cluster, int64_t layers,
                      int64_t experts);
bool prices_fit(const Known& known, const eplb_problem& problem, int64_t experts);
Wanted expect_solve(const Known& known, const eplb_problem& problem,
                    const eplb_solve_options& options);
Wanted expect_reserve(const Known& known, const KnownReserve& asked);

// Is a row of a placement [S] what eplb_evaluate takes?
bool is_placement(const int64_t* row, int64_t experts, const eplb_problem& problem,
                  const Gpus& gpus, int64_t cap);

}  // namespace eplb::fuzz
