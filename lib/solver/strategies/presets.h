// GREEDY and the strategies that follow a reference program: replicas are counted once and packed
// by a preset.
#pragma once

#include "solver/counts/dhondt.h"
#include "solver/packing/candidates.h"

EPLB_STAGE_BEGIN

template <class Number> struct PresetMethod {
  using Setting = Preset;
  static constexpr bool kHoldsAll = Number::kHoldsAll;
  static constexpr int kLeastBlocks = 8;

  Setting setting;
  Problem problem;
  LayerWorkspace layer{};
  View<int> node_weight{};  // of the experts of a node
  Pricing<Number> pricing{};
  Items items{};
  Packing packing{};

  EPLB_FN void lay_out(Arena& arena) {
    const Problem node = node_problem(problem);
    const int experts = node.experts, slots = node.cluster.slots;
    layer.lay_out(arena, problem);
    node_weight = arena.take<int>(experts);
    items.lay_out(arena, experts, slots);
    Arena counting = arena;  // counting has ended when packing begins
    pricing.lay_out(counting, experts);
    packing.lay_out(arena, larger(slots, problem.partition.groups),
                    larger(node.cluster.gpus, problem.partition.nodes));
    arena.continue_after(counting);
  }
  template <class Team, class Source> EPLB_FN void read(Team& team, const Source& source) {
    read_weights(Number(), team, source, problem.experts, layer.weight);
  }
  EPLB_FN int group_chains() const {
    const auto [nodes, groups] = problem.partition;
    return groups == nodes ? 0 : chains_of(setting, groups, nodes);
  }
  EPLB_FN int node_chains() const {
    const Cluster cluster = node_problem(problem).cluster;
    return chains_of(setting, cluster.slots, cluster.gpus);
  }

  template <class Team> EPLB_FN int pack_groups(Team& team, Chains chains, View<int> place) {
    add_groups<Number>(team, problem, layer);
    return pack<Number>(team, setting, packing, problem.partition.groups, problem.partition.nodes,
                        layer.group_size, {problem.options.seed, kGroupKeys, 0, 0}, chains, place);
  }
  template <class Team> EPLB_FN void place_groups(Team& team, View<int> place) {
    if (group_chains() == 0) return list_members_as_they_are(team, problem, layer);
    list_members(team, problem, place, layer);
  }
  // answer[item]: its slot on the node.
  template <class Team>
  EPLB_FN int solve_node(Team& team, int node, Chains chains, View<int> answer) {
    const Problem part = node_problem(problem);
    const int experts = part.experts, slots = part.cluster.slots;
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts, [&](int expert) { node_weight[expert] = layer.weight[member[expert]]; });
    count_replicas<Number>(team, node_weight, experts, slots, problem.limits.most_replicas, pricing,
                           items);
    return pack<Number>(team, setting, packing, slots, part.cluster.gpus, items.size,
                        {problem.options.seed, kReplicaKeys, static_cast<uint32_t>(node), 0},
                        chains, answer);
  }
  template <class Team>
  EPLB_FN void finish_node(Team& team, int node, View<int> answer, const Maps& maps) {
    const Problem part = node_problem(problem);
    const int experts = part.experts, slots = part.cluster.slots;
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts,
                  [&](int expert) { maps.replica_count[member[expert]] = items.count[expert]; });
    team.for_each(slots, [&](int item) {
      const int slot = node * slots + answer[item];
      maps.physical_to_logical[slot] = member[items.expert[item]];
      maps.rank[slot] = items.rank[item];
    });
  }
};

EPLB_STAGE_END
