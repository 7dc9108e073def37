// What is measured on a GPU: one strategy, weights and map in device memory, through eplb.h and
// CUDA's own clock.
#pragma once

#include "gpu_stream.h"
#include "subject.h"

namespace bench {

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

  GpuStream& stream() { return stream_; }  // with that graph
  void add_stages(Stages& stages);         // one of each, not captured
  eplb_report report();
  int64_t bytes_in() const { return weights_.bytes(); }
  int64_t bytes_out() const { return placement_.bytes(); }  // of the map

 private:
  void check(eplb_status status, const eplb_error& err) const;
  void create();
  void upload();
  void solve();
  void fetch(eplb_map map, const GpuArray<int32_t>& buffer);

  const Trace& trace_;
  eplb_problem problem_;
  eplb_solve_options options_;
  eplb_context* context_ = nullptr;
  GpuStream stream_;
  GpuArray<float> weights_;
  GpuArray<int32_t> placement_, slots_of_experts_;
};

}  // namespace bench
