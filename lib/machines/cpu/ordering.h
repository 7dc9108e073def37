// Sorting for the host's teams. Compiled once, for the baseline machine: it is scalar code that
// gains nothing from vector instructions.
#pragma once

#include <cstdint>

namespace eplb::cpu {

// order[0..n) = 0..n-1 by (keys[i], i), least first. keys has 3n words, of which the first n are
// read; `least` and `most` are the least and largest of them.
void sort_indices(uint64_t* keys, int n, uint64_t least, uint64_t most, int* order);

}  // namespace eplb::cpu
