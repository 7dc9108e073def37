// A stream of a GPU, one graph that was captured on it, and CUDA's own clock.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <vector>

namespace bench {

// Throws std::runtime_error with CUDA's words.
void check_cuda(cudaError_t error, const char* what);

#define CUDA(call) ::bench::check_cuda((call), #call)

class GpuStream {
 public:
  GpuStream();
  ~GpuStream();
  GpuStream(const GpuStream&) = delete;
  GpuStream& operator=(const GpuStream&) = delete;

  operator cudaStream_t() const { return stream_; }
  void wait();

  void capture(const std::function<void()>& work);
  // Microseconds.
  double timed(const std::function<void()>& work);  // on the device, by events before and behind
  double replay();                                  // the same of the graph
  double replay_until_known();     // from the launch until the host knows that it is done
  double replays_in_a_row(int n);  // each of them

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t before_ = nullptr, behind_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
};

// Memory of the current device.
template <class T> class GpuArray {
 public:
  explicit GpuArray(size_t length) : length_(length) {
    CUDA(cudaMalloc(&data_, length * sizeof(T)));
  }
  explicit GpuArray(const std::vector<T>& values) : GpuArray(values.size()) {
    CUDA(cudaMemcpy(data_, values.data(), length_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~GpuArray() { cudaFree(data_); }
  GpuArray(const GpuArray&) = delete;
  GpuArray& operator=(const GpuArray&) = delete;

  T* data() const { return data_; }
  int64_t length() const { return int64_t(length_); }
  int64_t bytes() const { return int64_t(length_ * sizeof(T)); }
  std::vector<T> read() const {
    std::vector<T> values(length_);
    CUDA(cudaMemcpy(values.data(), data_, length_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t length_;
};

constexpr double kMostSeconds = 0.4;  // for one figure

// What replays of one graph took.
struct Replays {
  std::vector<double> each{}, known{}, in_a_row{};
};

// Replays for at least these seconds, until the clocks have risen.
void warm_up(GpuStream& stream, double seconds);
// Adds up to `replays` of each kind, after a warm-up. Returns how many.
int measure_replays(GpuStream& stream, int replays, Replays& out);

// Up to n times, but for no longer than kMostSeconds if that is three times. Returns how often.
int repeat(int n, const std::function<void()>& body);

}  // namespace bench
