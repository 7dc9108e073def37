// Splits of tokens over the replicas of a placement.
#include "machines/cpu/target.h"
#include "solver/evaluate/dispatch_evaluation.h"

namespace eplb::cpu::EPLB_TARGET {
namespace {

target::HostTeam team_of(const Workspace& workspace) {
  return target::HostTeam(target::View<int64_t>{nullptr}, workspace.interrupt);
}

struct DispatchWorkspace {
  target::LayerDispatchWorkspace layer;
  target::DispatchEvaluationWorkspace evaluation;
  target::View<int> tight;

  void lay_out(target::Arena& arena, const Problem& problem) {
    layer.lay_out(arena, problem);
    evaluation.lay_out(arena, problem);
    tight = arena.take<int>(problem.cluster.gpus);
  }
};

}  // namespace

int64_t graph_bytes(const Problem& problem) {
  return target::stage_bytes<target::SplitGraph>(problem);
}

int64_t graph_workspace_bytes(const Problem& problem) {
  return target::stage_bytes<target::GraphWorkspace>(problem);
}

void make_graph(const Problem& problem, const GraphTask& task, const Workspace& workspace) {
  auto team = team_of(workspace);
  target::make_graph(team, problem, task.placement,
                     target::laid_out<target::GraphWorkspace>(workspace.memory, problem),
                     target::laid_out<target::SplitGraph>(task.graph, problem));
}

int64_t split_workspace_bytes(const Problem& problem) {
  const int64_t split = target::stage_bytes<target::LayerSplitWorkspace>(problem);
  const int64_t evaluation = target::stage_bytes<target::SplitEvaluationWorkspace>(problem);
  return split < evaluation ? evaluation : split;
}

void split(const Problem& problem, const SplitTask& task, int tolerance,
           const Workspace& workspace) {
  auto team = team_of(workspace);
  const auto graph = target::laid_out<target::SplitGraph>(task.graph, problem);
  const auto stage = target::laid_out<target::LayerSplitWorkspace>(workspace.memory, problem);
  with_weights(task.weights, [&](auto weights) {
    target::split_layer(team, problem, graph, weights, tolerance, stage,
                        {{task.quota}, {task.tight}});
  });
}

void evaluate_split(const Problem& problem, const SplitTask& task, const SplitOutputs& out,
                    const Workspace& workspace) {
  auto team = team_of(workspace);
  const auto graph = target::laid_out<target::SplitGraph>(task.graph, problem);
  const auto stage = target::laid_out<target::SplitEvaluationWorkspace>(workspace.memory, problem);
  const target::SplitMaps maps{{task.quota}, {task.tight}};
  const target::SplitEvaluation evaluation(problem, graph, maps, stage);
  if (out.share) evaluation.put_shares(team, [&](int slot, int share) { out.share[slot] = share; });
  if (out.figures) evaluation.write_loads(team, task.weights, out);
}

int64_t dispatch_workspace_bytes(const Problem& problem) {
  return target::stage_bytes<DispatchWorkspace>(problem);
}

void dispatch(const Problem& problem, const DispatchTask& task, const Workspace& workspace) {
  auto team = team_of(workspace);
  const auto graph = target::laid_out<target::SplitGraph>(task.graph, problem);
  const auto stage = target::laid_out<DispatchWorkspace>(workspace.memory, problem);
  const DispatchOutputs& out = task.out;
  const target::DispatchMaps maps{{out.placement}, {out.units}, {out.table}, stage.tight};
  with_weights(task.weights, [&](auto weights) {
    target::dispatch_layer(team, problem, task.placement, graph, weights, stage.layer, maps);
  });
  target::DispatchEvaluation(problem, maps, stage.evaluation)
      .write(team, task.weights, out.load, *out.figures);
}

}  // namespace eplb::cpu::EPLB_TARGET
