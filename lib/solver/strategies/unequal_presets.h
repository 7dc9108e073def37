// The presets on GPUs that differ in slots or speed.
#pragma once

#include "solver/packing/unequal.h"
#include "solver/strategies/presets.h"

EPLB_STAGE_BEGIN

template <class Number> struct UnequalPresetMethod : PresetMethod<Number> {
  using Base = PresetMethod<Number>;
  UnequalPacking unequal{};

  using Base::Base;
  EPLB_FN void lay_out(Arena& arena) {
    const Cluster& cluster = this->node.cluster;
    Base::lay_out(arena);
    unequal.cluster = cluster;
    unequal.packing = this->packing;
    unequal.slowness = arena.take<int64_t>(cluster.gpus);
    unequal.parts = this->problem.partition.nodes;
  }
  EPLB_FN int node_chains() const { return this->preset.chains; }
  // answer[item]: its slot on the node.
  EPLB_FN int solve_node(Team auto& team, int index, Chains chains, View<int> answer) {
    this->count(team, index, open_slots(this->node.cluster), this->node.limits.most_replicas);
    constexpr int kTimes = 8;  // as long as a look at equal GPUs
    const Cluster& cluster = this->node.cluster;
    const Preset preset = within_seconds(this->preset, cluster.slots, cluster.gpus,
                                         kTimes * unequal.parts, looks_per_item());
    return pack<Number>(team, preset, unequal, this->items.size,
                        {this->node.options.seed, kReplicaKeys, static_cast<uint32_t>(index), 0},
                        chains, answer);
  }
  EPLB_FN void finish_node(Team auto& team, int index, View<int> answer, const Maps& maps) {
    const Cluster& cluster = this->node.cluster;
    const View<int> placed = maps.physical_to_logical.from(index * cluster.slots);
    team.for_each(cluster.slots, [&](int slot) { placed[slot] = -1; });
    this->write_maps(team, index, open_slots(cluster), answer, maps);
  }

 private:
  // Each is tried on every GPU.
  EPLB_FN int looks_per_item() const {
    return unequal.cluster.gpu_pace ? larger(kLooksPerItem, unequal.cluster.gpus) : kLooksPerItem;
  }
};

EPLB_STAGE_END
