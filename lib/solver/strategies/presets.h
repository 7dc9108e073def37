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
  Shape shape;
  LayerWorkspace layer{};
  View<int> node_weight{};  // of the experts of a node
  Pricing<Number> pricing{};
  Items items{};
  Packing packing{};

  EPLB_FN void lay_out(Arena& arena) {
    const int experts = shape.node_experts(), slots = shape.node_slots();
    layer.lay_out(arena, shape);
    node_weight = arena.take<int>(experts);
    items.lay_out(arena, experts, slots);
    Arena counting = arena;  // counting has ended when packing begins
    pricing.lay_out(counting, experts);
    packing.lay_out(arena, larger(slots, shape.groups), larger(shape.node_gpus(), shape.nodes));
    arena.continue_after(counting);
  }
  template <class Team, class Source> EPLB_FN void read(Team& team, const Source& source) {
    Reader<Number>::read(team, source, shape.experts, layer.weight);
  }
  EPLB_FN int group_chains() const {
    return shape.groups == shape.nodes ? 0 : chains_of(setting, shape.groups, shape.nodes);
  }
  EPLB_FN int node_chains() const {
    return chains_of(setting, shape.node_slots(), shape.node_gpus());
  }

  template <class Team> EPLB_FN int pack_groups(Team& team, Chains chains, View<int> place) {
    add_groups<Number>(team, shape, layer);
    return pack<Number>(team, setting, packing, shape.groups, shape.nodes, layer.group_size,
                        {shape.seed, kGroupKeys, 0, 0}, chains, place);
  }
  template <class Team> EPLB_FN void place_groups(Team& team, View<int> place) {
    if (group_chains() == 0) return list_members_as_they_are(team, shape, layer);
    list_members(team, shape, place, layer);
  }
  // answer[item]: its slot on the node.
  template <class Team>
  EPLB_FN int solve_node(Team& team, int node, Chains chains, View<int> answer) {
    const int experts = shape.node_experts(), slots = shape.node_slots();
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts, [&](int expert) { node_weight[expert] = layer.weight[member[expert]]; });
    count_replicas<Number>(team, node_weight, experts, slots, shape.most_replicas, pricing, items);
    return pack<Number>(team, setting, packing, slots, shape.node_gpus(), items.size,
                        {shape.seed, kReplicaKeys, static_cast<uint32_t>(node), 0}, chains, answer);
  }
  template <class Team>
  EPLB_FN void finish_node(Team& team, int node, View<int> answer, const Maps& maps) {
    const int experts = shape.node_experts(), slots = shape.node_slots();
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
