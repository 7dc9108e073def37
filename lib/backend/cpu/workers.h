// Threads for one piece of work: they start with it and end with it, and no signal of the process is handled on them.
#pragma once

#include <functional>

namespace eplb::cpu {

// Calls body(w) for w = 0 .. count-1, w = 0 on the calling thread. Where a thread cannot be had its share is not done: body
// must take its work from a common counter, so that fewer workers do it all.
void run_workers(int count, const std::function<void(int)>& body);

}  // namespace eplb::cpu
