// Which streams have work of the context on them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <vector>

namespace eplb::cuda {

class Pending {
 public:
  void prepare();  // events are allocated here
  // `own`: a stream of the machine, which waits for what has no event left.
  void note(cudaStream_t stream, cudaStream_t own);
  void wait(cudaStream_t own);  // until all of it is done, replays of captured work included
  void forget_captures() { captured_ = false; }
  bool replays() const { return captured_; }  // may captured work have run again?
  void release();                             // waits for what has events, whatever comes
  void abandon() { events_.clear(); }

 private:
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
