// Tokens over the replicas of a placement in device memory: a block for each layer.
#include "core/split.h"
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/evaluate/split_evaluation.h"

namespace eplb::cuda {
namespace {

template <class Stage> Workspace workspace_for(const Problem& problem, const DeviceLimits& limits) {
  return workspace_of(solver::stage_bytes<Stage>(problem), problem.layers, limits);
}
// In the memory of this block.
template <class Stage> __device__ Stage laid_out(const SplitTask& task) {
  const Workspace& workspace = task.workspace;
  if (workspace.bytes == 0) return {};
  return solver::laid_out<Stage>(
      workspace.shared ? eplb_shared : task.split.memory + blockIdx.x * workspace.bytes,
      task.problem);
}
__device__ solver::SplitGraph graph_of(const SplitTask& task, int64_t layer) {
  return solver::laid_out<solver::SplitGraph>(task.split.graphs + layer * task.split.graph_bytes,
                                              task.problem);
}
__device__ solver::SplitMaps maps_of(const SplitTask& task, int64_t layer) {
  const Cluster& cluster = task.problem.cluster;
  return {{task.split.quota + layer * cluster.slots}, {task.split.tight + layer * cluster.gpus}};
}
__device__ LayerWeights weights_of(const SplitTask& task, int64_t layer) {
  const DeviceWeights& weights = task.weights;
  if (weights.whole) return {nullptr, weights.of_layer<int64_t>(weights.sums, layer)};
  return {weights.of_layer<double>(weights.sums, layer), nullptr};
}

// A caller's row of experts. Without one that tokens can be split over, it counts as empty.
template <class T> class GivenRow {
 public:
  __device__ GivenRow(const SplitTask& task, int64_t layer)
      : task_(task),
        problem_(task.problem),
        layer_(layer),
        given_(static_cast<const T*>(task.placement) + layer * problem_.cluster.slots),
        taken_(task.split.placement + layer * problem_.cluster.slots) {}

  __device__ void prepare(WarpTeam& team, const solver::GraphWorkspace& stage) const {
    const int slots = problem_.cluster.slots, experts = problem_.experts;
    const int bad = team.find_of(slots, [&](int s) { return is_bad(s); });
    make(team, stage, bad == slots);
    if (bad < slots) return report(team, bad, Fault::kSplitSlot);
    const int missing = team.find_of(experts, [&](int e) { return stage.hosts[e] == 0; });
    if (missing == experts) return;
    report(team, missing, Fault::kSplitExpert);
    make(team, stage, false);
  }

 private:
  __device__ bool is_bad(int slot) const {
    const T e = given_[slot];
    return e < -1 || e >= problem_.experts || (e >= 0 && !solver::is_open(problem_.cluster, slot));
  }
  __device__ void make(WarpTeam& team, const solver::GraphWorkspace& stage, bool as_given) const {
    team.for_each(problem_.cluster.slots,
                  [&](int s) { taken_[s] = as_given ? static_cast<int32_t>(given_[s]) : -1; });
    solver::make_graph(team, problem_, taken_, stage, graph_of(task_, layer_));
  }
  __device__ void report(WarpTeam& team, int where, Fault fault) const {
    team.single([&] { atomicMin(task_.fault, fault_code(layer_, where, fault)); });
  }

  const SplitTask& task_;
  const Problem& problem_;
  const int64_t layer_;
  const T* const given_;
  int32_t* const taken_;
};

template <class T> __global__ void __launch_bounds__(32) prepare_layers(SplitTask task) {
  const auto stage = laid_out<solver::GraphWorkspace>(task);
  WarpTeam team({nullptr});
  for_each_piece(task.problem.layers,
                 [&](int64_t layer) { GivenRow<T>(task, layer).prepare(team, stage); });
}

__global__ void __launch_bounds__(32) split_layers(SplitTask task) {
  const Problem& problem = task.problem;
  const auto stage = laid_out<solver::LayerSplitWorkspace>(task);
  WarpTeam team({nullptr});
  for_each_piece(problem.layers, [&](int64_t layer) {
    const solver::SplitGraph graph = graph_of(task, layer);
    const LayerWeights weights = weights_of(task, layer);
    auto split = [&](const auto& source) {
      solver::split_layer(team, problem, graph, source, task.tolerance, stage,
                          maps_of(task, layer));
    };
    if (weights.whole)
      split(solver::WholeWeights{weights.whole});
    else
      split(solver::RealWeights{weights.real});
  });
}

template <class T>
__device__ void write_integers(WarpTeam& team, const SplitTask& task, int64_t layer,
                               const solver::SplitEvaluation& evaluation) {
  const Cluster& cluster = task.problem.cluster;
  T* const out = static_cast<T*>(task.map);
  if (task.which_map == EPLB_MAP_SHARE)
    return evaluation.put_shares(
        team, [&](int slot, int share) { out[layer * cluster.slots + slot] = share; });
  const View<int> tight = maps_of(task, layer).tight;
  team.for_each(cluster.gpus, [&](int gpu) { out[layer * cluster.gpus + gpu] = tight[gpu]; });
}

__device__ void write_reals(WarpTeam& team, const SplitTask& task, int64_t layer,
                            const solver::SplitEvaluation& evaluation) {
  const Cluster& cluster = task.problem.cluster;
  double* const out = static_cast<double*>(task.map);
  SplitFigures figures;
  SplitOutputs outputs{};
  switch (task.which_map) {
    case EPLB_MAP_QUOTA: outputs.quota = out + layer * cluster.slots; break;
    case EPLB_MAP_SPLIT_LOAD: outputs.load = out + layer * cluster.gpus; break;
    default: outputs.figures = &figures;
  }
  evaluation.write_loads(team, weights_of(task, layer), outputs);
  if (outputs.figures == nullptr) return;
  team.single([&] {
    out[layer] = task.which_map == EPLB_MAP_SPLIT_BOUND ? figures.bound : figures.imbalance;
  });
}

__global__ void __launch_bounds__(32) write_split_map(SplitTask task) {
  const Problem& problem = task.problem;
  const auto stage = laid_out<solver::SplitEvaluationWorkspace>(task);
  WarpTeam team({nullptr});
  for_each_piece(problem.layers, [&](int64_t layer) {
    const solver::SplitGraph graph = graph_of(task, layer);
    const solver::SplitMaps maps = maps_of(task, layer);
    const solver::SplitEvaluation evaluation(problem, graph, maps, stage);
    if (task.map_dtype == EPLB_FLOAT64)
      write_reals(team, task, layer, evaluation);
    else if (task.map_dtype == EPLB_INT64)
      write_integers<int64_t>(team, task, layer, evaluation);
    else
      write_integers<int32_t>(team, task, layer, evaluation);
  });
}

}  // namespace

SplitSpread split_spread(const Problem& problem, const DeviceLimits& limits) {
  return {workspace_for<solver::GraphWorkspace>(problem, limits),
          workspace_for<solver::LayerSplitWorkspace>(problem, limits),
          workspace_for<solver::SplitEvaluationWorkspace>(problem, limits)};
}

int64_t split_graph_bytes(const Problem& problem) {
  return lines_for(solver::stage_bytes<solver::SplitGraph>(problem)) * int64_t{sizeof(Line)};
}

void prepare_splits(int shared_bytes, cudaStream_t stream) {
  prepare_for_layers(prepare_layers<int32_t>, shared_bytes, stream);
  prepare_for_layers(prepare_layers<int64_t>, shared_bytes, stream);
  prepare_for_layers(split_layers, shared_bytes, stream);
  prepare_for_layers(write_split_map, shared_bytes, stream);
}

void launch_split_placement(SplitTask task, cudaStream_t stream) {
  task.workspace = task.split.spread.preparing;
  launch_for_layers(
      task.placement_dtype == EPLB_INT64 ? prepare_layers<int64_t> : prepare_layers<int32_t>,
      stream, task);
}

void launch_split(SplitTask task, cudaStream_t stream) {
  task.workspace = task.split.spread.splitting;
  launch_for_layers(split_layers, stream, task);
}

void launch_split_map(SplitTask task, cudaStream_t stream) {
  task.workspace = task.split.spread.evaluating;
  launch_for_layers(write_split_map, stream, task);
}

}  // namespace eplb::cuda
