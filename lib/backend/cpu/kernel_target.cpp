// Compiled once per instruction set with the flags for it, EPLB_TARGET being its name: the stages land in a namespace of
// that name. Nothing here may call an inline function of the standard library: the linker keeps one copy of each, perhaps
// one with instructions that the machine does not have. tests/abi checks that no such copy is emitted.
#define EPLB_STAGE_BEGIN \
  namespace eplb {       \
  namespace solver {     \
  namespace EPLB_TARGET {
#define EPLB_STAGE_END \
  }                    \
  }                    \
  }
#include "backend/cpu/host_team.h"
#include "backend/cpu/kernel.h"
#include "solver/best_layer.h"

namespace eplb::cpu {
namespace {

namespace target = solver::EPLB_TARGET;

target::Shape shape_of(const LayerSizes& s) {
  return {s.experts, s.slots, s.gpus, s.nodes, s.groups, s.most_replicas, s.seed};
}

static_assert(EPLB_STRATEGY_GREEDY == 0 && EPLB_STRATEGY_LPT_SWAP == 1 && EPLB_STRATEGY_L2_SWAP == 2 &&
                  EPLB_STRATEGY_RANDOM_RESTARTS == 3 && EPLB_STRATEGY_NOISE_SPECTRUM == 4 &&
                  EPLB_STRATEGY_HYBRID_INIT == 5 && EPLB_EFFORT_FAST == 0 && EPLB_EFFORT_NORMAL == 1,
              "preset_of and effort_of know them by number: solver includes nothing but itself");

// Memory of one thread: the layer's, and the team's own.
template <class Workspace> struct Room {
  Workspace layer;
  target::View<int64_t> team;

  int64_t lay_out(void* memory, const LayerSizes& s) {
    target::Arena arena(memory);
    layer.lay_out(arena, shape_of(s));
    team = arena.take<int64_t>(target::HostTeam::room(s.experts > s.gpus ? s.experts : s.gpus));
    return arena.used();
  }
};

using GreedyRoom = Room<target::Workspace<target::Float32>>;
using PresetRoom = Room<target::Workspace<target::Integer>>;
using BestRoom = Room<target::BestWorkspace>;

int64_t workspace_bytes(const LayerSizes& sizes, eplb_strategy strategy) {
  if (strategy == EPLB_STRATEGY_GREEDY) return GreedyRoom().lay_out(nullptr, sizes);
  if (strategy == EPLB_STRATEGY_BEST) return BestRoom().lay_out(nullptr, sizes);
  return PresetRoom().lay_out(nullptr, sizes);
}

// Calls run(team, workspace, weights, maps).
template <class Room, class Run> void with_room(const LayerSizes& sizes, const LayerTask& task, void* memory, Run run) {
  Room room;
  room.lay_out(memory, sizes);
  target::HostTeam team(room.team);
  const target::Maps maps{{task.physical_to_logical}, {task.replica_count}, {task.replica_slots}};
  if (task.real)
    run(team, room.layer, target::RealWeights{task.real}, maps);
  else
    run(team, room.layer, target::WholeWeights{task.whole}, maps);
}

void solve(const LayerSizes& sizes, eplb_strategy strategy, eplb_effort effort, const LayerTask& task, void* memory) {
  const target::Shape shape = shape_of(sizes);
  if (strategy == EPLB_STRATEGY_GREEDY)
    return with_room<GreedyRoom>(sizes, task, memory, [&](auto& team, auto& w, auto weights, auto& maps) {
      target::solve_layer<target::Float32>(team, target::greedy(), shape, weights, w, maps);
    });
  if (strategy == EPLB_STRATEGY_BEST)
    return with_room<BestRoom>(sizes, task, memory, [&](auto& team, auto& w, auto weights, auto& maps) {
      target::solve_layer_best(team, effort, shape, weights, w, maps);
    });
  with_room<PresetRoom>(sizes, task, memory, [&](auto& team, auto& w, auto weights, auto& maps) {
    target::solve_layer<target::Integer>(team, target::preset_of(strategy), shape, weights, w, maps);
  });
}

bool supported() { return EPLB_TARGET_SUPPORTED; }

#define EPLB_TEXT_OF(x) #x
#define EPLB_TEXT(x) EPLB_TEXT_OF(x)

}  // namespace

#define EPLB_JOIN_OF(a, b) a##b
#define EPLB_JOIN(a, b) EPLB_JOIN_OF(a, b)
extern const Kernel EPLB_JOIN(kernel_, EPLB_TARGET);
const Kernel EPLB_JOIN(kernel_, EPLB_TARGET) = {EPLB_TEXT(EPLB_TARGET), supported, workspace_bytes, solve};

}  // namespace eplb::cpu
