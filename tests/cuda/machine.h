// What tests need of CUDA: owners for what the runtime hands out, and what can be known of calls
// from outside.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "checks.h"

#ifdef EPLB_EMULATED
#include "emulation.h"
#endif

namespace eplb::tests {

#ifdef EPLB_EMULATED
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

int device_count();

class Stream {
 public:
  Stream() { CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  operator cudaStream_t() const { return stream_; }
  void wait() const { CUDA(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

// Device memory. It starts as rubbish: what a kernel does not write is seen.
class Buffer {
 public:
  explicit Buffer(int64_t bytes);
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  void write(const void* from, int64_t bytes, cudaStream_t stream) const;
  template <class T> std::vector<T> read(int64_t length, cudaStream_t stream) const {
    std::vector<T> out(static_cast<size_t>(length));
    read(out.data(), length * static_cast<int64_t>(sizeof(T)), stream);
    return out;
  }

 private:
  void read(void* to, int64_t bytes, cudaStream_t stream) const;

  void* data_ = nullptr;
};

// What a body asks of a stream while it is captured, to be replayed.
class Graph {
 public:
  template <class Body> Graph(cudaStream_t stream, cudaStreamCaptureMode mode, Body body) {
    if (!CUDA(cudaStreamBeginCapture(stream, mode))) return;
    body();
    if (CUDA(cudaStreamEndCapture(stream, &graph_)))
      CUDA(cudaGraphInstantiate(&executable_, graph_, 0));
  }
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  bool launch(cudaStream_t stream) const {
    return executable_ && CUDA(cudaGraphLaunch(executable_, stream));
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

// Keeps a stream busy until it is let go, so that a call that waits for the stream is found out.
// The emulation counts calls that may wait instead: its streams run on the thread that waits, which
// a held one would hold too.
class HeldStream {
 public:
  explicit HeldStream(cudaStream_t stream);
  ~HeldStream();
  bool is_held() const;  // false: a call in between waited, and the hold gave up
  void let_go();

 private:
  struct Hold;
  Hold* hold_ = nullptr;
  int64_t synchronisations_ = 0;
  cudaStream_t stream_;
};

// Device memory in use, and as far as it can be known the number of allocations so far.
struct Allocations {
  int64_t count = 0, used_bytes = 0;
  bool operator==(const Allocations&) const = default;
};
Allocations allocations();

// Leaves so much memory free on device 0 for as long as it lives.
class FullDevice {
 public:
  explicit FullDevice(int64_t bytes_left);
  ~FullDevice();

 private:
  std::vector<void*> held_;
};

// The calling thread's CUDA context, as the driver has it.
void* current_context();

// A sentence that says why there is no CUDA to test with; empty if there is.
std::string why_no_cuda();

}  // namespace eplb::tests
