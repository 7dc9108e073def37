// What holds of every split, worked out from eplb.h alone.
#pragma once

#include "plans.h"

namespace eplb::fuzz {

Dims dims_of(eplb_map map, const KnownSplit& split);

// Fetches all maps of the split that there is, if there is one, and checks them.
void check_split(Subject& subject);

}  // namespace eplb::fuzz
