// The methods of problems that are not common. They have an object file of their own, so that what
// the compiler inlines there does not make common ones slower.
#include "machines/cpu/target.h"
#include "solver/strategies/split_rebalance.h"

namespace eplb::cpu::EPLB_TARGET {
namespace {

// One of them is for the host alone.
template <class Use> auto with_method(const Problem& problem, Use use) {
  const bool moves = problem.options.strategy == EPLB_STRATEGY_REBALANCE;
  if (moves && target::is_for_splits(problem)) return use(target::SplitRebalance(problem));
  return target::with_other_method(problem, use);
}

}  // namespace

int64_t other_workspace_bytes(const Problem& problem) {
  return with_method(problem, [](auto method) {
    return SolveWorkspace<decltype(method)>{method}.lay_out(nullptr);
  });
}

void solve_other(const Problem& problem, const LayerTask& task, const Workspace& workspace) {
  with_method(problem, [&](auto method) { solve_by(method, task, workspace); });
}

void find_path(const Problem& problem, const PathTask& task, const Workspace& given) {
  SolveWorkspace<target::ByExcess> workspace{target::ByExcess(problem)};
  workspace.lay_out(given.memory);
  workspace.method.at_layer(task.layer);
  target::HostTeam team(workspace.team, given.interrupt);
  with_weights(task.weights, [&](auto weights) { workspace.method.read(team, weights); });
  *task.mean = workspace.method.find_path(team, task.most, {task.time});
}

}  // namespace eplb::cpu::EPLB_TARGET
