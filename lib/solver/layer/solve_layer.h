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

#include "solver/layer/quantise.h"

EPLB_STAGE_BEGIN

// What all layers have in common. Under the global policy nodes and groups are 1.
struct Shape {
  int experts, slots, gpus, nodes, groups;
  int most_replicas;  // cap of an expert's replicas
  uint64_t seed;

  EPLB_FN int node_experts() const { return experts / nodes; }
  EPLB_FN int node_slots() const { return slots / nodes; }
  EPLB_FN int node_gpus() const { return gpus / nodes; }
};

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

  EPLB_FN void lay_out(Arena& arena, const Shape& shape) {
    weight = arena.take<int>(shape.experts);
    member = arena.take<int>(shape.experts);
    group_size = arena.take<int>(shape.groups);
  }
};

template <class Number, class Team>
EPLB_FN void add_groups(Team& team, const Shape& shape, const LayerWorkspace& layer) {
  const int group_experts = shape.experts / shape.groups;
  team.for_each(shape.groups, [&](int group) {
    const View<int> weight = layer.weight.from(group * group_experts);
    int sum = weight[0];
    for (int i = 1; i < group_experts; ++i) sum = Number::add(sum, weight[i]);
    layer.group_size[group] = sum;
  });
}

// Node by node: groups in the order of their places on the node, experts in their group's order.
template <class Team>
EPLB_FN void list_members(Team& team, const Shape& shape, View<int> place,
                          const LayerWorkspace& layer) {
  const int group_experts = shape.experts / shape.groups;
  team.for_each(shape.experts, [&](int expert) {
    const int first = place[expert / group_experts] * group_experts;
    layer.member[first + expert % group_experts] = expert;
  });
}
template <class Team>
EPLB_FN void list_members_as_they_are(Team& team, const Shape& shape, const LayerWorkspace& layer) {
  team.for_each(shape.experts, [&](int expert) { layer.member[expert] = expert; });
}

// The slots of expert 0, of expert 1, and so on. first: scratch [E].
template <class Team>
EPLB_FN void list_replicas(Team& team, const Shape& shape, View<int> first, const Maps& maps) {
  team.scan(
      shape.experts, [&](int expert) { return maps.replica_count[expert]; },
      [&](int expert, int before) { first[expert] = before; });
  team.for_each(shape.slots, [&](int slot) {
    maps.replica_slots[first[maps.physical_to_logical[slot]] + maps.rank[slot]] = slot;
  });
}

// What solve_layer needs in addition to the method's memory.
struct LayerAnswer {
  View<int> place, node;  // by group; of a node, see the method

  EPLB_FN void lay_out(Arena& arena, const Shape& shape) {
    place = arena.take<int>(shape.groups);
    node = arena.take<int>(shape.node_slots());
  }
};

template <class Team, class Method, class Source>
EPLB_FN void solve_layer(Team& team, Method& method, const Source& source,
                         const LayerAnswer& answer, const Maps& maps) {
  method.read(team, source);
  if (method.group_chains() > 0) method.pack_groups(team, all_chains(), answer.place);
  method.place_groups(team, answer.place);
  for (int node = 0; node < method.shape.nodes; ++node) {
    method.solve_node(team, node, all_chains(), answer.node);
    method.finish_node(team, node, answer.node, maps);
  }
  list_replicas(team, method.shape, method.layer.weight, maps);
}

EPLB_STAGE_END
