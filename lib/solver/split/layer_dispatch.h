// A layer's static dispatch: from weights to the slot that each rank uses of each expert.
#pragma once

#include "solver/split/static_dispatch.h"
#include "solver/split/tokens.h"

EPLB_STAGE_BEGIN

struct LayerDispatchWorkspace {
  View<int> tokens;  // by expert
  SplitWorkspace split;
  StaticDispatchWorkspace dispatch;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    tokens = arena.take<int>(problem.experts);
    split.lay_out(arena, problem);
    dispatch.lay_out(arena, problem);
  }
};

struct DispatchMaps {
  View<int> placement;  // by slot: its expert, or -1; after swaps
  View<int> units;      // by slot: how many ranks use it
  View<int> table;      // by rank and expert: the slot, or -1 if the expert has none
  View<int> tight;      // by GPU: is it one of those that the bound is of?
};

// graph: of this placement. Returns the number of swaps.
EPLB_FN int dispatch_layer(Team auto& team, const Problem& problem, const int* placement,
                           const SplitGraph& graph, const auto& source,
                           const LayerDispatchWorkspace& workspace, const DispatchMaps& maps) {
  read_tokens(team, source, problem.experts, workspace.tokens);
  Splitter(problem.cluster, graph, workspace.tokens, 0, workspace.split).split(team);
  const StaticDispatcher dispatcher(problem, placement, graph, workspace.split, workspace.tokens,
                                    workspace.dispatch);
  const int swaps = dispatcher.dispatch(team);
  dispatcher.write_slots(team, maps.placement, maps.units);
  dispatcher.assign(team, maps.table);
  team.for_each(problem.cluster.gpus, [&](int g) { maps.tight[g] = dispatcher.is_tight(g); });
  return swaps;
}

EPLB_STAGE_END
