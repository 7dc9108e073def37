// Keys for team.fill on a warp: in registers where they fit, so that a step waits for two reductions and for what the lane
// that has the least key reads.
#pragma once

#include "solver/team/fill.h"

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
  return {least, __reduce_min_sync(kAllLanes, key == least ? index : kNever)};
}

// Up to 32 * kEach keys: lane l has l, l + 32, ... in registers. What is served in a run of different ones waits beside them
// until the run is over. Only the lane that has a key calls f, which touches nothing of others: no step needs a barrier.
template <int kEach> struct RegisterKeys {
  int own[kEach], later[kEach];  // later: the new key, or kNone

  template <class Number, class Amount, class Apart, class Close>
  __device__ __forceinline__ void fill(int n, int steps, Amount amount, Apart apart, Close close) {
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      own[r] = lane() + 32 * r < n ? 0 : kNever;
      later[r] = kNone;
    }
    __syncwarp();
    for (int step = 0; step < steps; end_run()) {
      const int end = step + apart(step);
#pragma unroll 1
      for (; step < end; ++step) {
        LeastKey found = least();
        if (found.key == kNever) {  // more copies than there are with room: a second round
          end_run();
          found = least();
        }
        if (found.index % 32 != lane()) continue;
        const bool closed = close(step, found.index, found.key);
        serve(found.index, closed ? kNone : Number::add(found.key, amount(step)));
      }
    }
    __syncwarp();
  }

 private:
  static constexpr int kNone = -1;

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ LeastKey least() const {
    if constexpr (kEach == 1) {
      const int least = __reduce_min_sync(kAllLanes, own[0]);
      return {least, __ffs(static_cast<int>(__ballot_sync(kAllLanes, own[0] == least))) - 1};
    }
    int key = own[0], index = lane();
#pragma unroll
    for (int r = 1; r < kEach; ++r)
      if (own[r] < key) {
        key = own[r];
        index = lane() + 32 * r;
      }
    return least_of_warp(key, index);
  }
  __device__ void serve(int i, int key) {
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      own[r] = i / 32 == r ? kNever : own[r];
      later[r] = i / 32 == r ? key : later[r];
    }
  }
  __device__ void end_run() {
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      own[r] = later[r] == kNone ? own[r] : later[r];
      later[r] = kNone;
    }
  }
};

// Any number of keys, for fill_with: what is done to one is seen by all lanes before the next step.
struct MemoryKeys {
  int n;
  View<int> keys;

  __device__ void clear() {
    for (int i = lane(); i < n; i += 32) keys[i] = 0;
    __syncwarp();
  }
  template <class Amount, class Apart, class Close> __device__ int begin(int, Amount, Apart, Close) { return 0; }
  template <class Number, class Close> __device__ void serve(int amount, Close close) {
    const LeastKey found = least();
    if (found.index % 32 == lane())
      keys[found.index] = close(found.index, found.key) ? kNever : Number::add(found.key, amount);
    __syncwarp();
  }
  __device__ bool take(int& i, int& key) {
    const LeastKey found = least();
    i = found.index;
    key = found.key;
    put(i, kNever);
    return key != kNever;
  }
  __device__ void put(int i, int key) {
    if (i % 32 == lane()) keys[i] = key;
    __syncwarp();
  }
  template <class Body> __device__ bool once(Body body) {
    int result = 0;
    if (lane() == 0) result = body();
    __syncwarp();
    return __shfl_sync(kAllLanes, result, 0) != 0;
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ LeastKey least() const {
    int key = kNever, index = kNever;
    for (int i = lane(); i < n; i += 32)
      if (keys[i] < key || index == kNever) {
        key = keys[i];
        index = i;
      }
    const LeastKey found = least_of_warp(key, index);
    __syncwarp();  // orders memory, which reductions do not: what was read so far may be written now
    return found;
  }
};

}  // namespace eplb::cuda
