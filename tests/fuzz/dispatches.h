// What holds of every static dispatch, worked out from eplb.h alone.
#pragma once

#include "plans.h"

namespace eplb::fuzz {

// split: with a static dispatch.
Dims dispatch_dims_of(eplb_map map, const KnownSplit& split);

// Fetches all maps of the static dispatch that there is, if there is one, and checks them.
void check_dispatch(Subject& subject);

}  // namespace eplb::fuzz
