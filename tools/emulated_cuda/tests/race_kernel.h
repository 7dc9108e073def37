// A kernel in which lanes exchange numbers, with a barrier and without.
#pragma once

#include <cuda_runtime.h>

namespace eplb::tests {

enum Way { kBarrier, kShuffle, kReadFirst, kAlone };

__global__ void exchange(Way way, int* out);

}  // namespace eplb::tests
