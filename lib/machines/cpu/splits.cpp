// Splits of tokens over the replicas of a placement.
#include "machines/cpu/target.h"
#include "solver/evaluate/split_evaluation.h"

namespace eplb::cpu::EPLB_TARGET {
namespace {

// What a stage lays out, in memory of a thread or of a layer.
template <class Stage> int64_t lay_out(void* memory, const Problem& problem, Stage& stage) {
  target::Arena arena(memory);
  stage.lay_out(arena, problem);
  return arena.used();
}
template <class Stage> int64_t bytes_of(const Problem& problem) {
  Stage stage{};
  return lay_out(nullptr, problem, stage);
}
template <class Stage> Stage laid_out(void* memory, const Problem& problem) {
  Stage stage{};
  lay_out(memory, problem, stage);
  return stage;
}

target::HostTeam team_of(const Workspace& workspace) {
  return target::HostTeam(target::View<int64_t>{nullptr}, workspace.interrupt);
}

}  // namespace

int64_t graph_bytes(const Problem& problem) { return bytes_of<target::SplitGraph>(problem); }

int64_t graph_workspace_bytes(const Problem& problem) {
  return bytes_of<target::GraphWorkspace>(problem);
}

void make_graph(const Problem& problem, const GraphTask& task, const Workspace& workspace) {
  auto team = team_of(workspace);
  target::make_graph(team, problem, task.placement,
                     laid_out<target::GraphWorkspace>(workspace.memory, problem),
                     laid_out<target::SplitGraph>(task.graph, problem));
}

int64_t split_workspace_bytes(const Problem& problem) {
  const int64_t split = bytes_of<target::LayerSplitWorkspace>(problem);
  const int64_t evaluation = bytes_of<target::SplitEvaluationWorkspace>(problem);
  return split < evaluation ? evaluation : split;
}

void split(const Problem& problem, const SplitTask& task, int tolerance,
           const Workspace& workspace) {
  auto team = team_of(workspace);
  const auto graph = laid_out<target::SplitGraph>(task.graph, problem);
  const auto stage = laid_out<target::LayerSplitWorkspace>(workspace.memory, problem);
  with_weights(task.weights, [&](auto weights) {
    target::split_layer(team, problem, graph, weights, tolerance, stage,
                        {{task.quota}, {task.tight}});
  });
}

void evaluate_split(const Problem& problem, const SplitTask& task, const SplitOutputs& out,
                    const Workspace& workspace) {
  auto team = team_of(workspace);
  const auto graph = laid_out<target::SplitGraph>(task.graph, problem);
  const auto stage = laid_out<target::SplitEvaluationWorkspace>(workspace.memory, problem);
  const target::SplitMaps maps{{task.quota}, {task.tight}};
  const target::SplitEvaluation evaluation(problem, graph, maps, stage);
  if (out.share) evaluation.put_shares(team, [&](int slot, int share) { out.share[slot] = share; });
  if (out.figures) evaluation.write_loads(team, task.weights, out);
}

}  // namespace eplb::cpu::EPLB_TARGET
