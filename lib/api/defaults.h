// The only place where defaults stand.
#pragma once

#include "api/structs.h"
#include "eplb.h"

namespace eplb::api {

inline constexpr eplb_context_options kContextDefaults{sizeof(eplb_context_options),
                                                       EPLB_DEVICE_CPU, 0, 1};
inline constexpr eplb_problem kProblemDefaults{sizeof(eplb_problem), 0, 0, 1, 1, EPLB_POLICY_AUTO,
                                               EPLB_BOUND_SIMPLE};
inline constexpr eplb_solve_options kSolveDefaults{sizeof(eplb_solve_options), EPLB_STRATEGY_BEST,
                                                   EPLB_EFFORT_NORMAL, 0, 0};

static_assert(sizeof(eplb_error) == 256);
static_assert(sizeof(eplb_context_options) >= kContextOptionsSize &&
              sizeof(eplb_problem) >= kProblemSize);
static_assert(sizeof(eplb_solve_options) >= kSolveOptionsSize &&
              sizeof(eplb_backend) >= kBackendSize);
static_assert(sizeof(eplb_report) >= kReportSize);

inline eplb_problem read_problem(const eplb_problem* problem) {
  if (problem == nullptr) fail(EPLB_INVALID_ARGUMENT, "problem is NULL");
  return read_struct(problem, kProblemSize, "problem", kProblemDefaults);
}

inline eplb_solve_options read_options(const eplb_solve_options* options) {
  return options == nullptr ? kSolveDefaults
                            : read_struct(options, kSolveOptionsSize, "options", kSolveDefaults);
}

}  // namespace eplb::api
