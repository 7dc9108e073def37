// A CUDA device.
//
// Host calls keep weights and plan in host memory and use the device to solve and to evaluate.
// Calls on streams work in the memory that was reserved. What host calls upload and solve is left
// there too, where it fits.
#pragma once

#include <cuda_runtime_api.h>

#include "machines/cuda/device_memory.h"
#include "machines/cuda/driver.h"
#include "machines/cuda/pending.h"
#include "machines/cuda/split_memory.h"
#include "machines/machine.h"

namespace eplb::cuda {

class CudaMachine final : public StreamMachine {
 public:
  explicit CudaMachine(int index);
  ~CudaMachine() override;

  void reserve(const Problem& problem, const std::function<void()>& then) override;
  bool solve(const Weights& weights, bool resident, Plan& plan) override;
  void evaluate(const Weights& weights, bool resident, const Problem& problem,
                const int32_t* placement, EvaluationParts parts, Evaluation& evaluation) override;
  // On the host, one lane of it.
  void evaluate_windows(const Weights& weights, const Problem& problem, const int32_t* placement,
                        EvaluationParts parts, WindowFigures& figures) override {
    host_->evaluate_windows(weights, problem, placement, parts, figures);
  }
  void find_paths(const Weights& weights, bool, const Problem& problem, MovePaths& paths) override {
    host_->find_paths(weights, false, problem, paths);
  }
  void plan_transfers(const Problem& problem, const int32_t* placement,
                      Transfers& transfers) override {
    host_->plan_transfers(problem, placement, transfers);
  }
  void prepare_split(SplitPlacement& over) override { host_->prepare_split(over); }
  void split(const Weights& weights, SplitPlacement& over, int tolerance, Split& split) override {
    host_->split(weights, over, tolerance, split);
  }
  void evaluate_split(const Weights& weights, SplitPlacement& over, const Split& split,
                      SplitParts parts, SplitEvaluation& evaluation) override {
    host_->evaluate_split(weights, over, split, parts, evaluation);
  }
  void dispatch(const Weights& weights, SplitPlacement& over, StaticDispatch& dispatch) override {
    host_->dispatch(weights, over, dispatch);
  }
  int64_t bytes() const override;

  void upload_on(const WeightSource& source, void* stream) override;
  void upload_on(const PlacementSource& source, void* stream) override;
  void solve_on(const Problem& problem, bool integer, void* stream) override;
  void fetch_on(const Problem& problem, bool integer, eplb_map map, eplb_dtype dtype, void* buffer,
                void* stream) override;
  void wait() override;
  bool replays() const override { return pending_.replays(); }
  void throw_fault() override;
  double microseconds() override;
  void send(const Tables& tables) override;
  bool keeps_windows(const Weights& weights) const override {
    return reserved_.keeps(weights.windows, weights.layers, weights.experts);
  }
  bool prepare_send(int64_t layers, int64_t experts) override;
  void send(const Weights& weights) override;
  void bring(Weights& weights) override;
  bool send(const CurrentPlacement& current) override;
  void bring(CurrentPlacement& current) override;
  const int32_t* current() const override { return reserved_.current(); }
  bool bring(Plan& plan) override;
  void send(const SplitPlacement& over) override;
  void prepare_split_on(const Problem& problem, const void* placement, eplb_dtype dtype,
                        void* stream) override;
  void split_on(const Problem& problem, bool integer, int tolerance, void* stream) override;
  void fetch_split_on(const Problem& problem, bool integer, eplb_map map, eplb_dtype dtype,
                      void* buffer, void* stream) override;
  void bring(SplitPlacement& over, Split& split) override;
  void abandon() override;

 private:
  struct Closed {};
  CudaMachine(Closed, int index) : device_(index), limits_(device_.limits()) {}

  Problem on_device(const Problem& problem) const;
  DeviceMemory& memory_for(const MemorySizes& sizes, bool keeps_reserved);
  DeviceMemory& evaluation_memory(const Weights& weights, bool resident, int64_t scratch);
  void send_weights(const Weights& weights, const DeviceMemory& memory, bool with_windows);
  void fetch_figures(const Problem& problem, bool integer, eplb_map map, eplb_dtype dtype,
                     void* buffer, cudaStream_t stream);
  void fetch_transfers(const Problem& problem, eplb_map map, eplb_dtype dtype, void* buffer,
                       cudaStream_t stream);
  void send_current(const Problem& from, const DeviceMemory& memory, SolveTask& task);
  void bring_maps(const DevicePlan& from, Plan& plan, const char* what);
  SplitTask split_task(const Problem& problem, bool integer) const;

  std::unique_ptr<Machine> host_ = cpu::make_machine(1);
  Device device_;
  DeviceLimits limits_;
  DeviceMemory reserved_, grown_;  // grown_: for host calls that reserved_ is too small for
  SplitMemory splits_;
  DeviceTables tables_;
  Pending pending_;
  PinnedBlock staging_;
  cudaStream_t stream_ = nullptr;
  // Of the last solve on a stream that was not being captured.
  cudaEvent_t started_ = nullptr, ended_ = nullptr;
  bool timed_ = false;  // whether that was the last solve on a stream
};

}  // namespace eplb::cuda
