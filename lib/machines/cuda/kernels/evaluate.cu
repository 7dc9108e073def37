// Evaluating placements in device memory: a block for each layer.
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"

namespace eplb::cuda {
namespace {

// A block's memory: the stage's and the team's.
EPLB_FN int64_t lay_out(void* memory, const Problem& problem, const solver::WantedFigures& wanted,
                        bool counted, solver::EvaluationWorkspace& stage, View<uint64_t>& words) {
  solver::Arena arena(memory);
  stage.lay_out(arena, problem, wanted, counted);
  if (wanted.bounds)
    words = arena.take<uint64_t>(
        WarpTeam::workspace_words(solver::most_bound_keys(problem, wanted.threshold)));
  return arena.used();
}

__device__ void write_figures(const EvaluationOutputs& out, const solver::WantedFigures& wanted,
                              int64_t layer, const solver::LayerEvaluation& evaluation) {
  if (out.figures) evaluation.copy_to(wanted, out.figures[layer]);
  if (out.imbalance) out.imbalance[layer] = evaluation.imbalance;
  if (out.bound) out.bound[layer] = evaluation.bound;
  if (out.duplicates) out.duplicates[layer] = static_cast<int32_t>(evaluation.duplicates);
  if (out.wide_duplicates) out.wide_duplicates[layer] = evaluation.duplicates;
}

__global__ void __launch_bounds__(32)
    evaluate_layers(Problem problem, solver::WantedFigures wanted, Workspace workspace,
                    char* memory, DeviceWeights weights, DevicePlacement placed,
                    EvaluationOutputs out) {
  solver::EvaluationWorkspace stage;
  View<uint64_t> words{nullptr};
  if (workspace.bytes > 0)
    lay_out(workspace.shared ? eplb_shared : memory + blockIdx.x * workspace.bytes, problem, wanted,
            placed.replica_count != nullptr, stage, words);
  WarpTeam team(words);
  for_each_piece(problem.layers, [&](int64_t layer) {
    const solver::PlacedLayer placed_layer{
        placed.physical_to_logical + layer * problem.cluster.slots,
        placed.replica_count ? placed.replica_count + layer * problem.experts : nullptr,
        out.gpu_load ? out.gpu_load + layer * problem.cluster.gpus : nullptr};
    const solver::LayerEvaluation evaluation = solver::evaluate_layer(
        team, problem, wanted, stage, [&](int e) { return weights.at(layer, e); }, placed_layer);
    team.single([&] { write_figures(out, wanted, layer, evaluation); });
  });
}

}  // namespace

// A list of replicas only spares time: without shared memory for it there is none, so that only
// bounds, and placements whose counts are not known, need memory of the caller.
Workspace evaluation_workspace(const Problem& problem, const solver::WantedFigures& wanted,
                               bool counted, const DeviceLimits& limits) {
  solver::EvaluationWorkspace stage;
  View<uint64_t> words{nullptr};
  const Workspace workspace = workspace_of(lay_out(nullptr, problem, wanted, counted, stage, words),
                                           problem.layers, limits);
  if (workspace.shared || wanted.bounds || !counted) return workspace;
  return {0, true, problem.layers};
}

// Once with nothing to do, as the kernels of a solve.
void prepare_evaluation(int shared_bytes, cudaStream_t stream) {
  prepare(evaluate_layers, shared_bytes);
  launch(evaluate_layers, 1, 0, stream, Problem{}, solver::WantedFigures{}, Workspace{0, true, 1},
         nullptr, DeviceWeights{}, DevicePlacement{}, EvaluationOutputs{});
}

void launch_evaluation(const Problem& problem, const solver::WantedFigures& wanted,
                       const Workspace& workspace, char* memory, const DeviceWeights& weights,
                       const DevicePlacement& placed, const EvaluationOutputs& out,
                       cudaStream_t stream) {
  launch(evaluate_layers, grid_of(problem.layers, workspace.most_blocks),
         workspace.shared ? workspace.bytes : 0, stream, problem, wanted, workspace, memory,
         weights, placed, out);
}

}  // namespace eplb::cuda
