// One layer from weights to maps, whatever the strategy.
//
// A *method* is a strategy with its memory: PresetMethod (strategies/presets.h) or BestMethod
// (strategies/best.h). It offers the steps of a layer. Steps that consist of chains can be run
// apart, each chain by a team with memory of its own:
//
//   Method::kHoldsAll         whether its numbers can hold every weight
//   Method::kLeastBlocks      blocks that should fit on a multiprocessor
//   method.lay_out(arena)     takes its memory
//   method.read(team, source) reads weights as numbers
//   method.group_chains(), node_chains()
//                             how many chains can be run apart; 1: not to be split
//   method.pack_groups(team, chains, place)
//                             if groups are packed on nodes: place[group], from the best chain
//   method.place_groups(team, place)
//                             lists which experts are on which node
//   method.solve_node(team, node, chains, answer)
//                             what is in the node's slots, from the best chain
//   method.finish_node(team, node, answer, maps)
//                             writes maps; by a team that has just solved the node
//
// pack_groups and solve_node return a score. Between chains that were run apart, the least
// (score, chain) is the answer.
#pragma once

#include "solver/layer/node_problem.h"
#include "solver/layer/quantise.h"

EPLB_STAGE_BEGIN

// Chains from <= chain < to.
struct Chains {
  int from, to;
};
EPLB_FN Chains all_chains() { return {0, kNever}; }

// Where the answer goes. Replica order is the order of creation.
struct Maps {
  View<int> physical_to_logical, replica_count, replica_slots;  // [S], [E], [S]
  View<int> rank;  // [S]: which replica of its expert a slot holds
};

// What every method keeps of a layer.
struct LayerWorkspace {
  View<int> weight;      // by logical expert
  View<int> member;      // logical expert by node-major index: node by node, group by group
  View<int> group_size;  // by group

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    weight = arena.take<int>(problem.experts);
    member = arena.take<int>(problem.experts);
    group_size = arena.take<int>(problem.partition.groups);
  }
};

template <class Number, class Team>
EPLB_FN void add_groups(Team& team, const Problem& problem, const LayerWorkspace& layer) {
  const int group_experts = problem.experts / problem.partition.groups;
  team.for_each(problem.partition.groups, [&](int group) {
    const View<int> weight = layer.weight.from(group * group_experts);
    int sum = weight[0];
    for (int i = 1; i < group_experts; ++i) sum = Number::add(sum, weight[i]);
    layer.group_size[group] = sum;
  });
}

// Node by node: groups in the order of their places on the node, experts in their group's order.
template <class Team>
EPLB_FN void list_members(Team& team, const Problem& problem, View<int> place,
                          const LayerWorkspace& layer) {
  const int group_experts = problem.experts / problem.partition.groups;
  team.for_each(problem.experts, [&](int expert) {
    const int first = place[expert / group_experts] * group_experts;
    layer.member[first + expert % group_experts] = expert;
  });
}
template <class Team>
EPLB_FN void list_members_as_they_are(Team& team, const Problem& problem,
                                      const LayerWorkspace& layer) {
  team.for_each(problem.experts, [&](int expert) { layer.member[expert] = expert; });
}

// The slots of expert 0, of expert 1, and so on. first: scratch [E].
template <class Team>
EPLB_FN void list_replicas(Team& team, const Problem& problem, View<int> first, const Maps& maps) {
  team.scan(
      problem.experts, [&](int expert) { return maps.replica_count[expert]; },
      [&](int expert, int before) { first[expert] = before; });
  team.for_each(problem.cluster.slots, [&](int slot) {
    maps.replica_slots[first[maps.physical_to_logical[slot]] + maps.rank[slot]] = slot;
  });
}

// What solve_layer needs in addition to the method's memory.
struct LayerAnswer {
  View<int> place, node;  // by group; of a node, see the method

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    place = arena.take<int>(problem.partition.groups);
    node = arena.take<int>(node_problem(problem).cluster.slots);
  }
};

template <class Team, class Method, class Source>
EPLB_FN void solve_layer(Team& team, Method& method, const Source& source,
                         const LayerAnswer& answer, const Maps& maps) {
  method.read(team, source);
  if (method.group_chains() > 0) method.pack_groups(team, all_chains(), answer.place);
  method.place_groups(team, answer.place);
  for (int node = 0; node < method.problem.partition.nodes; ++node) {
    method.solve_node(team, node, all_chains(), answer.node);
    method.finish_node(team, node, answer.node, maps);
  }
  list_replicas(team, method.problem, method.layer.weight, maps);
}

EPLB_STAGE_END
