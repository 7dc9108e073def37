// A solve's arrays in one allocation of device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/memory_blocks.h"

namespace eplb::cuda {

// What a solve needs of each kind of memory, in bytes.
struct MemorySizes {
  int64_t weights = 0, plan = 0, counters = 0, scratch = 0;

  static int64_t of_weights(int64_t layers, int64_t experts);
  static MemorySizes of(const Problem& problem, const Spread& spread);  // evaluations included
  static int64_t of_evaluation(const Problem& problem, const Workspace& workspace);  // scratch
  int64_t total() const { return weights + plan + counters + scratch; }
  bool hold(const MemorySizes& other) const {
    return other.weights <= weights && other.plan <= plan && other.counters <= counters &&
           other.scratch <= scratch;
  }
  MemorySizes at_least(const MemorySizes& other) const;
};

// Where everything is. The kinds begin at places that do not depend on the problem: weights stay
// where they are when another one is solved of them.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const MemorySizes& sizes, cudaStream_t stream);  // ready when it returns

  const MemorySizes& sizes() const { return sizes_; }
  DeviceWeights weights(int64_t layers, int experts, bool whole) const;
  DevicePlan plan(const Problem& problem) const;
  SolveTask solve_task(const Problem& problem, const Spread& spread, bool whole) const;
  // Of a placement that is sent there; its weights are the caller's to set.
  EvaluationTask evaluation_task(const Problem& problem, EvaluationParts wanted,
                                 const Workspace& workspace) const;
  FaultCode* fault() const { return reinterpret_cast<FaultCode*>(block_.data()); }
  int64_t bytes() const { return block_.bytes(); }
  void abandon() { block_.abandon(); }

 private:
  char* at(int64_t offset) const { return block_.data() + offset; }
  char* scratch() const;

  MemorySizes sizes_;
  DeviceBlock block_;
};

// Elements of the maps that are fetched; they lie one after another.
int64_t plan_elements(const Problem& problem);

}  // namespace eplb::cuda
