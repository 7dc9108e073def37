// Bounds of layers: a block for each.
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/evaluate/threshold_bound.h"

namespace eplb::cuda {
namespace {

// A block's memory: the bound's and the team's.
EPLB_FN int64_t lay_out(void* memory, const SolveTask& task, solver::BoundRoom& bound, View<uint64_t>& words) {
  solver::Arena arena(memory);
  bound.lay_out(arena, task.shape, task.threshold);
  words = arena.take<uint64_t>(WarpTeam::workspace_words(task.threshold ? 2 * task.shape.experts : task.shape.experts));
  return arena.used();
}

__global__ void __launch_bounds__(32)
    write_bounds(SolveTask task, Workspace workspace, char* memory, DeviceWeights weights, double* out) {
  solver::BoundRoom bound;
  View<uint64_t> words;
  lay_out(workspace.shared ? eplb_shared : memory + blockIdx.x * workspace.bytes, task, bound, words);
  WarpTeam team(words);
  for_each_piece(task.layers, [&](int64_t layer) {
    const solver::LayerBound found =
        solver::bound_of_layer(team, task.shape, task.threshold, bound, [&](int e) { return weights.at(layer, e); });
    team.single([&] { out[layer] = found.load; });
  });
}

}  // namespace

int64_t bound_bytes(const SolveTask& task) {
  solver::BoundRoom bound;
  View<uint64_t> words;
  return lay_out(nullptr, task, bound, words);
}

// Once with nothing to do, as the kernels of a solve.
void prepare_bounds(int shared_bytes, cudaStream_t stream) {
  prepare(write_bounds, shared_bytes);
  launch(write_bounds, 1, 0, stream, SolveTask{}, Workspace{0, true, 1}, nullptr, DeviceWeights{}, nullptr);
}

void launch_bounds(const SolveTask& task, const Spread& spread, const DeviceWeights& weights, const SolveRoom& room,
                   double* out, cudaStream_t stream) {
  const Workspace& workspace = spread.bounds;
  launch(write_bounds, grid_of(task.layers, workspace.most_blocks), workspace.shared ? workspace.bytes : 0, stream,
         task, workspace, room.workspace, weights, out);
}

}  // namespace eplb::cuda
