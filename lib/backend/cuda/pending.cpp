#include "backend/cuda/cuda_backend.h"

namespace eplb::cuda {

// So many streams are waited for one by one, then the whole device is.
constexpr size_t kStreams = 8;

void Pending::prepare() {
  captured_ = false;  // graphs of what was reserved before must not be replayed any more
  while (events_.size() < kStreams) {
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    events_.push_back({event, nullptr, false});
  }
}

void Pending::note(cudaStream_t stream) {
  if (is_capturing(stream)) {
    captured_ = true;
    return;
  }
  for (Event& e : events_) {
    if (e.used && e.stream != stream) continue;
    check(cudaEventRecord(e.event, stream), "cudaEventRecord");
    e.stream = stream;
    e.used = true;
    return;
  }
  everywhere_ = true;
}

void Pending::wait() {
  if (captured_ || everywhere_) check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  for (Event& e : events_) {
    if (e.used) check(cudaEventSynchronize(e.event), "cudaEventSynchronize");
    e.used = false;
  }
  everywhere_ = false;
}

void Pending::release() {
  for (const Event& e : events_) {
    if (e.used) cudaEventSynchronize(e.event);
    cudaEventDestroy(e.event);
  }
  events_.clear();
}

}  // namespace eplb::cuda
