#include "machines/cuda/pending.h"

#include <algorithm>

#include "machines/cuda/driver.h"

namespace eplb::cuda {

constexpr size_t kStreams = 8;  // that have an event of their own

void Pending::prepare() {
  while (events_.size() < kStreams) {
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    events_.push_back({event, nullptr, false});
  }
}

void Pending::note(cudaStream_t stream, cudaStream_t own) {
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

void Pending::wait(cudaStream_t own) {
  if (captured_) check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  for (Event& e : events_) {
    if (e.used) check(cudaEventSynchronize(e.event), "cudaEventSynchronize");
    e.used = false;
  }
  check(cudaStreamSynchronize(own), "cudaStreamSynchronize");
}

void Pending::release() {
  for (const Event& e : events_) {
    if (e.used) cudaEventSynchronize(e.event);
    cudaEventDestroy(e.event);
  }
  events_.clear();
}

}  // namespace eplb::cuda
