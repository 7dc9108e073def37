// How a layer's new placement is reached from its current one: who sends what to whom, and when.
//
// Sources are chosen once (sources.h). What may run at the same time depends on the engine:
//
//   BUFFERED   contents arrive in a buffer for a whole layer, so nothing is overwritten: in a round
//              a GPU sends one at most and receives one at most; the rounds are as few as can be
//   EXCLUSIVE  the same, but a GPU that sends does not receive
//   IN_PLACE   contents arrive in their slots, so the order matters (in_place.h)
#pragma once

#include "solver/transfers/in_place.h"
#include "solver/transfers/rounds.h"

EPLB_STAGE_BEGIN

struct TransferWorkspace {
  SourceWorkspace sources;
  RoundWorkspace rounds;
  InPlaceWorkspace in_place;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    sources.lay_out(arena, problem);
    Arena apart = arena;  // an order needs one of the two
    rounds.lay_out(apart, problem);
    in_place.lay_out(arena, problem);
    arena.continue_after(apart);
  }
};

// Does the slot's GPU get an expert that it lacked? Counted at its lowest slot.
EPLB_FN bool is_move(const Problem& problem, const LayerChange& change, const TransferMaps& maps,
                     int slot) {
  const int per_gpu = slots_per_gpu(problem.cluster), first = slot / per_gpu * per_gpu;
  const int source = maps.source[slot];
  if (source == kNoSource || (source >= 0 && source / per_gpu == slot / per_gpu)) return false;
  for (int lower = first; lower < slot; ++lower)
    if (change.placement[lower] == change.placement[slot]) return false;
  return true;
}

EPLB_FN LayerMoves count_moves(Team auto& team, const Problem& problem, const LayerChange& change,
                               const TransferWorkspace& workspace, const TransferMaps& maps) {
  const Cluster& cluster = problem.cluster;
  const int per_gpu = slots_per_gpu(cluster);
  const View<int> source = maps.source, round = maps.round, sends = workspace.sources.sends;
  auto crosses = [&](int s) { return source[s] >= 0 && source[s] / per_gpu != s / per_gpu; };
  auto count = [&](auto condition) {
    return static_cast<int>(
        team.sum_of(cluster.slots, [&](int s) { return condition(s) ? 1 : 0; }));
  };
  LayerMoves figures{};
  figures.moves = count([&](int s) { return is_move(problem, change, maps, s); });
  figures.between_nodes = count([&](int s) {
    return crosses(s) && node_of(cluster, source[s] / per_gpu) != node_of(cluster, s / per_gpu);
  });
  figures.reloads = count([&](int s) { return source[s] == kReload; });
  figures.rounds = larger(0, team.max_of(cluster.slots, [&](int s) { return round[s]; }));
  figures.most_sent = team.max_of(cluster.gpus, [&](int gpu) { return sends[gpu]; });
  figures.most_received = team.max_of(cluster.gpus, [&](int gpu) {
    int received = 0;
    for (int s = gpu * per_gpu; s < (gpu + 1) * per_gpu; ++s) received += crosses(s) ? 1 : 0;
    return received;
  });
  figures.changed = team.find_of(cluster.slots, [&](int s) {
    return change.placement[s] != change.current[s];
  }) < cluster.slots;
  return figures;
}

EPLB_FN LayerMoves plan_transfers(Team auto& team, const Problem& problem,
                                  const LayerChange& change, const TransferWorkspace& workspace,
                                  const TransferMaps& maps) {
  const int slots = problem.cluster.slots;
  const eplb_transfer_order order = problem.options.transfer_order;
  choose_sources(team, problem, change, workspace.sources, maps.source);
  team.for_each(slots, [&](int s) {
    const bool written = maps.source[s] != s && maps.source[s] != kNoSource;
    maps.round[s] = written ? 0 : -1;
    maps.group[s] = -1;
  });
  if (order == EPLB_TRANSFER_IN_PLACE) {
    const InPlaceOrder in_place(workspace.in_place, problem, maps);
    const View<int> depth = workspace.in_place.depth;
    team.single([&] { in_place.prepare(); });
    team.order(slots, workspace.in_place.order, [&](int s) { return largest_first(depth[s]); });
    team.single([&] { in_place.run(); });
  } else {
    team.single([&] {
      RoundGraph(workspace.rounds, problem, maps, order == EPLB_TRANSFER_EXCLUSIVE).run();
    });
  }
  return count_moves(team, problem, change, workspace, maps);
}

EPLB_STAGE_END
