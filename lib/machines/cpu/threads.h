// Threads for one piece of work: they start with it and end with it, and no signal of the process is handled on them.
#pragma once

namespace eplb::cpu {

using Work = void (*)(void* context, int worker);

// Calls work(context, w) for w = 0 .. count-1, w = 0 on the calling thread. Where a thread cannot be had its share is not
// done: work must be taken from a common counter, so that fewer workers do it all. One worker allocates nothing.
void run_workers(int count, Work work, void* context);

template <class Body> void run_workers(int count, Body& body) {
  run_workers(
      count, [](void* context, int worker) { (*static_cast<Body*>(context))(worker); }, &body);
}

}  // namespace eplb::cpu
