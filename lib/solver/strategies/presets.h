// GREEDY and the strategies that follow a reference program: replicas are counted once and packed
// by a preset.
#pragma once

#include "solver/counts/dhondt.h"
#include "solver/packing/pack.h"

EPLB_STAGE_BEGIN

template <class Number> struct PresetMethod : LayerMethod {
  static constexpr bool kHoldsAll = Number::kHoldsAll;
  static constexpr int kLeastBlocks = 8;
  static constexpr bool kInlined = true;
  using Groups = PresetMethod;

  Preset preset = preset_of(problem.options.strategy);
  View<int> node_weight{};  // of the experts of a node
  Pricing<Number> pricing{};
  Items items{};
  Packing packing{};

  using LayerMethod::LayerMethod;
  EPLB_FN void lay_out(Arena& arena) {
    const int slots = node.cluster.slots, gpus = node.cluster.gpus;
    LayerMethod::lay_out(arena);
    node_weight = arena.take<int>(node.experts);
    items.lay_out(arena, node.experts, slots);
    Arena counting = arena;  // counting has ended when packing begins
    pricing.lay_out(counting, node.experts);
    packing.lay_out(arena, larger(slots, problem.partition.groups),
                    larger(gpus, problem.partition.nodes));
    arena.continue_after(counting);
  }
  EPLB_FN void read(Team auto& team, const auto& source) {
    read_weights(Number(), team, source, problem.experts, weight);
  }
  EPLB_FN int group_chains() const {
    const auto [nodes, groups] = problem.partition;
    return groups == nodes ? 0 : chains_of(preset, groups, nodes);
  }
  EPLB_FN int node_chains() const {
    return chains_of(preset, node.cluster.slots, node.cluster.gpus);
  }

  EPLB_FN int pack_groups(Team auto& team, Chains chains, View<int> place) {
    const auto [nodes, groups] = problem.partition;
    add_groups<Number>(team);
    return pack<Number>(team, within_seconds(preset, groups, nodes, 1), packing, groups, nodes,
                        group_size, {problem.options.seed, kGroupKeys, 0, 0}, chains, place);
  }
  // answer[item]: its slot on the node.
  EPLB_FN int solve_node(Team auto& team, int index, Chains chains, View<int> answer) {
    const int slots = node.cluster.slots, gpus = node.cluster.gpus;
    count(team, index, slots, node.limits.most_replicas);
    return pack<Number>(team, within_seconds(preset, slots, gpus, problem.partition.nodes), packing,
                        slots, gpus, items.size,
                        {node.options.seed, kReplicaKeys, static_cast<uint32_t>(index), 0}, chains,
                        answer);
  }
  EPLB_FN void finish_node(Team auto& team, int index, View<int> answer, const Maps& maps) {
    write_maps(team, index, node.cluster.slots, answer, maps);
  }

 protected:
  EPLB_FN void count(Team auto& team, int index, int replicas, int most_replicas) {
    const View<int> members = members_of(index);
    team.for_each(node.experts, [&](int expert) { node_weight[expert] = weight[members[expert]]; });
    count_replicas<Number>(team, node_weight, node.experts, replicas, most_replicas, pricing,
                           items);
  }
  // answer[item] of as many replicas.
  EPLB_FN void write_maps(Team auto& team, int index, int replicas, View<int> answer,
                          const Maps& maps) const {
    const View<int> members = members_of(index);
    team.for_each(node.experts,
                  [&](int expert) { maps.replica_count[members[expert]] = items.count[expert]; });
    team.for_each(replicas, [&](int item) {
      const int slot = index * node.cluster.slots + answer[item];
      maps.physical_to_logical[slot] = members[items.expert[item]];
      maps.rank[slot] = items.rank[item];
    });
  }
};

EPLB_STAGE_END
