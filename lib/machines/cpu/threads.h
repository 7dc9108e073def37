// Threads for one piece of work: they start with it and end with it, and no signal of the process
// is handled on them.
#pragma once

#include <cstdint>
#include <functional>

namespace eplb::cpu {

// Calls work(layer, worker) once for each layer, on `workers` threads, of which the calling one is
// worker 0: a free worker takes the next layer. Where a thread cannot be had, fewer of them do it
// all. One worker allocates nothing.
void share_layers(int workers, int64_t layers, const std::function<void(int64_t, int)>& work);

}  // namespace eplb::cpu
