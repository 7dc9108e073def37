// Runs a kernel: its blocks one after another, the lanes of a block as fibers in a random order.
#pragma once

#include <cstddef>
#include <functional>

#include "include/emulated/qualifiers.h"

namespace emulated {

inline constexpr size_t kSharedBytes = size_t{256} << 10;

// False if a lane called __trap().
bool run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

}  // namespace emulated
