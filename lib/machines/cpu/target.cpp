// Compiled once per instruction set with the flags for it, EPLB_TARGET being its name: the stages
// land in a namespace of that name. Nothing here may call an inline function of the standard
// library: the linker keeps one copy of each, perhaps one with instructions that the machine does
// not have. tests/contract/abi checks that no such copy is emitted.
#define EPLB_STAGE_BEGIN \
  namespace eplb {       \
  namespace solver {     \
  namespace EPLB_TARGET {
#define EPLB_STAGE_END \
  }                    \
  }                    \
  }
#include "machines/cpu/host_team.h"
#include "machines/cpu/instruction_set.h"
#include "solver/evaluate/layer_evaluation.h"
#include "solver/strategies/all.h"
#include "solver/transfers/plan_transfers.h"

namespace eplb::cpu {
namespace {

namespace target = solver::EPLB_TARGET;

// Memory of one thread: the method's, and the team's own.
template <class Method> struct SolveWorkspace {
  Method method;
  target::LayerAnswer answer{};
  target::View<int> rank{};
  target::View<int64_t> team{};

  int64_t lay_out(void* memory) {
    target::Arena arena(memory);
    method.lay_out(arena);
    answer.lay_out(arena, method.problem);
    rank = arena.take<int>(method.problem.cluster.slots);
    team = arena.take<int64_t>(target::HostTeam::workspace_words(method.most_keys()));
    return arena.used();
  }
};

int64_t workspace_bytes(const Problem& problem) {
  return target::with_method(problem, [](auto method) {
    return SolveWorkspace<decltype(method)>{method}.lay_out(nullptr);
  });
}

// Calls use(weights) with one of the two kinds.
void with_weights(const LayerWeights& weights, auto use) {
  if (weights.real)
    use(target::RealWeights{weights.real});
  else
    use(target::WholeWeights{weights.whole});
}

void solve(const Problem& problem, const LayerTask& task, void* memory) {
  target::with_method(problem, [&](auto method) {
    SolveWorkspace<decltype(method)> workspace{method};
    workspace.lay_out(memory);
    workspace.method.at_layer(task.layer);
    target::HostTeam team(workspace.team);
    const target::Maps maps{
        {task.physical_to_logical}, {task.replica_count}, {task.replica_slots}, workspace.rank};
    with_weights(task.weights, [&](auto weights) {
      target::solve_layer(team, workspace.method, weights, workspace.answer, maps);
    });
  });
}

void find_path(const Problem& problem, const PathTask& task, void* memory) {
  SolveWorkspace<target::RebalanceMethod> workspace{target::RebalanceMethod(problem)};
  workspace.lay_out(memory);
  workspace.method.at_layer(task.layer);
  target::HostTeam team(workspace.team);
  with_weights(task.weights, [&](auto weights) { workspace.method.read(team, weights); });
  *task.mean = workspace.method.find_path(team, task.most, {task.time});
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

void evaluate(const Problem& problem, const EvaluationTask& task, void* memory) {
  target::EvaluationWorkspace stage;
  target::View<int64_t> words{};
  lay_out(memory, problem, task.wanted, stage, words);
  const target::HostTeam team(words);
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

void plan_transfers(const Problem& problem, const TransferTask& task, void* memory) {
  target::TransferWorkspace stage;
  target::View<int64_t> words{};
  lay_out(memory, problem, stage, words);
  const target::HostTeam team(words);
  *task.moves = target::plan_transfers(team, problem, {task.current, task.placement}, stage,
                                       {{task.source}, {task.round}, {task.group}});
}

bool supported() { return EPLB_TARGET_SUPPORTED; }

}  // namespace

extern const InstructionSet EPLB_TARGET_TABLE;
const InstructionSet EPLB_TARGET_TABLE = {
    .name = EPLB_TARGET_NAME,
    .supported = supported,
    .workspace_bytes = workspace_bytes,
    .solve = solve,
    .find_path = find_path,
    .evaluate_workspace_bytes = evaluate_workspace_bytes,
    .evaluate = evaluate,
    .transfer_workspace_bytes = transfer_workspace_bytes,
    .plan_transfers = plan_transfers};

}  // namespace eplb::cpu
