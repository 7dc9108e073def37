// What is measured on a GPU: one strategy, weights and map in device memory, through eplb.h and
// CUDA's own clock.
#pragma once

#include <cuda_runtime.h>

#include <functional>

#include "subject.h"

namespace bench {

// Throws std::runtime_error with CUDA's words.
void check_cuda(cudaError_t error, const char* what);

// Microseconds of each stage alone, by events around it.
struct Stages {
  std::vector<double> upload{}, solve{}, fetch{}, fetch_logical_to_physical{};
};

// A context whose upload, solve and fetch of physical_to_logical (int32) were captured once and are
// replayed.
class GpuSubject {
 public:
  GpuSubject(const Candidate& candidate, const Trace& trace, Shape shape);
  ~GpuSubject();
  GpuSubject(const GpuSubject&) = delete;
  GpuSubject& operator=(const GpuSubject&) = delete;

  double replay();                  // on the device, by events before and behind
  double replay_until_known();      // from the launch until the host knows that it is done
  double replays_in_a_row(int n);   // each of them
  void add_stages(Stages& stages);  // one of each, not captured
  eplb_report report();
  int64_t bytes_in() const;   // weights read
  int64_t bytes_out() const;  // the map written

 private:
  void check(eplb_status status, const eplb_error& err) const;
  void create();
  void capture();
  void upload();
  void solve();
  void fetch(eplb_map map, void* buffer, int64_t length);
  double timed(const std::function<void()>& work);

  const Trace& trace_;
  eplb_problem problem_;
  eplb_solve_options options_;
  eplb_context* context_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t before_ = nullptr, behind_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
  float* weights_ = nullptr;
  int32_t *placement_ = nullptr, *slots_of_experts_ = nullptr;
};

}  // namespace bench
