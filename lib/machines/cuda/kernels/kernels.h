// The kernels as the machine calls them: each call launches on a stream, waits for nothing and
// allocates nothing.
#pragma once

#include <cuda_runtime_api.h>

#include "core/placement.h"
#include "core/weights.h"
#include "machines/cuda/device_arrays.h"

namespace eplb::cuda {

// Limits of a device that decide how a solve is spread.
struct DeviceLimits {
  int multiprocessors;
  int shared_bytes;  // that a block may have
};

// Loads every kernel, lets it have all the shared memory there is and the memory of its first
// launch: none of that may happen while a stream is captured. Waits for the stream.
void prepare_kernels(const DeviceLimits& limits, cudaStream_t stream);

// Checks caller's weights [T,L,E], sums their windows, and keeps these where there is memory.
void launch_sum(const WeightSource& source, const DeviceWeights& out, cudaStream_t stream);

// Copies a placement [L,S] to `out`, where it may lie already. A layer with an id that is neither
// -1 nor an expert below `experts` becomes one of -1, and `fault` the lowest such place.
void launch_take_placement(const PlacementSource& source, int experts, int32_t* out,
                           FaultCode* fault, cudaStream_t stream);

// A solve in device memory.
struct SolveTask {
  Problem problem;
  Spread spread;
  DeviceWeights weights;
  SolveScratch scratch;
  DevicePlan plan;
};

Spread spread_of(const Problem& problem, const DeviceLimits& limits);
void launch_solve(const SolveTask& task, cudaStream_t stream);

// An evaluation of a placement in device memory.
struct EvaluationTask {
  Problem problem;
  EvaluationParts wanted;
  // in_global_memory() bytes of `memory` are the caller's, and another launch must not use them at
  // the same time. None are needed for loads and duplicates if replica counts are known.
  Workspace workspace;
  char* memory;
  DeviceWeights weights;
  int32_t *placement, *replica_count;  // [L,S], and its [L,E] unless null
  // Where figures of wanted parts go, each unless null.
  LayerFigures* figures;  // [L]
  double* gpu_load;       // [L,G]
  void* map;              // [L]: a map of one figure
  eplb_map which_map;
  eplb_dtype map_dtype;
};

Workspace evaluation_workspace(const Problem& problem, EvaluationParts wanted, bool counted,
                               const DeviceLimits& limits);
void launch_evaluation(const EvaluationTask& task, cudaStream_t stream);

// A map of the transfers to a plan in device memory, from the problem's current placement there.
struct TransferTask {
  Problem problem;
  Workspace workspace;  // in_global_memory() bytes of `memory`, as of an evaluation
  char* memory;
  const int32_t* placement;  // [L,S]
  void* map;                 // [L,S] or [L]
  eplb_map which_map;
  eplb_dtype map_dtype;
};

Workspace transfer_workspace(const Problem& problem, const DeviceLimits& limits);
void launch_transfers(const TransferTask& task, cudaStream_t stream);

// Tokens over the replicas of a placement in device memory.
struct SplitTask {
  Problem problem;
  Workspace workspace;  // that of the launch
  DeviceSplit split;
  DeviceWeights weights;
  // Of launch_split_placement: a caller's [L,S], which is checked.
  const void* placement;
  eplb_dtype placement_dtype;
  FaultCode* fault;
  int tolerance;  // of launch_split
  // Of launch_split_map, by slot, by GPU or by layer.
  void* map;
  eplb_map which_map;
  eplb_dtype map_dtype;
};

SplitSpread split_spread(const Problem& problem, const DeviceLimits& limits);
int64_t split_graph_bytes(const Problem& problem);
void launch_split_placement(SplitTask task, cudaStream_t stream);
void launch_split(SplitTask task, cudaStream_t stream);
void launch_split_map(SplitTask task, cudaStream_t stream);

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
