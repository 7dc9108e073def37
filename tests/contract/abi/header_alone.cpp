// The header needs nothing before it, may come twice (a compiler option includes it before this
// file, too), and gives its functions C names. C++11 and later.
#include "eplb.h"

#include <type_traits>

static_assert(sizeof(eplb_error) == 256, "a frozen size");
static_assert(std::is_trivial<eplb_report>::value && std::is_standard_layout<eplb_report>::value,
              "a struct of C");
static_assert(std::is_trivial<eplb_problem>::value && std::is_standard_layout<eplb_problem>::value,
              "a struct of C");
static_assert(std::is_same<eplb_status, int32_t>::value, "an int32_t in every language");

extern "C" eplb_status eplb_solve(eplb_context*, const eplb_problem*, const eplb_solve_options*,
                                  eplb_error*);
