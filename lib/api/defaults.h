// The only place where defaults stand.
#pragma once

#include "api/structs.h"
#include "eplb.h"

namespace eplb::api {

inline constexpr GrowingStruct<eplb_context_options> kContextOptions{
    "options", 24, {sizeof(eplb_context_options), EPLB_DEVICE_CPU, 0, 1}};
inline constexpr GrowingStruct<eplb_problem> kProblem{"problem",
                                                      48,
                                                      {.struct_size = sizeof(eplb_problem),
                                                       .num_slots = 0,
                                                       .num_gpus = 0,
                                                       .num_nodes = 1,
                                                       .num_groups = 1,
                                                       .policy = EPLB_POLICY_AUTO,
                                                       .bound_kind = EPLB_BOUND_SIMPLE,
                                                       .objective = EPLB_OBJECTIVE_SUM,
                                                       .reserved = 0,
                                                       .off_home_target = 1.01,
                                                       .max_replicas = 0}};
inline constexpr GrowingStruct<eplb_solve_options> kSolveOptions{
    "options",
    32,
    {.struct_size = sizeof(eplb_solve_options),
     .strategy = EPLB_STRATEGY_BEST,
     .effort = EPLB_EFFORT_NORMAL,
     .seed = 0,
     .max_replicas = 0,
     .transfer_order = EPLB_TRANSFER_BUFFERED,
     .allow_empty = 0,
     .max_moves = -1,
     .max_moves_total = -1,
     .max_arrivals = 0,
     .target = -1,
     .move_price = 0}};
inline constexpr GrowingStruct<eplb_split_options> kSplitOptions{
    "options", 16, {.struct_size = sizeof(eplb_split_options), .tolerance = 0}};
inline constexpr GrowingStruct<eplb_static_dispatch_options> kStaticDispatchOptions{
    "options",
    32,
    {.struct_size = sizeof(eplb_static_dispatch_options),
     .num_ranks = 0,
     .max_swaps = 0,
     .tolerance = 0}};
inline constexpr GrowingStruct<eplb_report> kReport{"report", 104, {}};
inline constexpr GrowingStruct<eplb_backend> kBackend{"backend", 32, {}};

static_assert(sizeof(eplb_error) == 256);
static_assert(sizeof(eplb_context_options) >= kContextOptions.least &&
              sizeof(eplb_problem) >= kProblem.least &&
              sizeof(eplb_solve_options) >= kSolveOptions.least &&
              sizeof(eplb_split_options) >= kSplitOptions.least &&
              sizeof(eplb_static_dispatch_options) >= kStaticDispatchOptions.least &&
              sizeof(eplb_report) >= kReport.least && sizeof(eplb_backend) >= kBackend.least);

inline eplb_problem read_problem(const eplb_problem* problem) {
  return read_struct(problem, kProblem);
}
inline eplb_solve_options read_options(const eplb_solve_options* options) {
  return options ? read_struct(options, kSolveOptions) : kSolveOptions.defaults;
}
inline eplb_split_options read_split_options(const eplb_split_options* options) {
  return options ? read_struct(options, kSplitOptions) : kSplitOptions.defaults;
}
inline eplb_static_dispatch_options read_dispatch_options(
    const eplb_static_dispatch_options* options) {
  return options ? read_struct(options, kStaticDispatchOptions) : kStaticDispatchOptions.defaults;
}

}  // namespace eplb::api
