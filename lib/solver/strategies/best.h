// EPLB_STRATEGY_BEST as the steps of a layer: see solve_layer.h.
#pragma once

#include "solver/layer/group_assignment.h"
#include "solver/packing/candidates.h"
#include "solver/strategies/best_search.h"

EPLB_STAGE_BEGIN

struct BestMethod {
  using Setting = EffortLevel;
  static constexpr bool kHoldsAll = true;
  static constexpr int kLeastBlocks = 6;

  Setting setting;
  Shape shape;
  LayerWorkspace layer{};
  Packing packing{};  // of groups
  GroupSearch groups{};
  View<int> count{};  // by expert of a node
  BestWorkspace best{};

  EPLB_FN void lay_out(Arena& arena) {
    const int experts = shape.node_experts(), slots = shape.node_slots();
    layer.lay_out(arena, shape);
    packing.lay_out(arena, shape.groups, shape.nodes);
    groups.lay_out(arena, shape.groups, shape.nodes);
    count = arena.take<int>(experts);
    best.lay_out(arena, experts, slots, shape.node_gpus());
  }
  template <class Team, class Source> EPLB_FN void read(Team& team, const Source& source) {
    Reader<Integer>::read(team, source, shape.experts, layer.weight);
  }
  EPLB_FN int group_chains() const {
    return shape.groups == shape.nodes || shape.nodes == 1 ? 0 : 1;
  }
  EPLB_FN int node_chains() const {
    return best_chains(setting, shape.node_experts(), shape.node_slots(), shape.node_gpus());
  }

  // So that the heaviest node is lightest; each node's groups in ascending order.
  template <class Team> EPLB_FN int pack_groups(Team& team, Chains chains, View<int> place) {
    add_groups<Integer>(team, shape, layer);
    pack<Integer>(team, lpt_swap(), packing, shape.groups, shape.nodes, layer.group_size,
                  {shape.seed, kGroupKeys, 0, 0}, chains, place);
    search_groups(team, groups, layer.group_size, place, shape.groups, shape.nodes);
    return 0;
  }
  template <class Team> EPLB_FN void place_groups(Team& team, View<int> place) {
    if (group_chains() == 0) return list_members_as_they_are(team, shape, layer);
    list_members(team, shape, place, layer);
  }
  // answer[slot]: its expert, counted on the node.
  template <class Team>
  EPLB_FN int solve_node(Team& team, int node, Chains chains, View<int> answer) {
    const int experts = shape.node_experts();
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts, [&](int e) { best.weight()[e] = layer.weight[member[e]]; });
    return solve_best(team, best, experts, shape.node_slots(), shape.node_gpus(),
                      shape.most_replicas, setting, {shape.seed, 0, static_cast<uint32_t>(node), 0},
                      chains, answer);
  }
  // Replicas in order of their slots.
  template <class Team>
  EPLB_FN void finish_node(Team& team, int node, View<int> answer, const Maps& maps) {
    const int experts = shape.node_experts(), slots = shape.node_slots();
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
