#include "gpu_stream.h"

#include <chrono>
#include <stdexcept>
#include <string>

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUps = 20;
// Of replays before any counts: clocks rise slowly.
constexpr double kWarmSeconds = 0.05;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

void check_cuda(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

GpuStream::GpuStream() {
  CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  CUDA(cudaEventCreate(&before_));
  CUDA(cudaEventCreate(&behind_));
}

GpuStream::~GpuStream() {
  cudaGraphExecDestroy(graph_);
  cudaEventDestroy(before_);
  cudaEventDestroy(behind_);
  cudaStreamDestroy(stream_);
}

void GpuStream::wait() { CUDA(cudaStreamSynchronize(stream_)); }

void GpuStream::capture(const std::function<void()>& work) {
  cudaGraph_t graph = nullptr;
  CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  work();
  CUDA(cudaStreamEndCapture(stream_, &graph));
  CUDA(cudaGraphInstantiate(&graph_, graph, 0));
  CUDA(cudaGraphDestroy(graph));
  CUDA(cudaGraphUpload(graph_, stream_));
  wait();
}

double GpuStream::timed(const std::function<void()>& work) {
  float milliseconds = 0;
  CUDA(cudaEventRecord(before_, stream_));
  work();
  CUDA(cudaEventRecord(behind_, stream_));
  CUDA(cudaEventSynchronize(behind_));
  CUDA(cudaEventElapsedTime(&milliseconds, before_, behind_));
  return 1000.0 * milliseconds;
}

double GpuStream::replay() {
  return timed([&] { CUDA(cudaGraphLaunch(graph_, stream_)); });
}

double GpuStream::replay_until_known() {
  const auto start = Clock::now();
  CUDA(cudaGraphLaunch(graph_, stream_));
  wait();
  return 1e6 * seconds_since(start);
}

double GpuStream::replays_in_a_row(int n) {
  const double all = timed([&] {
    for (int i = 0; i < n; i++) CUDA(cudaGraphLaunch(graph_, stream_));
  });
  return all / n;
}

int repeat(int n, const std::function<void()>& body) {
  const auto start = Clock::now();
  int done = 0;
  while (done < n && (done < 3 || seconds_since(start) < kMostSeconds)) {
    body();
    done++;
  }
  return done;
}

void warm_up(GpuStream& stream, double seconds) {
  const auto start = Clock::now();
  for (int i = 0; i < kWarmUps || seconds_since(start) < seconds; i++) stream.replay();
}

int measure_replays(GpuStream& stream, int replays, Replays& out) {
  warm_up(stream, kWarmSeconds);
  replays = repeat(replays, [&] { out.each.push_back(stream.replay()); });
  repeat(replays, [&] { out.known.push_back(stream.replay_until_known()); });
  out.in_a_row.push_back(stream.replays_in_a_row(replays));
  return replays;
}

}  // namespace bench
