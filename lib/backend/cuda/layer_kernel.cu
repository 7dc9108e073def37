// The stages on the device: one warp per layer, its state in global memory. Proves that what the host runs compiles for a
// warp; launching it from the API, with several warps to a block and state in shared memory, is the CUDA backend's to come.
#include "backend/cuda/cuda_team.cuh"

namespace eplb::cuda {

// weights [L,E] in double; maps [L,S], [L,E], [L,S]; workspace: `stride` bytes for each layer.
template <class Number>
__global__ void solve_layers(solver::Preset preset, solver::Shape shape, const double* weights,
                             int* physical_to_logical, int* replica_count, int* replica_slots, char* workspace,
                             int64_t stride) {
  const int64_t layer = blockIdx.x;
  solver::Workspace<Number> w;
  solver::Arena arena(workspace + layer * stride);
  w.lay_out(arena, shape);
  const solver::Maps maps{{physical_to_logical + layer * shape.slots},
                          {replica_count + layer * shape.experts},
                          {replica_slots + layer * shape.slots}};
  solver::CudaTeam team;
  solver::solve_layer<Number>(team, preset, shape, solver::RealWeights{weights + layer * shape.experts}, w, maps);
}

__global__ void solve_layers_best(int effort, solver::Shape shape, const double* weights, int* physical_to_logical,
                                  int* replica_count, int* replica_slots, char* workspace, int64_t stride) {
  const int64_t layer = blockIdx.x;
  solver::BestWorkspace w;
  solver::Arena arena(workspace + layer * stride);
  w.lay_out(arena, shape);
  const solver::Maps maps{{physical_to_logical + layer * shape.slots},
                          {replica_count + layer * shape.experts},
                          {replica_slots + layer * shape.slots}};
  solver::CudaTeam team;
  solver::solve_layer_best(team, effort, shape, solver::RealWeights{weights + layer * shape.experts}, w, maps);
}

template __global__ void solve_layers<solver::Integer>(solver::Preset, solver::Shape, const double*, int*, int*, int*,
                                                       char*, int64_t);
template __global__ void solve_layers<solver::Float32>(solver::Preset, solver::Shape, const double*, int*, int*, int*,
                                                       char*, int64_t);

}  // namespace eplb::cuda
