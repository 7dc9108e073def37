// The emulated machine: devices, their memory, what waits in streams, what is being captured. One
// mutex guards all of it, and is held while kernels run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "include/cuda.h"
#include "include/emulated/runtime.h"

namespace emulated {

using Work = std::function<cudaError_t()>;
struct Device;
struct Capture;

// Something that runs once, some time after everything in `after`.
struct Operation {
  Device* device;
  Work work;
  std::vector<std::shared_ptr<Operation>> after;
  bool done = false;
  double finished = 0;  // when, in milliseconds
};
using Handle = std::shared_ptr<Operation>;

struct Node {
  Work work;
  std::vector<size_t> after;
};

}  // namespace emulated

struct CUctx_st {
  emulated::Device* device;
  int retained = 0;
  bool of_runtime = false;  // the runtime made it current, and keeps it for ever
  bool active() const { return retained > 0 || of_runtime; }
};
struct CUstream_st {
  emulated::Device* device;
  bool blocking;  // waits for the legacy stream, and that for it
  emulated::Handle last;
  std::vector<emulated::Handle> waits;  // for the next operation
  emulated::Capture* capture = nullptr;
  std::vector<size_t> tail;  // nodes that the next one comes after
};
struct CUevent_st {
  emulated::Device* device;
  bool timing;
  emulated::Handle recorded;
  uint64_t capture = 0;  // the one it was recorded in; 0: none
  std::vector<size_t> tail;
};
struct CUgraph_st {
  emulated::Device* device;
  std::vector<emulated::Node> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<emulated::Node>> nodes;
  emulated::Device* device;
  emulated::Handle last;  // an executable graph does not overlap itself
};

namespace emulated {

struct Allocation {
  size_t bytes;
  Device* device;
  bool pinned;  // host memory
};

struct Device {
  int number;
  size_t capacity = size_t{1} << 30, used = 0;
  CUctx_st primary{this};
  cudaError_t broken = cudaSuccess;
  CUstream_st legacy{this, true, nullptr, {}, nullptr, {}};
};

struct Capture {
  uint64_t id;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  CUstream_st* origin;
  std::unique_ptr<CUgraph_st> graph;
  std::vector<CUstream_st*> streams;
  bool invalid = false;
};

struct Failure {
  int after;
  cudaError_t error;
};

struct Machine {
  std::mutex mutex;
  Device devices[2] = {{0}, {1}};
  std::map<uintptr_t, Allocation> memory;
  std::set<CUstream_st*> streams;
  std::set<CUevent_st*> events;
  std::set<CUgraph_st*> graphs;
  std::set<CUgraphExec_st*> executables;
  std::vector<std::unique_ptr<Capture>> captures;
  std::vector<Handle> pending;  // in order of creation; some are done
  std::map<const void*, int> shared_limits;
  std::map<std::string, Failure> failures;
  std::map<std::string, int64_t> counts;
  uint64_t captures_begun = 0;
  int progress = 8, multiprocessors = 0;
  bool initialised = false, forked = false;
};
Machine& machine();

struct Thread {
  cudaError_t last_error = cudaSuccess;
  std::vector<CUcontext> contexts;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::map<Device*, CUstream_st*> own_streams;
};
Thread& this_thread();

// What every function of the runtime goes through. kContext: there must be a current context, and
// device 0's is made current if there is none, as in CUDA; kDriver: a driver is enough.
enum class Needs { kNothing, kDriver, kContext };
cudaError_t enter(const char* call, Needs needs);
cudaError_t leave(cudaError_t error);
template <class Body> cudaError_t call(const char* name, Needs needs, Body body) {
  std::lock_guard lock(machine().mutex);
  const cudaError_t error = enter(name, needs);
  return leave(error != cudaSuccess ? error : body(machine()));
}
cudaError_t fail_if_asked(const char* call);

Device& current_device();
cudaError_t driver_state();  // of EMULATED_CUDA
int multiprocessors();

// Streams and what waits in them.
CUstream_st* find_stream(cudaStream_t stream);  // null: not one, or destroyed
cudaError_t submit(CUstream_st& stream, Work work, Handle* submitted = nullptr);
cudaError_t run(const Handle& operation);
void finish(CUstream_st& stream);
void finish_device(Device& device);
void make_progress();
size_t count_pending();

// Captures. Refused are: what may not be done while this thread, or another, captures; waiting for
// a stream that is being captured; the legacy stream while a blocking stream is being captured.
cudaError_t refuse_unsafe();
cudaError_t refuse_wait(CUstream_st&);
cudaError_t refuse_legacy(CUstream_st&);
Capture* find_capture(uint64_t id);
cudaError_t record(CUstream_st& stream, Work work);
void invalidate(Capture& capture);
cudaError_t run_nodes(const std::vector<Node>& nodes);

// Memory.
const Allocation* find_allocation(const void* address, uintptr_t* begin = nullptr);
void open_memory(const Device* device);  // null: of all devices
void close_memory();

}  // namespace emulated
