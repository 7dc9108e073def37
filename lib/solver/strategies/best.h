// EPLB_STRATEGY_BEST as the steps of a layer: see solve_layer.h.
#pragma once

#include "solver/layer/group_assignment.h"
#include "solver/packing/pack.h"
#include "solver/strategies/best_search.h"

EPLB_STAGE_BEGIN

// What does not depend on how a node is solved. answer[slot] is its expert, counted on the node.
struct NodesOfBest : LayerMethod {
  static constexpr bool kHoldsAll = true;
  static constexpr int kLeastBlocks = 4;
  static constexpr bool kInlined = true;
  using Groups = NodesOfBest;

  Packing packing{};  // of groups
  GroupWorkspace groups{};
  View<int> count{};  // by expert of a node, and of slots that hold none

  using LayerMethod::LayerMethod;
  EPLB_FN void lay_out(Arena& arena) {
    LayerMethod::lay_out(arena);
    packing.lay_out(arena, problem.partition.groups, problem.partition.nodes);
    groups.lay_out(arena, problem.partition.groups, problem.partition.nodes);
    count = arena.take<int>(node.experts + 1);
  }
  EPLB_FN void read(Team auto& team, const auto& source) {
    read_weights(Integer(), team, source, problem.experts, weight);
  }
  EPLB_FN int group_chains() const {
    const auto [nodes, groups_there] = problem.partition;
    return groups_there == nodes || nodes == 1 ? 0 : 1;
  }
  // A layer of tiny nodes must not cost more than another layer.
  EPLB_FN int most_group_steps() const {
    const int slots = node.cluster.slots;
    if (slots > kTiny) return group_steps(problem.partition.groups);
    return smaller(kGroupSteps, effort_of(node.options.effort, slots).group_steps *
                                    smaller(kGroupSteps, problem.cluster.slots));
  }
  // So that the heaviest node is as light as possible; each node's groups in ascending order.
  EPLB_FN int pack_groups(Team auto& team, Chains chains, View<int> place) {
    const auto [nodes, groups_there] = problem.partition;
    add_groups<Integer>(team);
    pack<Integer>(team, lpt_swap(), packing, groups_there, nodes, group_size,
                  {problem.options.seed, kGroupKeys, 0, 0}, chains, place);
    search_groups(team, groups, group_size, place, groups_there, nodes, most_group_steps());
    return 0;
  }
  // Replicas in order of their slots; answer[slot] is -1 if it holds none.
  EPLB_FN void finish_node(Team auto& team, int index, View<int> answer, const Maps& maps) {
    const int first = index * node.cluster.slots, none = node.experts;
    const View<int> members = members_of(index), number = count;
    team.for_each(none + 1, [&](int e) { number[e] = 0; });
    team.rank_among_equals(node.cluster.slots, number, maps.rank.from(first),
                           [&](int s) { return answer[s] < 0 ? none : answer[s]; });
    team.for_each(none, [&](int e) { maps.replica_count[members[e]] = number[e]; });
    team.for_each(node.cluster.slots, [&](int s) {
      maps.physical_to_logical[first + s] = answer[s] < 0 ? -1 : members[answer[s]];
    });
  }
};

struct BestMethod : NodesOfBest {
  static constexpr int kLeastBlocks = 6;

  BestWorkspace best{};

  using NodesOfBest::NodesOfBest;
  EPLB_FN void lay_out(Arena& arena) {
    NodesOfBest::lay_out(arena);
    best.lay_out(arena, node.experts, node.cluster.slots, node.cluster.gpus);
  }
  EPLB_FN int node_chains() const { return best_chains(node); }
  EPLB_FN int solve_node(Team auto& team, int index, Chains chains, View<int> answer) {
    const View<int> members = members_of(index), node_weight = best.weight();
    team.for_each(node.experts, [&](int e) { node_weight[e] = weight[members[e]]; });
    return solve_best(team, best, node, {node.options.seed, 0, static_cast<uint32_t>(index), 0},
                      chains, answer);
  }
  // The same where every slot holds one.
  EPLB_FN void finish_node(Team auto& team, int index, View<int> answer, const Maps& maps) {
    const int first = index * node.cluster.slots;
    const View<int> members = members_of(index);
    team.for_each(node.experts, [&](int e) { count[e] = 0; });
    team.rank_among_equals(node.cluster.slots, count, maps.rank.from(first),
                           [&](int s) { return answer[s]; });
    team.for_each(node.experts, [&](int e) { maps.replica_count[members[e]] = count[e]; });
    team.for_each(node.cluster.slots,
                  [&](int s) { maps.physical_to_logical[first + s] = members[answer[s]]; });
  }
};

EPLB_STAGE_END
