// EPLB_STRATEGY_BEST as the steps of a layer: see solve_layer.h.
#pragma once

#include "solver/layer/group_assignment.h"
#include "solver/packing/candidates.h"
#include "solver/strategies/best_search.h"

EPLB_STAGE_BEGIN

struct BestMethod {
  using Setting = eplb_effort;
  static constexpr bool kHoldsAll = true;
  static constexpr int kLeastBlocks = 6;

  Setting setting;
  Problem problem;
  LayerWorkspace layer{};
  Packing packing{};  // of groups
  GroupWorkspace groups{};
  View<int> count{};  // by expert of a node
  BestWorkspace best{};

  EPLB_FN void lay_out(Arena& arena) {
    const Problem node = node_problem(problem);
    const int experts = node.experts, slots = node.cluster.slots;
    layer.lay_out(arena, problem);
    packing.lay_out(arena, problem.partition.groups, problem.partition.nodes);
    groups.lay_out(arena, problem.partition.groups, problem.partition.nodes);
    count = arena.take<int>(experts);
    best.lay_out(arena, experts, slots, node.cluster.gpus);
  }
  template <class Team, class Source> EPLB_FN void read(Team& team, const Source& source) {
    read_weights(Integer(), team, source, problem.experts, layer.weight);
  }
  EPLB_FN int group_chains() const {
    const Partition& partition = problem.partition;
    return partition.groups == partition.nodes || partition.nodes == 1 ? 0 : 1;
  }
  // A layer of tiny nodes must not cost more than another layer, so its groups share its rounds.
  EPLB_FN int most_group_steps() const {
    const int node_slots = node_problem(problem).cluster.slots;
    if (node_slots > kTiny) return group_steps(problem.partition.groups);
    const int rounds = effort_of(setting, node_slots).rounds * problem.cluster.slots / 4;
    return smaller(kGroupSteps, kGroupStepsPerRound * rounds);
  }
  EPLB_FN int node_chains() const { return best_chains(setting, node_problem(problem)); }

  // So that the heaviest node is as light as possible; each node's groups in ascending order.
  template <class Team> EPLB_FN int pack_groups(Team& team, Chains chains, View<int> place) {
    const auto [nodes, groups_there] = problem.partition;
    add_groups<Integer>(team, problem, layer);
    pack<Integer>(team, lpt_swap(), packing, groups_there, nodes, layer.group_size,
                  {problem.options.seed, kGroupKeys, 0, 0}, chains, place);
    search_groups(team, groups, layer.group_size, place, groups_there, nodes, most_group_steps());
    return 0;
  }
  template <class Team> EPLB_FN void place_groups(Team& team, View<int> place) {
    if (group_chains() == 0) return list_members_as_they_are(team, problem, layer);
    list_members(team, problem, place, layer);
  }
  // answer[slot]: its expert, counted on the node.
  template <class Team>
  EPLB_FN int solve_node(Team& team, int node, Chains chains, View<int> answer) {
    const Problem part = node_problem(problem);
    const int experts = part.experts;
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts, [&](int e) { best.weight()[e] = layer.weight[member[e]]; });
    return solve_best(team, best, part, setting,
                      {part.options.seed, 0, static_cast<uint32_t>(node), 0}, chains, answer);
  }
  // Replicas in order of their slots.
  template <class Team>
  EPLB_FN void finish_node(Team& team, int node, View<int> answer, const Maps& maps) {
    const Problem part = node_problem(problem);
    const int experts = part.experts, slots = part.cluster.slots;
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts, [&](int e) { count[e] = 0; });
    team.rank_among_equals(slots, count, maps.rank.from(node * slots),
                           [&](int s) { return answer[s]; });
    team.for_each(experts, [&](int e) { maps.replica_count[member[e]] = count[e]; });
    team.for_each(slots,
                  [&](int s) { maps.physical_to_logical[node * slots + s] = member[answer[s]]; });
  }
};

EPLB_STAGE_END
