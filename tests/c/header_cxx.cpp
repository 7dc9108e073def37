// The header needs nothing before it, may come twice, and gives its functions C names.
#include "eplb.h"

#include <type_traits>

static_assert(sizeof(eplb_error) == 256);
static_assert(std::is_trivial_v<eplb_report> && std::is_standard_layout_v<eplb_report>);
static_assert(std::is_trivial_v<eplb_problem> && std::is_standard_layout_v<eplb_problem>);
static_assert(std::is_same_v<eplb_status, int32_t>);

extern "C" eplb_status eplb_solve(eplb_context*, const eplb_problem*, const eplb_solve_options*, eplb_error*);
