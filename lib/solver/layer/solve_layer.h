// One layer from weights to maps, whatever the strategy.
//
// A *method* is a strategy with its memory: PresetMethod, BestMethod or ByExcess (see
// strategies/all.h). It offers the steps of a layer. Steps that consist of chains can be run
// apart, each chain by a team with memory of its own:
//
//   Method::kHoldsAll         whether its numbers can hold every weight
//   Method::kLeastBlocks      blocks that should fit on a multiprocessor
//   Method::kInlined          whether compilers for devices inline all of it, and so see in which
//                             memory it works
//   Method::Groups            the method, or what of it others have too, that packs groups
//   Method(problem)           without memory yet
//   method.lay_out(arena)     takes its memory
//   method.at_layer(number)   which layer comes next
//   method.read(team, source) reads weights as numbers
//   method.group_chains(), node_chains()
//                             how many chains can be run apart; 1: not to be split; 0 group chains:
//                             groups are not packed
//   method.pack_groups(team, chains, place)
//                             place[group] on the nodes, from the best chain
//   method.list_members(team, place)
//                             which experts are on which node: see LayerMethod
//   method.solve_node(team, index, chains, answer)
//                             what is in the node's slots, from the best chain
//   method.finish_node(team, index, answer, maps)
//                             writes maps; by a team that has just solved the node
//
// pack_groups and solve_node return a score. Between chains that were run apart, the least
// (score, chain) is the answer.
#pragma once

#include "solver/layer/cluster.h"
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
  View<int> rank;  // [S]: which replica of its expert a slot holds, if any
};

// What every method has of a layer.
struct LayerMethod {
  Problem problem;
  Problem node;            // each node's
  View<int> weight{};      // by logical expert
  View<int> member{};      // logical expert by node-major index: node by node, group by group
  View<int> group_size{};  // by group

  EPLB_FN explicit LayerMethod(const Problem& of) : problem(of), node(node_problem(of)) {}
  EPLB_FN void lay_out(Arena& arena) {
    arena.take(problem.experts, weight, member);
    group_size = arena.take<int>(problem.partition.groups);
  }
  // Keys that the team sorts and serves at most.
  EPLB_FN int most_keys() const {
    return larger(larger(node.cluster.slots, node.cluster.gpus), problem.partition.groups);
  }
  EPLB_FN void at_layer(int64_t) {}  // most answers do not depend on it
  EPLB_FN View<int> members_of(int index) const { return member.from(index * node.experts); }

  template <class Number> EPLB_FN void add_groups(Team auto& team) const {
    const int each = problem.experts / problem.partition.groups;
    team.for_each(problem.partition.groups, [&](int group) {
      const View<int> first = weight.from(group * each);
      int sum = first[0];
      for (int i = 1; i < each; ++i) sum = Number::add(sum, first[i]);
      group_size[group] = sum;
    });
  }
  // Groups in the order of their places, experts in their group's order; if groups were not packed,
  // experts as they are.
  EPLB_FN void list_members(Team auto& team, View<int> place, bool packed) const {
    const int each = problem.experts / problem.partition.groups;
    if (!packed) return team.for_each(problem.experts, [&](int e) { member[e] = e; });
    team.for_each(problem.partition.groups, [&](int group) {
      const View<int> members = member.from(place[group] * each);
      for (int i = 0; i < each; ++i) members[i] = group * each + i;
    });
  }
};

// Where some slots hold nothing, the first ones of replica_slots are those of the `replicas`.
EPLB_APART void list_some_slots(Team auto& team, int slots, int replicas, View<int> first,
                                const Maps& maps) {
  team.for_each(slots, [&](int slot) {
    const int expert = maps.physical_to_logical[slot];
    if (expert >= 0) maps.replica_slots[first[expert] + maps.rank[slot]] = slot;
  });
  team.for_each(slots - replicas, [&](int i) { maps.replica_slots[replicas + i] = -1; });
}

// The slots of expert 0, of expert 1, and so on, then -1 for those that hold nothing. first:
// scratch [E].
EPLB_FN void list_replicas(Team auto& team, const Problem& problem, View<int> first,
                           const Maps& maps) {
  const int slots = problem.cluster.slots;
  const int replicas = team.scan(
      problem.experts, [&](int expert) { return maps.replica_count[expert]; },
      [&](int expert, int before) { first[expert] = before; });
  if (EPLB_RARELY(replicas < slots)) return list_some_slots(team, slots, replicas, first, maps);
  team.for_each(slots, [&](int slot) {
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

// With the weights that the method has read.
EPLB_FN void solve_weights(Team auto& team, auto& method, const LayerAnswer& answer,
                           const Maps& maps) {
  const bool packs = method.group_chains() > 0;
  if (packs) method.pack_groups(team, all_chains(), answer.place);
  method.list_members(team, answer.place, packs);
  for (int index = 0; index < method.problem.partition.nodes; ++index) {
    method.solve_node(team, index, all_chains(), answer.node);
    method.finish_node(team, index, answer.node, maps);
  }
  list_replicas(team, method.problem, method.weight, maps);
}

EPLB_FN void solve_layer(Team auto& team, auto& method, const auto& source,
                         const LayerAnswer& answer, const Maps& maps) {
  method.read(team, source);
  solve_weights(team, method, answer, maps);
}

EPLB_STAGE_END
