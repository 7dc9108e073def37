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

namespace eplb::cpu {
namespace {

namespace target = solver::EPLB_TARGET;

target::Shape shape_of(const LayerSizes& s) {
  return {s.experts, s.slots, s.gpus, s.nodes, s.groups, s.most_replicas, s.seed};
}

template <class Name> constexpr bool equal(Name name, int constant) {
  return static_cast<int>(name) == constant;
}
static_assert(equal(target::Strategy::kGreedy, EPLB_STRATEGY_GREEDY) &&
              equal(target::Strategy::kLptSwap, EPLB_STRATEGY_LPT_SWAP) &&
              equal(target::Strategy::kL2Swap, EPLB_STRATEGY_L2_SWAP) &&
              equal(target::Strategy::kRandomRestarts, EPLB_STRATEGY_RANDOM_RESTARTS) &&
              equal(target::Strategy::kNoiseSpectrum, EPLB_STRATEGY_NOISE_SPECTRUM) &&
              equal(target::Strategy::kHybridInit, EPLB_STRATEGY_HYBRID_INIT) &&
              equal(target::Strategy::kBest, EPLB_STRATEGY_BEST) &&
              equal(target::EffortLevel::kFast, EPLB_EFFORT_FAST) &&
              equal(target::EffortLevel::kNormal, EPLB_EFFORT_NORMAL) &&
              equal(target::EffortLevel::kMax, EPLB_EFFORT_MAX));

// Memory of one thread: the method's, and the team's own.
template <class Method> struct SolveWorkspace {
  Method method;
  target::LayerAnswer answer{};
  target::View<int> rank{};
  target::View<int64_t> team{};

  int64_t lay_out(void* memory) {
    target::Arena arena(memory);
    const target::Shape& s = method.shape;
    method.lay_out(arena);
    answer.lay_out(arena, s);
    rank = arena.take<int>(s.slots);
    team = arena.take<int64_t>(target::HostTeam::workspace_words(s.slots));
    return arena.used();
  }
};

int64_t workspace_bytes(const LayerSizes& sizes, eplb_strategy strategy) {
  return target::with_method(strategy, EPLB_EFFORT_MAX, shape_of(sizes), [](auto method) {
    return SolveWorkspace<decltype(method)>{method}.lay_out(nullptr);
  });
}

void solve(const LayerSizes& sizes, eplb_strategy strategy, eplb_effort effort,
           const LayerTask& task, void* memory) {
  target::with_method(strategy, effort, shape_of(sizes), [&](auto method) {
    SolveWorkspace<decltype(method)> workspace{method};
    workspace.lay_out(memory);
    target::HostTeam team(workspace.team);
    const target::Maps maps{
        {task.physical_to_logical}, {task.replica_count}, {task.replica_slots}, workspace.rank};
    if (task.real)
      target::solve_layer(team, workspace.method, target::RealWeights{task.real}, workspace.answer,
                          maps);
    else
      target::solve_layer(team, workspace.method, target::WholeWeights{task.whole},
                          workspace.answer, maps);
  });
}

target::WantedFigures wanted_figures(const EvaluationParts& wanted, bool threshold) {
  return {wanted.loads, wanted.duplicates, wanted.bounds, threshold};
}

// Memory of one thread: the stage's, and the team's own.
struct EvaluateWorkspace {
  target::Shape shape;
  target::WantedFigures wanted;
  target::EvaluationWorkspace stage{};
  target::View<int64_t> team{};

  int64_t lay_out(void* memory) {
    target::Arena arena(memory);
    stage.lay_out(arena, shape, wanted, false);
    const int keys = wanted.bounds ? target::most_bound_keys(shape, wanted.threshold) : 0;
    team = arena.take<int64_t>(target::HostTeam::workspace_words(keys));
    return arena.used();
  }
};

int64_t evaluate_workspace_bytes(const LayerSizes& sizes, const EvaluationParts& wanted,
                                 bool threshold) {
  return EvaluateWorkspace{shape_of(sizes), wanted_figures(wanted, threshold)}.lay_out(nullptr);
}

void evaluate(const LayerSizes& sizes, const EvaluationTask& task, void* memory) {
  EvaluateWorkspace workspace{shape_of(sizes), wanted_figures(task.wanted, task.threshold)};
  workspace.lay_out(memory);
  const target::HostTeam team(workspace.team);
  const target::PlacedLayer layer{task.placement, nullptr, task.gpu_load};
  auto evaluate_weights = [&](auto weight) {
    return target::evaluate_layer(team, workspace.shape, workspace.wanted, workspace.stage, weight,
                                  layer);
  };
  const target::LayerEvaluation evaluation =
      task.real ? evaluate_weights([&](int e) { return task.real[e]; })
                : evaluate_weights([&](int e) { return static_cast<double>(task.whole[e]); });
  evaluation.copy_to(workspace.wanted, *task.figures);
}

bool supported() { return EPLB_TARGET_SUPPORTED; }

#define EPLB_TEXT_OF(x) #x
#define EPLB_TEXT(x) EPLB_TEXT_OF(x)

}  // namespace

#define EPLB_JOIN_OF(a, b) a##b
#define EPLB_JOIN(a, b) EPLB_JOIN_OF(a, b)
extern const InstructionSet EPLB_JOIN(instruction_set_, EPLB_TARGET);
const InstructionSet EPLB_JOIN(instruction_set_, EPLB_TARGET) = {
    EPLB_TEXT(EPLB_TARGET), supported, workspace_bytes, solve, evaluate_workspace_bytes, evaluate};

}  // namespace eplb::cpu
