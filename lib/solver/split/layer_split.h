// A layer's tokens split over its placement: from weights to what each slot gets.
#pragma once

#include "solver/split/split.h"
#include "solver/split/tokens.h"

EPLB_STAGE_BEGIN

struct LayerSplitWorkspace {
  View<int> tokens;  // by expert
  SplitWorkspace split;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    tokens = arena.take<int>(problem.experts);
    split.lay_out(arena, problem);
  }
};

// What a split says: tokens by slot, of several slots of an expert on a GPU the lowest has all; and
// by GPU whether it is one of those that the bound is of.
struct SplitMaps {
  View<int> quota, tight;
};

EPLB_FN void split_layer(Team auto& team, const Problem& problem, const SplitGraph& graph,
                         const auto& source, int tolerance, const LayerSplitWorkspace& workspace,
                         const SplitMaps& maps) {
  const View<int> tokens = workspace.tokens, quota = workspace.split.quota;
  const View<int> tight = workspace.split.tight;
  read_tokens(team, source, problem.experts, tokens);
  Splitter(problem.cluster, graph, tokens, tolerance, workspace.split).split(team);
  team.for_each(problem.cluster.slots, [&](int slot) {
    maps.quota[slot] = graph.alone_on(slot, tokens) + graph.quota_on(slot, quota);
  });
  team.for_each(problem.cluster.gpus, [&](int g) { maps.tight[g] = tight[g]; });
}

EPLB_STAGE_END
