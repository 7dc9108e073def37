// How the current placement becomes a plan, in device memory: a block for each layer, which works
// out all of its transfers for each map of them that is fetched.
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/transfers/plan_transfers.h"

namespace eplb::cuda {
namespace {

// A block's memory: the stage's, its maps and the team's.
struct TransferMemory {
  solver::TransferWorkspace stage;
  solver::TransferMaps maps;
  View<uint64_t> words;

  EPLB_FN int64_t lay_out(void* memory, const Problem& problem) {
    solver::Arena arena(memory);
    stage.lay_out(arena, problem);
    arena.take(problem.cluster.slots, maps.source, maps.round, maps.group);
    words = arena.take<uint64_t>(WarpTeam::workspace_words(problem.cluster.slots));
    return arena.used();
  }
};

template <class T>
__device__ void write_map(WarpTeam& team, const TransferTask& task, int64_t layer,
                          const solver::TransferMaps& maps, const LayerMoves& figures) {
  T* const out = static_cast<T*>(task.map);
  if (task.which_map == EPLB_MAP_MOVE_COUNT)
    return team.single([&] { out[layer] = figures.moves; });
  const int slots = task.problem.cluster.slots;
  const View<int> map = task.which_map == EPLB_MAP_MOVE_SOURCE  ? maps.source
                        : task.which_map == EPLB_MAP_MOVE_ROUND ? maps.round
                                                                : maps.group;
  team.for_each(slots, [&](int s) { out[layer * slots + s] = map[s]; });
}

__global__ void __launch_bounds__(32) plan_transfers(TransferTask task) {
  const Problem& problem = task.problem;
  TransferMemory memory{};
  if (task.workspace.bytes > 0)
    memory.lay_out(
        task.workspace.shared ? eplb_shared : task.memory + blockIdx.x * task.workspace.bytes,
        problem);
  WarpTeam team(memory.words);
  for_each_piece(problem.layers, [&](int64_t layer) {
    const int64_t first = layer * problem.cluster.slots;
    const LayerMoves figures = solver::plan_transfers(
        team, problem, {problem.current.expert + first, task.placement + first}, memory.stage,
        memory.maps);
    if (task.map_dtype == EPLB_INT64)
      write_map<int64_t>(team, task, layer, memory.maps, figures);
    else
      write_map<int32_t>(team, task, layer, memory.maps, figures);
  });
}

}  // namespace

Workspace transfer_workspace(const Problem& problem, const DeviceLimits& limits) {
  return workspace_of(TransferMemory().lay_out(nullptr, problem), problem.layers, limits);
}

void prepare_transfers(int shared_bytes, cudaStream_t stream) {
  prepare_for_layers(plan_transfers, shared_bytes, stream);
}

void launch_transfers(const TransferTask& task, cudaStream_t stream) {
  launch_for_layers(plan_transfers, stream, task);
}

}  // namespace eplb::cuda
