// What is shared by files that are compiled once per instruction set with the flags for it,
// EPLB_TARGET being its name: the stages land in a namespace of that name. Nothing in them may call
// an inline function of the standard library: the linker keeps one copy of each, perhaps one with
// instructions that the machine does not have. tests/contract/abi checks that no such copy is
// emitted.
#pragma once

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
#include "solver/strategies/all.h"

namespace eplb::cpu::EPLB_TARGET {

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

// Calls use(weights) with one of the two kinds.
void with_weights(const LayerWeights& weights, auto use) {
  if (weights.real)
    use(target::RealWeights{weights.real, weights.real_windows, weights.stride});
  else
    use(target::WholeWeights{weights.whole, weights.whole_windows, weights.stride});
}

template <class Method>
void solve_by(Method method, const LayerTask& task, const Workspace& given) {
  SolveWorkspace<Method> workspace{method};
  workspace.lay_out(given.memory);
  workspace.method.at_layer(task.layer);
  target::HostTeam team(workspace.team, given.interrupt);
  const target::Maps maps{
      {task.physical_to_logical}, {task.replica_count}, {task.replica_slots}, workspace.rank};
  with_weights(task.weights, [&](auto weights) {
    target::solve_layer(team, workspace.method, weights, workspace.answer, maps);
  });
}

// By the methods of problems that are not common.
int64_t other_workspace_bytes(const Problem& problem);
void solve_other(const Problem& problem, const LayerTask& task, const Workspace& workspace);
void find_path(const Problem& problem, const PathTask& task, const Workspace& workspace);

// Splits of tokens.
int64_t graph_bytes(const Problem& problem);
int64_t graph_workspace_bytes(const Problem& problem);
void make_graph(const Problem& problem, const GraphTask& task, const Workspace& workspace);
int64_t split_workspace_bytes(const Problem& problem);
void split(const Problem& problem, const SplitTask& task, int tolerance,
           const Workspace& workspace);
void evaluate_split(const Problem& problem, const SplitTask& task, const SplitOutputs& out,
                    const Workspace& workspace);
int64_t dispatch_workspace_bytes(const Problem& problem);
void dispatch(const Problem& problem, const DispatchTask& task, const Workspace& workspace);

}  // namespace eplb::cpu::EPLB_TARGET
