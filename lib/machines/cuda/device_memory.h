// Allocations of device memory, and of host memory for copies to and from it; and the arrays of a
// solve in one of them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <new>

#include "core/tables.h"
#include "machines/cuda/driver.h"
#include "machines/cuda/kernels/kernels.h"

namespace eplb::cuda {

// Some bytes. The device must be current.
template <void* (*kTake)(int64_t bytes), cudaError_t (*kFree)(void*)> class Block {
 public:
  char* data() const { return static_cast<char*>(data_.get()); }
  int64_t bytes() const { return bytes_; }
  void at_least(int64_t bytes) {
    if (bytes <= bytes_) return;
    release();
    data_.reset(kTake(bytes));
    bytes_ = bytes;
  }
  void release() {
    data_.reset();
    bytes_ = 0;
  }
  void abandon() { static_cast<void>(data_.release()); }  // forgets it without freeing

 private:
  struct Free {
    void operator()(void* data) const { kFree(data); }
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

inline void* take_of_device(int64_t bytes) {
  void* data = nullptr;
  check(cudaMalloc(&data, static_cast<size_t>(bytes)), "cudaMalloc");
  return data;
}
using DeviceBlock = Block<take_of_device, cudaFree>;

inline void* take_pinned(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw std::bad_alloc();
  }
  check(error, "cudaHostAlloc");
  return data;
}
// Host memory that a device reads and writes by itself.
using PinnedBlock = Block<take_pinned, cudaFreeHost>;

// What a solve needs of each kind of memory, in bytes.
struct MemorySizes {
  int64_t weights = 0, windows = 0, current = 0, plan = 0, counters = 0, scratch = 0;

  static int64_t of_weights(int64_t layers, int64_t experts);
  static int64_t of_windows(int64_t windows, int64_t layers, int64_t experts);  // 0: not kept
  static int64_t of_current(int64_t layers, int64_t slots);
  // Evaluations included; windows only if they are balanced apart.
  static MemorySizes of(const Problem& problem, const Spread& spread);
  static int64_t of_evaluation(const Problem& problem, const Workspace& workspace);  // scratch
  int64_t total() const { return weights + windows + current + plan + counters + scratch; }
  MemorySizes at_least(const MemorySizes& other) const;
  bool operator==(const MemorySizes&) const = default;
  bool hold(const MemorySizes& other) const { return at_least(other) == *this; }
};

// Where everything is. The kinds begin at places that do not depend on the problem: weights and the
// current placement stay where they are when another one is solved of them.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const MemorySizes& sizes, cudaStream_t stream);  // ready when it returns

  const MemorySizes& sizes() const { return sizes_; }
  // With that number of windows if there is room for them.
  DeviceWeights weights(int64_t layers, int64_t experts, bool whole, int64_t windows = 1) const;
  // Can they be known apart here?
  bool keeps(int64_t windows, int64_t layers, int64_t experts) const;
  int32_t* current() const;  // [L,S]
  DevicePlan plan(const Problem& problem) const;
  SolveTask solve_task(const Problem& problem, const Spread& spread, bool whole) const;
  // Of a placement that is sent there; its weights are the caller's to set.
  EvaluationTask evaluation_task(const Problem& problem, EvaluationParts wanted,
                                 const Workspace& workspace) const;
  // Of the plan there; the map is the caller's to set.
  TransferTask transfer_task(const Problem& problem, const Workspace& workspace) const;
  FaultCode* fault() const { return reinterpret_cast<FaultCode*>(block_.data()); }
  // DeviceWeights::windows_known, wherever weights of some shape end; -1: there are none yet.
  int64_t* windows_known() const { return reinterpret_cast<int64_t*>(block_.data()) + 1; }
  int64_t bytes() const { return block_.bytes(); }
  void abandon() { block_.abandon(); }

 private:
  char* at(int64_t offset) const { return block_.data() + offset; }
  char* scratch() const;

  MemorySizes sizes_;
  DeviceBlock block_;
};

// Tables in device memory. They stay in place until the next ones.
class DeviceTables {
 public:
  DeviceTables() = default;
  DeviceTables(const Tables& tables, cudaStream_t stream);  // ready when it returns

  // The same with what is here in place of what is on the host.
  Problem of(Problem problem) const;
  int64_t bytes() const { return block_.bytes(); }
  void abandon() { block_.abandon(); }

 private:
  int64_t lay_out(solver::Arena arena, const Tables& tables);

  DeviceBlock block_;
  int32_t *slots_ = nullptr, *node_ = nullptr, *pace_ = nullptr;
  double* speed_ = nullptr;
  int32_t *price_units_ = nullptr, *window_share_ = nullptr;
};

// Elements of the maps that are fetched; they lie one after another.
int64_t plan_elements(const Problem& problem);

}  // namespace eplb::cuda
