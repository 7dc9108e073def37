// Evaluating placements in device memory: a block for each layer.
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/evaluate/layer_evaluation.h"

namespace eplb::cuda {
namespace {

// A block's memory: the stage's and the team's.
EPLB_FN int64_t lay_out(void* memory, const Problem& problem, EvaluationParts wanted, bool counted,
                        solver::EvaluationWorkspace& stage, View<uint64_t>& words) {
  solver::Arena arena(memory);
  stage.lay_out(arena, problem, wanted, counted);
  if (wanted & kBounds)
    words = arena.take<uint64_t>(WarpTeam::workspace_words(solver::most_bound_keys(problem)));
  return arena.used();
}

__device__ solver::PlacedLayer placed_layer(const EvaluationTask& task, int64_t layer) {
  const Problem& problem = task.problem;
  double* const loads = task.gpu_load;
  return {task.placement + layer * problem.cluster.slots,
          task.replica_count ? task.replica_count + layer * problem.experts : nullptr,
          loads ? loads + layer * problem.cluster.gpus : nullptr};
}

__device__ void write_figures(const EvaluationTask& task, int64_t layer,
                              const LayerFigures& figures) {
  if (task.figures) task.figures[layer] = figures;
  if (task.map == nullptr) return;
  switch (task.which_map) {
    case EPLB_MAP_IMBALANCE: static_cast<double*>(task.map)[layer] = figures.imbalance; break;
    case EPLB_MAP_BOUND: static_cast<double*>(task.map)[layer] = figures.bound; break;
    case EPLB_MAP_DUPLICATES:
      if (task.map_dtype == EPLB_INT64)
        static_cast<int64_t*>(task.map)[layer] = figures.duplicates;
      else
        static_cast<int32_t*>(task.map)[layer] = static_cast<int32_t>(figures.duplicates);
  }
}

__global__ void __launch_bounds__(32) evaluate_layers(EvaluationTask task) {
  const Problem& problem = task.problem;
  solver::EvaluationWorkspace stage;
  View<uint64_t> words{nullptr};
  if (task.workspace.bytes > 0)
    lay_out(task.workspace.shared ? eplb_shared : task.memory + blockIdx.x * task.workspace.bytes,
            problem, task.wanted, task.replica_count != nullptr, stage, words);
  WarpTeam team(words);
  for_each_piece(problem.layers, [&](int64_t layer) {
    LayerFigures figures = task.figures ? task.figures[layer] : LayerFigures{};
    solver::evaluate_layer(
        team, problem, task.wanted, stage, [&](int e) { return task.weights.at(layer, e); },
        placed_layer(task, layer), figures);
    team.single([&] { write_figures(task, layer, figures); });
  });
}

}  // namespace

// A list of replicas only spares time: without shared memory for it there is none, so that only
// bounds, and placements whose counts are not known, need memory of the caller.
Workspace evaluation_workspace(const Problem& problem, EvaluationParts wanted, bool counted,
                               const DeviceLimits& limits) {
  solver::EvaluationWorkspace stage;
  View<uint64_t> words{nullptr};
  const Workspace workspace = workspace_of(lay_out(nullptr, problem, wanted, counted, stage, words),
                                           problem.layers, limits);
  if (workspace.shared || wanted & kBounds || !counted) return workspace;
  return {0, true, problem.layers};
}

void prepare_evaluation(int shared_bytes, cudaStream_t stream) {
  prepare_for_layers(evaluate_layers, shared_bytes, stream);
}

void launch_evaluation(const EvaluationTask& task, cudaStream_t stream) {
  launch_for_layers(evaluate_layers, stream, task);
}

}  // namespace eplb::cuda
