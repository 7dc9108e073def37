// Keys for team.fill on a warp: in registers where they fit, so that a step waits for two reductions and one lane.
#pragma once

#include "solver/fill.h"

namespace eplb::cuda {

using solver::kNever;
using solver::View;

inline constexpr unsigned kAllLanes = 0xffffffffu;

struct LeastKey {
  int key, index;
};
// Of every lane's own least the least, ties: lowest index.
__device__ inline LeastKey least_of_warp(int key, int index) {
  const int least = __reduce_min_sync(kAllLanes, key);
  const int first = __reduce_min_sync(kAllLanes, key == least ? index : kNever);
  __syncwarp();  // orders memory, which reductions do not: what was read so far may be written now
  return {least, first};
}

// What both kinds of keys have in common, over a kind's least(), and set() by the lane that a key belongs to.
template <class Kind> struct FillKeys : Kind {
  template <class Number, class Close> __device__ void serve(int amount, Close close) {
    const LeastKey found = this->least();
    if (found.index % 32 == static_cast<int>(threadIdx.x) % 32)
      this->set(found.index, close(found.index, found.key) ? kNever : Number::add(found.key, amount));
    __syncwarp();
  }
  __device__ bool take(int& i, int& key) {
    const LeastKey found = this->least();
    i = found.index;
    key = found.key;
    put(i, kNever);
    return key != kNever;
  }
  __device__ void put(int i, int key) {
    if (i % 32 == static_cast<int>(threadIdx.x) % 32) this->set(i, key);
    __syncwarp();
  }
  template <class Body> __device__ bool once(Body body) {
    int result = 0;
    if (threadIdx.x % 32 == 0) result = body();
    __syncwarp();
    return __shfl_sync(kAllLanes, result, 0) != 0;
  }
};

// Lane l has the keys l, l + 32, ..., kEach of them.
template <int kEach> struct RegisterKeys {
  int own[kEach];

  template <class Amount, class Apart, class Close> __device__ int begin(int, Amount, Apart, Close) { return 0; }
  __device__ void clear(int n) {
#pragma unroll
    for (int r = 0; r < kEach; ++r) own[r] = static_cast<int>(threadIdx.x % 32) + 32 * r < n ? 0 : kNever;
  }
  __device__ LeastKey least() const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (kEach == 1) {
      const int least = __reduce_min_sync(kAllLanes, own[0]);
      const unsigned holders = __ballot_sync(kAllLanes, own[0] == least);
      __syncwarp();
      return {least, __ffs(static_cast<int>(holders)) - 1};
    }
    int key = own[0], index = lane;
#pragma unroll
    for (int r = 1; r < kEach; ++r)
      if (own[r] < key) {
        key = own[r];
        index = lane + 32 * r;
      }
    return least_of_warp(key, index);
  }
  __device__ void set(int i, int key) {
#pragma unroll
    for (int r = 0; r < kEach; ++r) own[r] = i / 32 == r ? key : own[r];
  }
};

struct MemoryKeys {
  int n;
  View<int> keys;

  template <class Amount, class Apart, class Close> __device__ int begin(int, Amount, Apart, Close) { return 0; }
  __device__ void clear(int) {
    for (int i = static_cast<int>(threadIdx.x) % 32; i < n; i += 32) keys[i] = 0;
    __syncwarp();
  }
  __device__ LeastKey least() const {
    int key = kNever, index = kNever;
    for (int i = static_cast<int>(threadIdx.x) % 32; i < n; i += 32)
      if (keys[i] < key || index == kNever) {
        key = keys[i];
        index = i;
      }
    return least_of_warp(key, index);
  }
  __device__ void set(int i, int key) { keys[i] = key; }
};

}  // namespace eplb::cuda
