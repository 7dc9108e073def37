// The keys of Team::fill on a warp. Where they fit into registers, a step waits for two reductions
// and for what the lane that owns the least key reads.
#pragma once

#include "solver/team/fill.h"

namespace eplb::cuda {

using solver::kNever;
using solver::View;

inline constexpr unsigned kAllLanes = 0xffffffffu;
__device__ inline int lane() { return static_cast<int>(threadIdx.x) % 32; }

struct LeastKey {
  int key, index;
};
// The least of the lanes' keys; ties: lowest index.
__device__ inline LeastKey least_of_warp(int key, int index) {
  const int least = __reduce_min_sync(kAllLanes, key);
  return {least, __reduce_min_sync(kAllLanes, key == least ? index : kNever)};
}

// Up to 32 * kEach keys in registers: lane l owns keys l, l + 32, ... Keys served in a run wait in
// `later` until its end. Only the owner of a key calls f, which touches nothing of other keys: no
// step needs a barrier.
template <int kEach> struct RegisterKeys {
  int own[kEach], later[kEach];  // later: the new key of one that has been served, or kNone

  template <class Number, class Amount, class Apart, class Close>
  __device__ __forceinline__ void fill(int n, int steps, Amount amount, Apart apart, Close close) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      own[i] = lane() + 32 * i < n ? 0 : kNever;
      later[i] = kNone;
    }
    __syncwarp();
    for (int step = 0; step < steps; end_run()) {
      const int end = step + apart(step);
#pragma unroll 1
      for (; step < end; ++step) {
        LeastKey found = least();
        if (found.key ==
            kNever) {  // the run is longer than the list of open keys: serve them again
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

  __device__ LeastKey least() const {
    if constexpr (kEach == 1) {
      const int least = __reduce_min_sync(kAllLanes, own[0]);
      return {least, __ffs(static_cast<int>(__ballot_sync(kAllLanes, own[0] == least))) - 1};
    }
    int key = own[0], index = lane();
#pragma unroll
    for (int i = 1; i < kEach; ++i)
      if (own[i] < key) {
        key = own[i];
        index = lane() + 32 * i;
      }
    return least_of_warp(key, index);
  }
  __device__ void serve(int index, int key) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      own[i] = index / 32 == i ? kNever : own[i];
      later[i] = index / 32 == i ? key : later[i];
    }
  }
  __device__ void end_run() {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      own[i] = later[i] == kNone ? own[i] : later[i];
      later[i] = kNone;
    }
  }
};

// The keys of fill_with, any number: every change is visible to all lanes before the next step.
struct MemoryKeys {
  int n;
  View<int> keys;

  __device__ void clear() {
    for (int i = lane(); i < n; i += 32) keys[i] = 0;
    __syncwarp();
  }
  template <class Amount, class Apart, class Close>
  __device__ int begin(int, Amount, Apart, Close) {
    return 0;
  }
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
  __device__ LeastKey least() const {
    int key = kNever, index = kNever;
    for (int i = lane(); i < n; i += 32)
      if (keys[i] < key || index == kNever) {
        key = keys[i];
        index = i;
      }
    const LeastKey found = least_of_warp(key, index);
    __syncwarp();  // reductions order no memory: all reads must precede the writes that follow
    return found;
  }
};

}  // namespace eplb::cuda
