// One layer from weights to maps, whatever the strategy.
//
// A *method* is a strategy with its memory: PresetMethod (solver/strategies/presets.h) or BestMethod (solver/strategies/best.h). It offers the steps
// of a layer, of which those with chains may be run apart, by other teams with memory of their own:
//
//   Method::kHoldsAll, kLeastBlocks    can its numbers hold every weight? Blocks that a multiprocessor should have room for
//   method.lay_out(arena)              takes its memory
//   method.read(team, source)          weights as numbers
//   method.group_chains(), node_chains()   how many chains may be run apart; 1: they are not to be
//   method.pack_groups(team, chains, place)   if groups are packed on nodes: place[group] from the best of these chains
//   method.place_groups(team, place)   which experts are on which node
//   method.solve_node(team, node, chains, answer)   what is in the node's slots, from the best of these chains
//   method.finish_node(team, node, answer, maps)    by a team that has just solved the node
//
// pack_groups and solve_node return a score: between chains that were run apart the least (score, chain) is the answer.
#pragma once

#include "solver/layer/quantise.h"

EPLB_STAGE_BEGIN

// What is alike for all layers. Globally nodes = groups = 1.
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
  View<int> rank;                                               // [S]: which replica of its expert a slot holds
};

// What every method keeps of a layer.
struct LayerRoom {
  View<int> weight;      // by logical expert
  View<int> member;      // logical expert by node-major index: node by node, group by group
  View<int> group_size;  // by group

  EPLB_FN void lay_out(Arena& arena, const Shape& shape) {
    weight = arena.take<int>(shape.experts);
    member = arena.take<int>(shape.experts);
    group_size = arena.take<int>(shape.groups);
  }
};

template <class Number, class Team> EPLB_FN void add_groups(Team& team, const Shape& shape, const LayerRoom& w) {
  const int each = shape.experts / shape.groups;
  team.for_each(shape.groups, [&](int g) {
    int sum = w.weight[g * each];
    for (int i = 1; i < each; ++i) sum = Number::add(sum, w.weight[g * each + i]);
    w.group_size[g] = sum;
  });
}

// Node by node, the groups in the order of their places there, the experts of a group in theirs.
template <class Team> EPLB_FN void list_members(Team& team, const Shape& shape, View<int> place, const LayerRoom& w) {
  const int each = shape.experts / shape.groups;
  team.for_each(shape.experts, [&](int e) { w.member[place[e / each] * each + e % each] = e; });
}
template <class Team> EPLB_FN void list_members_as_they_are(Team& team, const Shape& shape, const LayerRoom& w) {
  team.for_each(shape.experts, [&](int e) { w.member[e] = e; });
}

// The slots of expert 0, of expert 1, and so on. first: scratch [E].
template <class Team> EPLB_FN void list_replicas(Team& team, const Shape& shape, View<int> first, const Maps& maps) {
  team.scan(
      shape.experts, [&](int e) { return maps.replica_count[e]; }, [&](int e, int before) { first[e] = before; });
  team.for_each(shape.slots, [&](int s) { maps.replica_slots[first[maps.physical_to_logical[s]] + maps.rank[s]] = s; });
}

// What solve_layer needs beside the method's memory.
struct LayerAnswer {
  View<int> place, node;  // by group; of a node, see the method

  EPLB_FN void lay_out(Arena& arena, const Shape& shape) {
    place = arena.take<int>(shape.groups);
    node = arena.take<int>(shape.node_slots());
  }
};

template <class Team, class Method, class Source>
EPLB_FN void solve_layer(Team& team, Method& method, const Source& source, const LayerAnswer& answer,
                         const Maps& maps) {
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
