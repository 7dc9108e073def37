// A context's work on a CUDA device.
//
// Host calls keep weights and plan in host memory, as on the CPU, and use the device to solve: everything that reads them is
// the same code. Device calls work in the memory that was reserved. What they leave there is copied to the host when a host
// call asks for it; what host calls upload and solve is left there for device calls, where it fits.
#pragma once

#include <cuda_runtime_api.h>

#include <optional>
#include <vector>

#include "machines/machine.h"
#include "machines/cuda/driver.h"
#include "machines/cuda/memory.h"
#include "session/store.h"

namespace eplb::cuda {

// Which streams have work of the context on them.
class Pending {
 public:
  void prepare();  // events are allocated here
  // `own`: a stream of ours that waits for what there is no event for.
  void note(cudaStream_t stream, cudaStream_t own);
  void wait(cudaStream_t own);  // until all of it is done, replays of captured work included
  void forget_captures() { captured_ = false; }
  bool replays() const { return captured_; }  // may there be some that nobody told us of?
  void release();                             // waits for what events tell of, whatever comes
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

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int index);
  ~CudaBackend() override;

  void reserve(eplb_dtype dtype, int64_t windows, int64_t layers, const Problem& problem,
               const Options& options) override;
  void upload(const WeightSource& source) override;
  void solve(const eplb_problem& problem, const eplb_solve_options& options) override;
  MapShape shape(eplb_map map) const override;
  void fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) override;
  void report(eplb_report& report) override;
  void evaluate(const eplb_problem& problem, const void* placement, int64_t length, eplb_dtype dtype,
                eplb_report& report, const LayerOutputs& outputs, int64_t outputs_length) override;
  void synchronize() override;
  void abandon() override;

  void upload_device(const WeightSource& source, void* stream) override;
  void solve_device(const eplb_problem& problem, const eplb_solve_options& options, void* stream) override;
  void fetch_device(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length, void* stream) override;

 private:
  struct Closed {};
  CudaBackend(Closed, int index) : device_(index), limits_(device_.limits()) {}

  // What lies in the reserved memory.
  struct OnDevice {
    bool weights = false, whole = false;
    int64_t layers = 0;
    int experts = 0;
    std::optional<Problem> problem{};  // of the plan, if there is one
    Options options{};
    bool newer = false;       // than what the host has
    bool timed = false;       // the events around the solve were recorded and not asked yet
    double microseconds = 0;  // of the solve
  };

  SolveTask task_of(const Problem& problem, const Options& options, int64_t layers) const;
  Room& room_for(const RoomSizes& sizes, bool may_be_refused);
  void send_weights(const Room& room);
  void run(const Room& room, const SolveTask& task, const Spread& spread, Plan& plan);
  enum class Needed { kWeights, kPlan };
  void pull(Needed needed);
  bool pull_plan();
  void throw_fault();
  int64_t bytes() const;

  Device device_;
  DeviceLimits limits_;
  Store store_;
  Room reserved_, grown_;  // grown_: for host calls that reserved_ is too small for
  OnDevice there_;
  Pending pending_;
  PinnedBlock staging_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t started_ = nullptr, ended_ = nullptr;  // of the last solve that was not captured
};

}  // namespace eplb::cuda
