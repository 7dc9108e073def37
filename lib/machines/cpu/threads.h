// Threads for one piece of work: they start with it and end with it, and no signal of the process
// is handled on them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

namespace eplb::cpu {

// Calls work(w) for w = 0 .. count-1, w = 0 on the calling thread. Where a thread cannot be had its
// share is not done: work must be taken from a common counter, so that fewer workers do it all. One
// worker allocates nothing.
void run_workers(int count, const std::function<void(int)>& work);

inline int worker_count(int64_t num_threads, int64_t layers) {
  return static_cast<int>(std::min<int64_t>({num_threads, layers, 65536}));
}

// Calls solve(layer, worker) once for each layer, on `workers` threads: a free worker takes the
// next layer.
template <class Solve> void share_layers(int workers, int64_t layers, Solve solve) {
  std::atomic<int64_t> next{0};
  auto take_layers = [&](int worker) {
    for (int64_t layer; (layer = next.fetch_add(1, std::memory_order_relaxed)) < layers;)
      solve(layer, worker);
  };
  run_workers(workers, std::ref(take_layers));
}

}  // namespace eplb::cpu
