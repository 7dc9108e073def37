#include "gpu_subject.h"

#include <chrono>
#include <stdexcept>

namespace bench {

using Clock = std::chrono::steady_clock;

void check_cuda(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

#define CUDA(call) check_cuda((call), #call)

GpuSubject::GpuSubject(const Candidate& candidate, const Trace& trace, Shape shape)
    : trace_(trace) {
  ask(candidate, shape, problem_, options_);
  create();
  capture();
}

GpuSubject::~GpuSubject() {
  eplb_context_destroy(context_);
  cudaGraphExecDestroy(graph_);
  cudaFree(weights_);
  cudaFree(placement_);
  cudaFree(slots_of_experts_);
  cudaEventDestroy(before_);
  cudaEventDestroy(behind_);
  cudaStreamDestroy(stream_);
}

void GpuSubject::check(eplb_status status, const eplb_error& err) const {
  if (status != EPLB_OK)
    throw std::runtime_error(std::string(eplb_status_name(status)) + ": " + err.text);
}

void GpuSubject::create() {
  eplb_error err;
  eplb_context_options where;
  check(eplb_context_options_init(&where, sizeof where, &err), err);
  where.device_kind = EPLB_DEVICE_CUDA;
  check(eplb_context_create(&context_, &where, &err), err);
  check(eplb_context_reserve(context_, EPLB_FLOAT32, 1, trace_.layers, trace_.experts, &problem_,
                             &options_, &err),
        err);
  CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  CUDA(cudaEventCreate(&before_));
  CUDA(cudaEventCreate(&behind_));
  const size_t width = size_t(problem_.num_slots - trace_.experts + 1);
  CUDA(cudaMalloc(&weights_, size_t(bytes_in())));
  CUDA(cudaMalloc(&placement_, size_t(bytes_out())));
  CUDA(cudaMalloc(&slots_of_experts_,
                  size_t(trace_.layers) * trace_.experts * width * sizeof(int32_t)));
  CUDA(cudaMemcpy(weights_, trace_.weights.data(), size_t(bytes_in()), cudaMemcpyHostToDevice));
}

void GpuSubject::capture() {
  cudaGraph_t graph = nullptr;
  CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  upload();
  solve();
  fetch(EPLB_MAP_PHYSICAL_TO_LOGICAL, placement_, bytes_out() / 4);
  CUDA(cudaStreamEndCapture(stream_, &graph));
  CUDA(cudaGraphInstantiate(&graph_, graph, 0));
  CUDA(cudaGraphDestroy(graph));
  CUDA(cudaGraphUpload(graph_, stream_));
  CUDA(cudaStreamSynchronize(stream_));
}

void GpuSubject::upload() {
  eplb_error err;
  check(eplb_upload_weights_device(context_, weights_, bytes_in() / 4, EPLB_FLOAT32, 1,
                                   trace_.layers, trace_.experts, stream_, &err),
        err);
}

void GpuSubject::solve() {
  eplb_error err;
  check(eplb_solve_device(context_, &problem_, &options_, stream_, &err), err);
}

void GpuSubject::fetch(eplb_map map, void* buffer, int64_t length) {
  eplb_error err;
  check(eplb_fetch_map_device(context_, map, EPLB_INT32, buffer, length, stream_, &err), err);
}

double GpuSubject::timed(const std::function<void()>& work) {
  float milliseconds = 0;
  CUDA(cudaEventRecord(before_, stream_));
  work();
  CUDA(cudaEventRecord(behind_, stream_));
  CUDA(cudaEventSynchronize(behind_));
  CUDA(cudaEventElapsedTime(&milliseconds, before_, behind_));
  return 1000.0 * milliseconds;
}

double GpuSubject::replay() {
  return timed([&] { CUDA(cudaGraphLaunch(graph_, stream_)); });
}

double GpuSubject::replay_until_known() {
  const auto start = Clock::now();
  CUDA(cudaGraphLaunch(graph_, stream_));
  CUDA(cudaStreamSynchronize(stream_));
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double GpuSubject::replays_in_a_row(int n) {
  const double all = timed([&] {
    for (int i = 0; i < n; i++) CUDA(cudaGraphLaunch(graph_, stream_));
  });
  return all / n;
}

void GpuSubject::add_stages(Stages& stages) {
  const int64_t layers = trace_.layers, experts = trace_.experts;
  const int64_t wide = layers * experts * (problem_.num_slots - experts + 1);
  stages.upload.push_back(timed([&] { upload(); }));
  stages.solve.push_back(timed([&] { solve(); }));
  stages.fetch.push_back(
      timed([&] { fetch(EPLB_MAP_PHYSICAL_TO_LOGICAL, placement_, bytes_out() / 4); }));
  stages.fetch_logical_to_physical.push_back(
      timed([&] { fetch(EPLB_MAP_LOGICAL_TO_PHYSICAL, slots_of_experts_, wide); }));
}

eplb_report GpuSubject::report() {
  eplb_error err;
  eplb_report report;
  check(eplb_report_init(&report, sizeof report, &err), err);
  check(eplb_fetch_report(context_, &report, &err), err);
  return report;
}

int64_t GpuSubject::bytes_in() const { return int64_t(trace_.weights.size()) * 4; }

int64_t GpuSubject::bytes_out() const { return int64_t(trace_.layers) * problem_.num_slots * 4; }

}  // namespace bench
