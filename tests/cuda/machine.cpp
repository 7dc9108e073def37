#include "machine.h"

#include <cuda.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace eplb::tests {
namespace {

// The driver's own functions, looked up as the library does: neither may be linked with it.
template <class Function> Function driver(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  CUDA(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result));
  CHECK(found != nullptr);
  return reinterpret_cast<Function>(found);
}

}  // namespace

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Buffer::Buffer(int64_t bytes) {
  if (CUDA(cudaMalloc(&data_, static_cast<size_t>(bytes))))
    CUDA(cudaMemset(data_, 0xA5, static_cast<size_t>(bytes)));
  CUDA(cudaDeviceSynchronize());
}

void Buffer::write(const void* from, int64_t bytes, cudaStream_t stream) const {
  CUDA(cudaMemcpyAsync(data_, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream));
  CUDA(cudaStreamSynchronize(stream));
}

void Buffer::read(void* to, int64_t bytes, cudaStream_t stream) const {
  CUDA(cudaMemcpyAsync(to, data_, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream));
  CUDA(cudaStreamSynchronize(stream));
}

Graph::~Graph() {
  if (executable_) cudaGraphExecDestroy(executable_);
  if (graph_) cudaGraphDestroy(graph_);
}

// ----------------------------------------------------------------------------------- what calls do

struct HeldStream::Hold {
  std::atomic<bool> let_go = false, gave_up = false;

  static void wait(void* self) {
    Hold& hold = *static_cast<Hold*>(self);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (!hold.let_go && !hold.gave_up) {
      if (std::chrono::steady_clock::now() > end) hold.gave_up = true;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
};

#ifdef EPLB_EMULATED

HeldStream::HeldStream(cudaStream_t stream) : stream_(stream) {
  emulation_set_progress(0);
  synchronisations_ = emulation_count("synchronisations");
}
bool HeldStream::is_held() const {
  return emulation_count("synchronisations") == synchronisations_;
}
void HeldStream::let_go() {
  emulation_set_progress(8);
  CUDA(cudaStreamSynchronize(stream_));
}
HeldStream::~HeldStream() { emulation_set_progress(8); }

Allocations allocations() {
  return {emulation_count("allocations"), emulation_count("live_bytes")};
}

FullDevice::FullDevice(int64_t bytes_left) {
  emulation_set_capacity(0, static_cast<uint64_t>(emulation_count("live_bytes") + bytes_left));
}
FullDevice::~FullDevice() { emulation_set_capacity(0, uint64_t{1} << 30); }

#else

HeldStream::HeldStream(cudaStream_t stream) : hold_(new Hold), stream_(stream) {
  CUDA(cudaLaunchHostFunc(stream, Hold::wait, hold_));
}
bool HeldStream::is_held() const { return !hold_->gave_up; }
void HeldStream::let_go() {
  hold_->let_go = true;
  CUDA(cudaStreamSynchronize(stream_));
}
HeldStream::~HeldStream() {
  let_go();
  delete hold_;
}

Allocations allocations() {
  size_t free_bytes = 0, all = 0;
  CUDA(cudaMemGetInfo(&free_bytes, &all));
  return {0, static_cast<int64_t>(all - free_bytes)};
}

FullDevice::FullDevice(int64_t bytes_left) {
  for (size_t chunk = size_t{64} << 30; chunk >= size_t{4} << 20;) {
    size_t free_bytes = 0, all = 0;
    CUDA(cudaMemGetInfo(&free_bytes, &all));
    void* held = nullptr;
    if (free_bytes > chunk + static_cast<size_t>(bytes_left) &&
        cudaMalloc(&held, chunk) == cudaSuccess)
      held_.push_back(held);
    else
      chunk /= 2;
  }
  cudaGetLastError();
}
FullDevice::~FullDevice() {
  for (void* held : held_) cudaFree(held);
}

#endif

// ------------------------------------------------------------------------------------- the machine

void* current_context() {
  static const auto get = driver<CUresult (*)(CUcontext*)>("cuCtxGetCurrent");
  CUcontext context = nullptr;
  return get(&context) == CUDA_SUCCESS ? context : nullptr;
}

std::string why_no_cuda() {
  eplb_backend backend;
  char text[256] = "";
  CALL(backend_init)(&backend, sizeof backend, nullptr);
  CALL(backend_info)(EPLB_DEVICE_CUDA, &backend, text, sizeof text, nullptr);
  return backend.status == EPLB_OK ? "" : text;
}

}  // namespace eplb::tests
