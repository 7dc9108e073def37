// What holds of a plan that starts from a current placement.
#pragma once

#include "known.h"

namespace eplb::fuzz {

// Limits are kept, experts that stay on a GPU stay in their slots, and the report knows its bounds.
void check_rebalance(const Known& known, const eplb_report& report);

}  // namespace eplb::fuzz
