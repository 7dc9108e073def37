// Sorting for the host's teams. Compiled once, for the least machine: it is scalar code and gains nothing from more.
#pragma once

#include <cstdint>

namespace eplb::cpu {

// order[0..n) = 0..n-1 by (keys[i], i), least first. keys has 3n words, of which the first n are
// read; least and most of them are known.
void sort_indices(uint64_t* keys, int n, uint64_t least, uint64_t most, int* order);

}  // namespace eplb::cpu
