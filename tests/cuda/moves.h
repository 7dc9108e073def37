// MOVE_ maps of a plan.
#pragma once

#include <vector>

#include "session.h"

namespace eplb::tests {

// By map.
using Moves = std::vector<std::vector<int64_t>>;

Moves moves_of(eplb_context* context, const Input& in);
// Are they what a context fetches into device memory, in both types?
bool device_maps_are(const Moves& want, eplb_context* context, const Input& in,
                     cudaStream_t stream);

}  // namespace eplb::tests
