// Weights that the sweep and the calls at the limits solve.
#pragma once

#include "trace.h"

namespace bench {

inline constexpr int kLaws = 6;

// Layers from even to steep, one of each law: all equal; lognormal; a few hot experts; by rank. In
// the last the first expert has a tenth of the load or more.
Trace make_weights(int experts, int layers_of_each_law);

const char* law_name(int law);

// The layers from `first` on, `count` of them.
Trace layers_of(const Trace& trace, int first, int count);

// The same experts later: each weight has changed by a factor.
Trace drifted(const Trace& trace, uint64_t seed);

// Weights of windows [windows, layers, experts], of which the first is the trace's.
std::vector<float> windows_of(const Trace& trace, int windows);

}  // namespace bench
