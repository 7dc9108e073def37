// One layer from weights to maps.
#pragma once

#include "solver/arrange.h"
#include "solver/counts.h"
#include "solver/quantise.h"
#include "solver/swap.h"

EPLB_STAGE_BEGIN

// What is alike for all layers. Globally nodes = groups = 1.
struct Shape {
  int experts, slots, gpus, nodes, groups;
  int most_replicas;  // cap of an expert's replicas
  uint64_t seed;
};

// Where the answer goes. Replica order is the order of creation.
struct Maps {
  View<int> physical_to_logical, replica_count, replica_slots;  // [S], [E], [S]
};

// Working memory of a layer, laid out by the same code that counts it.
template <class Number> struct Workspace {
  View<int> weight;             // by logical expert
  View<int> member;             // logical expert by node-major index: node by node, group by group
  View<int> mine;               // weights of a node's experts
  View<int> group_size, place;  // by group; by item: where it was packed
  Pricing<Number> pricing;
  View<int> first;  // by logical expert: where its replica slots begin
  View<int> rank;   // by slot: which replica of its expert it holds
  Items items;
  Packing packing;

  EPLB_FN void lay_out(Arena& arena, const Shape& shape) {
    const int e = shape.experts / shape.nodes, s = shape.slots / shape.nodes;
    const int most_items = more(s, shape.groups), most_packs = more(shape.gpus / shape.nodes, shape.nodes);
    weight = arena.take<int>(shape.experts);
    member = arena.take<int>(shape.experts);
    mine = arena.take<int>(e);
    group_size = arena.take<int>(shape.groups);
    place = arena.take<int>(most_items);
    pricing.estimate = arena.take<float>(e);
    pricing.share = arena.take<int>(e);
    pricing.candidate = arena.take<int>(e);
    pricing.priority = arena.take<typename Number::Priority>(e);
    pricing.next = arena.take<typename Number::Priority>(e);
    first = arena.take<int>(shape.experts);
    rank = arena.take<int>(shape.slots);
    items = {arena.take<int>(s), arena.take<int>(s), arena.take<int>(s), arena.take<int>(e)};
    packing.order = arena.take<int>(most_items);
    packing.size = arena.take<int>(most_items);
    packing.pack = arena.take<int>(most_items);
    packing.beside = arena.take<int>(most_items);
    packing.at = arena.take<int>(most_items);
    packing.slot = arena.take<int>(most_items);
    packing.load = arena.take<int>(most_packs);
    packing.used = arena.take<int>(most_packs);
    packing.open = arena.take<int>(most_packs);
    packing.held = arena.take<int>(2 * most_packs);
    packing.scratch = arena.take<uint64_t>(3 * most_items);
  }
};

// What decides between chains.
template <class Team> EPLB_FN int score(Team& team, const Packing& p, Winner winner) {
  const int largest = team.most(0, p.packs, [=](auto g) { return p.load[g]; });
  if (winner == Winner::kLeastLargest) return largest;
  return largest - team.least(0, p.packs, [=](auto g) { return p.load[g]; });
}

// place[item] for items of such sizes, from the best chain (ties: lowest). One place per pack is the identity, as in the
// published program.
template <class Number, class Team>
EPLB_FN void pack(Team& team, const Preset& preset, Packing p, int items, int packs, View<int> size, Chance chance,
                  View<int> place) {
  p.items = items;
  p.packs = packs;
  p.places = items / packs;
  if (p.places == 1) return team.for_each(items, [&](int i) { place[i] = i; });
  int best = kNever;
  for (int chain = 0; chain < preset.chains; ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    arrange(team, p, size, preset, chance);
    place_longest_first<Number>(team, p, [](int) { return 1; });
    if (preset.moves > 0) refine(team, p, preset.move, preset.moves, chain == 0);
    const int own = score(team, p, preset.winner);
    if (own >= best) continue;
    best = own;
    number_places(team, p, place);
  }
}

// Node by node, the groups in the order of their places there, the experts of a group in theirs.
template <class Number, class Team>
EPLB_FN void assign_groups(Team& team, const Preset& preset, const Shape& shape, const Workspace<Number>& w) {
  if (shape.groups == shape.nodes) return team.for_each(shape.experts, [&](int e) { w.member[e] = e; });
  const int each = shape.experts / shape.groups;
  team.for_each(shape.groups, [&](int g) {
    int sum = w.weight[g * each];
    for (int i = 1; i < each; ++i) sum = Number::add(sum, w.weight[g * each + i]);
    w.group_size[g] = sum;
  });
  pack<Number>(team, preset, w.packing, shape.groups, shape.nodes, w.group_size, {shape.seed, kGroupKeys, 0, 0},
               w.place);
  team.for_each(shape.experts, [&](int e) { w.member[w.place[e / each] * each + e % each] = e; });
}

template <class Number, class Team>
EPLB_FN void solve_node(Team& team, const Preset& preset, const Shape& shape, int node, const Workspace<Number>& w,
                        const Maps& maps) {
  const int experts = shape.experts / shape.nodes, slots = shape.slots / shape.nodes;
  const View<int> member = w.member.from(node * experts);
  team.for_each(experts, [&](int e) { w.mine[e] = w.weight[member[e]]; });
  count_replicas<Number>(team, w.mine, experts, slots, shape.most_replicas, w.pricing, w.items);
  pack<Number>(team, preset, w.packing, slots, shape.gpus / shape.nodes, w.items.size,
               {shape.seed, kReplicaKeys, static_cast<uint32_t>(node), 0}, w.place);
  team.for_each(experts, [&](int e) { maps.replica_count[member[e]] = w.items.count[e]; });
  team.for_each(slots, [&](int i) {
    const int slot = node * slots + w.place[i];
    maps.physical_to_logical[slot] = member[w.items.expert[i]];
    w.rank[slot] = w.items.rank[i];
  });
}

template <class Number, class Team>
EPLB_FN void list_replicas(Team& team, const Shape& shape, const Workspace<Number>& w, const Maps& maps) {
  team.single([&] {
    for (int e = 0, next = 0; e < shape.experts; next += maps.replica_count[e++]) w.first[e] = next;
  });
  team.for_each(shape.slots, [&](int s) { maps.replica_slots[w.first[maps.physical_to_logical[s]] + w.rank[s]] = s; });
}

template <class Number, class Team, class Source>
EPLB_FN void solve_layer(Team& team, const Preset& preset, const Shape& shape, const Source& source,
                         const Workspace<Number>& w, const Maps& maps) {
  Reader<Number>::read(team, source, shape.experts, w.weight);
  assign_groups<Number>(team, preset, shape, w);
  for (int node = 0; node < shape.nodes; ++node) solve_node<Number>(team, preset, shape, node, w, maps);
  list_replicas<Number>(team, shape, w, maps);
}

EPLB_STAGE_END
