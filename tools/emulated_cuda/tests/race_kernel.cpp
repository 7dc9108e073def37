#include "race_kernel.h"

extern __shared__ __align__(128) char eplb_shared[];

namespace eplb::tests {

__global__ void exchange(Way way, int* out) {
  int* const shared = reinterpret_cast<int*>(eplb_shared);
  const int lane = static_cast<int>(threadIdx.x), next = (lane + 1) % 32;
  int found = 0;
  if (way == kReadFirst) found = out[next];
  shared[lane] = lane + found;
  if (way == kBarrier) __syncwarp();
  if (way == kShuffle) found = __shfl_sync(0xffffffffu, lane, 0);
  out[lane] = way == kAlone || way == kReadFirst ? lane : shared[next];
}

}  // namespace eplb::tests
