// One layer from weights to maps, by BEST.
#pragma once

#include "solver/best.h"
#include "solver/group_search.h"
#include "solver/layer.h"

EPLB_STAGE_BEGIN

struct BestWorkspace {
  Workspace<Integer> layer;  // weights, groups, lists
  GroupSearch groups;
  View<int> expert, count;  // a node's answer
  BestRoom room;

  EPLB_FN void lay_out(Arena& arena, const Shape& shape) {
    const int e = shape.experts / shape.nodes, s = shape.slots / shape.nodes;
    layer.lay_out(arena, shape);
    groups.lay_out(arena, shape.groups, shape.nodes);
    expert = arena.take<int>(s);
    count = arena.take<int>(e);
    room.lay_out(arena, e, s, shape.gpus / shape.nodes);
  }
};

// Groups on nodes so that the heaviest node is lightest; each node's groups in ascending order.
template <class Team> EPLB_FN void assign_groups_best(Team& team, const Shape& shape, const BestWorkspace& w) {
  assign_groups<Integer>(team, lpt_swap(), shape, w.layer);
  if (shape.groups == shape.nodes || shape.nodes == 1)
    return team.for_each(shape.experts, [&](int e) { w.layer.member[e] = e; });
  search_groups(team, w.groups, w.layer.group_size, w.layer.place, shape.groups, shape.nodes);
  const int each = shape.experts / shape.groups;
  team.for_each(shape.experts, [&](int e) { w.layer.member[w.layer.place[e / each] * each + e % each] = e; });
}

template <class Team, class Source>
EPLB_FN void solve_layer_best(Team& team, int effort, const Shape& shape, const Source& source, BestWorkspace& w,
                              const Maps& maps) {
  Reader<Integer>::read(team, source, shape.experts, w.layer.weight);
  assign_groups_best(team, shape, w);
  const int experts = shape.experts / shape.nodes, slots = shape.slots / shape.nodes;
  for (int node = 0; node < shape.nodes; ++node) {
    const View<int> member = w.layer.member.from(node * experts);
    team.for_each(experts, [&](int e) { w.room.search.now.p.weight[e] = w.layer.weight[member[e]]; });
    solve_best(team, w.room, experts, slots, shape.gpus / shape.nodes, shape.most_replicas, effort,
               {shape.seed, 0, static_cast<uint32_t>(node), 0}, {w.expert, w.count});
    team.for_each(experts, [&](int e) { maps.replica_count[member[e]] = w.count[e]; });
    team.for_each(slots, [&](int s) { maps.physical_to_logical[node * slots + s] = member[w.expert[s]]; });
  }
  team.single([&] {  // replicas in order of their slots
    for (int e = 0; e < shape.experts; ++e) w.layer.weight[e] = 0;
    for (int s = 0; s < shape.slots; ++s) w.layer.rank[s] = w.layer.weight[maps.physical_to_logical[s]]++;
  });
  list_replicas(team, shape, w.layer, maps);
}

EPLB_STAGE_END
