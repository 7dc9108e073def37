// How a layer's new placement is reached from its current one: who sends what to whom, and when.
//
// Sources are the nearest, evenly (sources.h). What may run at the same time depends on the engine:
//
//   BUFFERED   contents arrive in a buffer for a whole layer, so nothing is overwritten: in a round
//              a GPU sends one at most and receives one at most; the rounds are as few as can be
//   EXCLUSIVE  the same, but a GPU that sends does not receive
//   IN_PLACE   contents arrive in their slots, so the order matters (in_place.h), and sources are
//              chosen for it (short_chains.h)
#pragma once

#include "solver/transfers/in_place.h"
#include "solver/transfers/rounds.h"
#include "solver/transfers/short_chains.h"

EPLB_STAGE_BEGIN

struct TransferWorkspace {
  SourceWorkspace sources;
  ChainWorkspace chains;
  RoundWorkspace rounds;
  InPlaceWorkspace in_place;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    sources.lay_out(arena, problem);
    Arena of_chains = arena, of_rounds = arena;  // one of the three is in use at a time
    chains.lay_out(of_chains, problem);
    rounds.lay_out(of_rounds, problem);
    in_place.lay_out(arena, problem);
    arena.continue_after(of_chains);
    arena.continue_after(of_rounds);
  }
};

// The slots of a placement by expert, to find lower ones with the same expert. With few slots on a
// GPU, comparing is faster: there is no list.
struct PlacedList {
  static constexpr int kFewPlaces = 64;
  const SourceWorkspace& lists;
  bool exists;

  // Is the expert of a slot in a lower one of its GPU, too?
  EPLB_FN bool repeats(const int* placement, int slot, int first_of_gpu) const {
    const int rank = exists ? lists.rank[slot] : 0;
    if (exists) return rank > 0 && lower(placement[slot], rank) >= first_of_gpu;
    for (int other = first_of_gpu; other < slot; ++other)
      if (placement[other] == placement[slot]) return true;
    return false;
  }

 private:
  EPLB_FN int lower(int expert, int rank) const {
    return lists.holder[lists.first[expert] + rank - 1];
  }
};
// In the memory of sources, which have been chosen.
EPLB_FN PlacedList list_placed(Team auto& team, const Problem& problem, const int* placement,
                               const SourceWorkspace& workspace) {
  const bool exists = slots_per_gpu(problem.cluster) > PlacedList::kFewPlaces;
  if (exists)
    list_slots(
        team, problem, placement, workspace, [](int s) { return s; }, workspace.holder);
  return {workspace, exists};
}

// Does the slot's GPU get an expert that it lacked? Counted at its lowest slot.
EPLB_FN bool is_move(const Problem& problem, const LayerChange& change, const TransferMaps& maps,
                     const PlacedList& placed, int slot) {
  const int per_gpu = slots_per_gpu(problem.cluster), first = slot / per_gpu * per_gpu;
  const int source = maps.source[slot];
  if (source == kNoSource || (source >= 0 && source / per_gpu == slot / per_gpu)) return false;
  return !placed.repeats(change.placement, slot, first);
}

// Does the slot get its contents from another GPU?
EPLB_FN bool crosses_gpus(const Cluster& cluster, const TransferMaps& maps, int slot) {
  const int per_gpu = slots_per_gpu(cluster), source = maps.source[slot];
  return source >= 0 && source / per_gpu != slot / per_gpu;
}
EPLB_FN bool crosses_nodes(const Cluster& cluster, const TransferMaps& maps, int slot) {
  const int per_gpu = slots_per_gpu(cluster);
  return crosses_gpus(cluster, maps, slot) &&
         node_of(cluster, maps.source[slot] / per_gpu) != node_of(cluster, slot / per_gpu);
}
EPLB_FN int received_by(const Cluster& cluster, const TransferMaps& maps, int gpu) {
  const int per_gpu = slots_per_gpu(cluster);
  int received = 0;
  for (int slot = gpu * per_gpu; slot < (gpu + 1) * per_gpu; ++slot)
    received += crosses_gpus(cluster, maps, slot) ? 1 : 0;
  return received;
}

EPLB_FN int count_slots(Team auto& team, const Cluster& cluster, auto condition) {
  return static_cast<int>(
      team.sum_of(cluster.slots, [&](int slot) { return condition(slot) ? 1 : 0; }));
}

// All figures but those of single GPUs.
EPLB_FN LayerMoves count_moves(Team auto& team, const Problem& problem, const LayerChange& change,
                               const TransferMaps& maps, const PlacedList& placed) {
  const Cluster& cluster = problem.cluster;
  const View<int> source = maps.source, round = maps.round;
  LayerMoves figures{};
  figures.moves =
      count_slots(team, cluster, [&](int s) { return is_move(problem, change, maps, placed, s); });
  figures.between_nodes =
      count_slots(team, cluster, [&](int s) { return crosses_nodes(cluster, maps, s); });
  figures.reloads = count_slots(team, cluster, [&](int s) { return source[s] == kReload; });
  figures.rounds = larger(0, team.max_of(cluster.slots, [&](int s) { return round[s]; }));
  auto changes = [&](int s) { return change.placement[s] != change.current[s]; };
  figures.changed = count_slots(team, cluster, changes) > 0;
  return figures;
}

EPLB_FN void count_busiest(Team auto& team, const Cluster& cluster, View<int> sends,
                           const TransferMaps& maps, LayerMoves& figures) {
  figures.most_sent = team.max_of(cluster.gpus, [&](int gpu) { return sends[gpu]; });
  figures.most_received =
      team.max_of(cluster.gpus, [&](int gpu) { return received_by(cluster, maps, gpu); });
}

EPLB_FN void order_in_place(Team auto& team, const Problem& problem,
                            const InPlaceWorkspace& workspace, const TransferMaps& maps) {
  InPlaceOrder in_place(workspace, problem, maps);
  const View<int> depth = workspace.depth;
  team.single([&] { in_place.prepare(); });
  team.order(problem.cluster.slots, workspace.order,
             [&](int s) { return largest_first(depth[s]); });
  team.single([&] { in_place.run(); });
}

EPLB_FN void order_buffered(Team auto& team, const Problem& problem,
                            const RoundWorkspace& workspace, const TransferMaps& maps) {
  const bool exclusive = problem.options.transfer_order == EPLB_TRANSFER_EXCLUSIVE;
  const View<int64_t> table = workspace.table;
  team.for_each(static_cast<int>(RoundTable::size_for(problem.cluster.slots)),
                [&](int i) { table[i] = RoundTable::kNone; });
  team.single([&] { RoundGraph(workspace, problem, maps, exclusive).run(); });
}

EPLB_FN void choose_sources(Team auto& team, const Problem& problem, const LayerChange& change,
                            const TransferWorkspace& workspace, View<int> source) {
  const bool in_place = problem.options.transfer_order == EPLB_TRANSFER_IN_PLACE;
  begin_sources(team, problem, change, workspace.sources, source);
  team.single([&] {
    if (in_place)
      ShortChains(problem, change, workspace.sources, workspace.chains, source).run();
    else
      choose_evenly(problem, change, workspace.sources, source);
  });
}

EPLB_FN LayerMoves plan_transfers(Team auto& team, const Problem& problem,
                                  const LayerChange& change, const TransferWorkspace& workspace,
                                  const TransferMaps& maps) {
  const int slots = problem.cluster.slots;
  const eplb_transfer_order order = problem.options.transfer_order;
  choose_sources(team, problem, change, workspace, maps.source);
  team.for_each(slots, [&](int s) {
    const bool written = maps.source[s] != s && maps.source[s] != kNoSource;
    maps.round[s] = written ? 0 : -1;
    maps.group[s] = -1;
  });
  if (order == EPLB_TRANSFER_IN_PLACE) {
    order_in_place(team, problem, workspace.in_place, maps);
  } else {
    order_buffered(team, problem, workspace.rounds, maps);
  }
  const PlacedList placed = list_placed(team, problem, change.placement, workspace.sources);
  LayerMoves figures = count_moves(team, problem, change, maps, placed);
  count_busiest(team, problem.cluster, workspace.sources.sends, maps, figures);
  return figures;
}

EPLB_STAGE_END
