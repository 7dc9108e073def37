// Which streams have work of the context on them.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "machines/cuda/driver.h"

namespace eplb::cuda {

class Pending {
 public:
  // Allocates the events.
  void prepare() {
    while (events_.size() < kStreams) {
      cudaEvent_t event;
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
      events_.push_back({event, nullptr, false});
    }
  }
  // `own`: a stream of the machine, which waits for what has no event left.
  void note(cudaStream_t stream, cudaStream_t own) {
    if (is_capturing(stream)) {
      captured_ = true;
      return;
    }
    auto event = std::find_if(events_.begin(), events_.end(),
                              [&](const Event& e) { return !e.used || e.stream == stream; });
    if (event == events_.end()) {  // the oldest gives way: our own stream waits for it instead
      event = events_.begin() + static_cast<std::ptrdiff_t>(oldest_);
      oldest_ = (oldest_ + 1) % events_.size();
      check(cudaStreamWaitEvent(own, event->event, 0), "cudaStreamWaitEvent");
    }
    check(cudaEventRecord(event->event, stream), "cudaEventRecord");
    event->stream = stream;
    event->used = true;
  }
  // Until all of it is done, replays of captured work included.
  void wait(cudaStream_t own) {
    if (captured_) check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    for (Event& e : events_) {
      if (e.used) check(cudaEventSynchronize(e.event), "cudaEventSynchronize");
      e.used = false;
    }
    check(cudaStreamSynchronize(own), "cudaStreamSynchronize");
  }
  void forget_captures() { captured_ = false; }
  bool replays() const { return captured_; }  // may captured work have run again?
  // Waits for what has events, whatever comes.
  void release() {
    for (const Event& e : events_) {
      if (e.used) cudaEventSynchronize(e.event);
      cudaEventDestroy(e.event);
    }
    events_.clear();
  }
  void abandon() { events_.clear(); }

 private:
  static constexpr size_t kStreams = 8;  // that have an event of their own
  struct Event {
    cudaEvent_t event;
    cudaStream_t stream;
    bool used;
  };
  std::vector<Event> events_;
  size_t oldest_ = 0;  // the next one that has to give way
  bool captured_ = false;
};

}  // namespace eplb::cuda
