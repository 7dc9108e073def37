// GREEDY and the strategies of the seeds: replicas are counted once, and packed by a preset.
#pragma once

#include "solver/packing/candidates.h"
#include "solver/counts/dhondt.h"

EPLB_STAGE_BEGIN

template <class Number> struct PresetMethod {
  using Setting = Preset;
  static constexpr bool kHoldsAll = Number::kHoldsAll;
  static constexpr int kLeastBlocks = 8;

  Setting setting;
  Shape shape;
  LayerRoom layer{};
  View<int> mine{};  // weights of a node's experts
  Pricing<Number> pricing{};
  Items items{};
  Packing packing{};

  EPLB_FN void lay_out(Arena& arena) {
    const int e = shape.node_experts(), s = shape.node_slots();
    layer.lay_out(arena, shape);
    mine = arena.take<int>(e);
    items.lay_out(arena, e, s);
    Arena beside = arena;  // counting is over when packing begins
    pricing.lay_out(beside, e);
    packing.lay_out(arena, more(s, shape.groups), more(shape.node_gpus(), shape.nodes));
    arena.past(beside);
  }
  template <class Team, class Source> EPLB_FN void read(Team& team, const Source& source) {
    Reader<Number>::read(team, source, shape.experts, layer.weight);
  }
  EPLB_FN int group_chains() const {
    return shape.groups == shape.nodes ? 0 : chains_of(setting, shape.groups, shape.nodes);
  }
  EPLB_FN int node_chains() const { return chains_of(setting, shape.node_slots(), shape.node_gpus()); }

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
  template <class Team> EPLB_FN int solve_node(Team& team, int node, Chains chains, View<int> answer) {
    const int experts = shape.node_experts(), slots = shape.node_slots();
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts, [&](int e) { mine[e] = layer.weight[member[e]]; });
    count_replicas<Number>(team, mine, experts, slots, shape.most_replicas, pricing, items);
    return pack<Number>(team, setting, packing, slots, shape.node_gpus(), items.size,
                        {shape.seed, kReplicaKeys, static_cast<uint32_t>(node), 0}, chains, answer);
  }
  template <class Team> EPLB_FN void finish_node(Team& team, int node, View<int> answer, const Maps& maps) {
    const int experts = shape.node_experts(), slots = shape.node_slots();
    const View<int> member = layer.member.from(node * experts);
    team.for_each(experts, [&](int e) { maps.replica_count[member[e]] = items.count[e]; });
    team.for_each(slots, [&](int i) {
      const int slot = node * slots + answer[i];
      maps.physical_to_logical[slot] = member[items.expert[i]];
      maps.rank[slot] = items.rank[i];
    });
  }
};

EPLB_STAGE_END
