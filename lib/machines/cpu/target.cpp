// The table of an instruction set, and what common problems take: see target.h.
#include "machines/cpu/target.h"
#include "solver/evaluate/layer_evaluation.h"
#include "solver/transfers/plan_transfers.h"

namespace eplb::cpu {
namespace {

namespace target = solver::EPLB_TARGET;
using namespace EPLB_TARGET;

int64_t workspace_bytes(const Problem& problem) {
  if (!target::is_common(problem)) return other_workspace_bytes(problem);
  return target::with_common_method(problem, [](auto method) {
    return SolveWorkspace<decltype(method)>{method}.lay_out(nullptr);
  });
}

void solve(const Problem& problem, const LayerTask& task, const Workspace& workspace) {
  if (!target::is_common(problem)) return solve_other(problem, task, workspace);
  target::with_common_method(problem, [&](auto method) { solve_by(method, task, workspace); });
}

// Memory of one thread: the stage's, and the team's own.
int64_t lay_out(void* memory, const Problem& problem, EvaluationParts wanted,
                target::EvaluationWorkspace& stage, target::View<int64_t>& team) {
  target::Arena arena(memory);
  stage.lay_out(arena, problem, wanted, false);
  const int keys = wanted & kBounds ? target::most_bound_keys(problem) : 0;
  team = arena.take<int64_t>(target::HostTeam::workspace_words(keys));
  return arena.used();
}

int64_t evaluate_workspace_bytes(const Problem& problem, EvaluationParts wanted) {
  target::EvaluationWorkspace stage;
  target::View<int64_t> team{};
  return lay_out(nullptr, problem, wanted, stage, team);
}

void evaluate(const Problem& problem, const EvaluationTask& task, const Workspace& workspace) {
  target::EvaluationWorkspace stage;
  target::View<int64_t> words{};
  lay_out(workspace.memory, problem, task.wanted, stage, words);
  const target::HostTeam team(words, workspace.interrupt);
  const target::PlacedLayer layer{task.placement, nullptr, task.gpu_load};
  auto evaluate_weights = [&](const auto* weights) {
    target::evaluate_layer(
        team, problem, task.wanted, stage, [=](int e) { return static_cast<double>(weights[e]); },
        layer, *task.figures);
  };
  if (task.weights.real)
    evaluate_weights(task.weights.real);
  else
    evaluate_weights(task.weights.whole);
}

// Memory of one thread: the stage's, and the team's own.
int64_t lay_out(void* memory, const Problem& problem, target::TransferWorkspace& stage,
                target::View<int64_t>& team) {
  target::Arena arena(memory);
  stage.lay_out(arena, problem);
  team = arena.take<int64_t>(target::HostTeam::workspace_words(problem.cluster.slots));
  return arena.used();
}

int64_t transfer_workspace_bytes(const Problem& problem) {
  target::TransferWorkspace stage;
  target::View<int64_t> team{};
  return lay_out(nullptr, problem, stage, team);
}

void plan_transfers(const Problem& problem, const TransferTask& task, const Workspace& workspace) {
  target::TransferWorkspace stage;
  target::View<int64_t> words{};
  lay_out(workspace.memory, problem, stage, words);
  const target::HostTeam team(words, workspace.interrupt);
  *task.moves = target::plan_transfers(team, problem, {task.current, task.placement}, stage,
                                       {{task.source}, {task.round}, {task.group}});
}

bool supported() { return EPLB_TARGET_SUPPORTED; }

}  // namespace

extern const InstructionSet EPLB_TARGET_TABLE;
const InstructionSet EPLB_TARGET_TABLE = {.name = EPLB_TARGET_NAME,
                                          .supported = supported,
                                          .workspace_bytes = workspace_bytes,
                                          .solve = solve,
                                          .find_path = find_path,
                                          .evaluate_workspace_bytes = evaluate_workspace_bytes,
                                          .evaluate = evaluate,
                                          .transfer_workspace_bytes = transfer_workspace_bytes,
                                          .plan_transfers = plan_transfers,
                                          .graph_bytes = graph_bytes,
                                          .graph_workspace_bytes = graph_workspace_bytes,
                                          .make_graph = make_graph,
                                          .split_workspace_bytes = split_workspace_bytes,
                                          .split = split,
                                          .evaluate_split = evaluate_split,
                                          .dispatch_workspace_bytes = dispatch_workspace_bytes,
                                          .dispatch = dispatch};

}  // namespace eplb::cpu
