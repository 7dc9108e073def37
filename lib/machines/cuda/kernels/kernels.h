// The kernels as the machine calls them: each call launches on a stream, waits for nothing and
// allocates nothing.
#pragma once

#include <cuda_runtime_api.h>

#include "core/evaluation.h"
#include "machines/cuda/device_arrays.h"
#include "machines/cuda/solve_scratch.h"
#include "machines/cuda/spread.h"
#include "solver/evaluate/layer_evaluation.h"

namespace eplb::cuda {

// Limits of a device that decide how a solve is spread.
struct DeviceLimits {
  int multiprocessors;
  int shared_bytes;  // that a block may have
};

// Loads every kernel, lets it have all the shared memory there is and the memory of its first
// launch: none of that may happen while a stream is captured. Waits for the stream.
void prepare_kernels(const DeviceLimits& limits, cudaStream_t stream);

// Checks caller's weights [T,L,E] and sums their windows.
void launch_sum(const void* weights, eplb_dtype dtype, int64_t windows, const DeviceWeights& out,
                cudaStream_t stream);

Spread spread_of(const Problem& problem, const DeviceLimits& limits);
void launch_solve(const Problem& problem, const Spread& spread, const DeviceWeights& weights,
                  const SolveScratch& scratch, const DevicePlan& plan, cudaStream_t stream);

// A placement [L,S], and its replica counts [L,E] unless null.
struct DevicePlacement {
  const int32_t *physical_to_logical, *replica_count;
};
// Where figures of wanted parts go, each unless null.
struct EvaluationOutputs {
  LayerFigures* figures;                 // [L]
  double *gpu_load, *imbalance, *bound;  // [L,G], [L], [L]
  int32_t* duplicates;                   // [L]
  int64_t* wide_duplicates;              // [L]
};

// What launch_evaluation works in: in_global_memory() bytes are the caller's, and another launch
// must not use them at the same time. None are needed for loads and duplicates if replica counts
// are known.
Workspace evaluation_workspace(const Problem& problem, const solver::WantedFigures& wanted,
                               bool counted, const DeviceLimits& limits);
void launch_evaluation(const Problem& problem, const solver::WantedFigures& wanted,
                       const Workspace& workspace, char* memory, const DeviceWeights& weights,
                       const DevicePlacement& placed, const EvaluationOutputs& out,
                       cudaStream_t stream);

// Fills first_place; part of launch_solve.
void launch_first_places(const Problem& problem, const DevicePlan& plan, const ThrustMemory& memory,
                         cudaStream_t stream);
// Are ids and slots in range, does every expert have a replica, and do the counts agree with both
// maps? Needed because a captured solve may never have been launched. Waits for the stream.
bool is_consistent(const Problem& problem, const DevicePlan& plan, const ThrustMemory& memory,
                   cudaStream_t stream);

// Maps of integers that a plan holds. width: X of LOGICAL_TO_PHYSICAL.
void launch_map(eplb_map map, eplb_dtype dtype, void* out, int64_t width, const Problem& problem,
                const DevicePlan& plan, cudaStream_t stream);

}  // namespace eplb::cuda
