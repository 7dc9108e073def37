// How good a layer's placement is. Everything is worked out from the original weights and the
// placement alone, and no figure depends on the team.
#pragma once

#include "solver/evaluate/duplicates.h"
#include "solver/evaluate/layer_bound.h"
#include "solver/evaluate/loads.h"

EPLB_STAGE_BEGIN

// What is evaluated. replica_count and gpu_load may be null: who has no counts gets them counted,
// and who does not want the loads of single GPUs spares their memory.
struct PlacedLayer {
  const int* placement;      // [S]
  const int* replica_count;  // [E], of this placement
  double* gpu_load;          // [G], written with the loads
};

struct EvaluationWorkspace {
  ReplicaList list{};
  BoundWorkspace bounds{};
  bool has_list = false;

  // counted: replica counts are given.
  EPLB_FN void lay_out(Arena& arena, const Problem& problem, EvaluationParts wanted, bool counted) {
    has_list = needs_list(problem, wanted, counted);
    Arena apart = arena;  // bounds come last
    if (has_list) list.lay_out(apart, problem);
    if (wanted & kBounds) bounds.lay_out(arena, problem);
    arena.continue_after(apart);
  }

 private:
  EPLB_FN static bool needs_list(const Problem& problem, EvaluationParts wanted, bool counted) {
    return counted ? wanted & kDuplicates && slots_per_gpu(problem.cluster) > kFewPlaces
                   : wanted & (kLoads | kDuplicates);
  }
};

// The largest load, or time, where load_of(gpu) is a GPU's load. Numbers that are not negative
// compare like their bits.
EPLB_FN double largest_time(Team auto& team, const Cluster& cluster, const auto& load_of) {
  const double* const speed = cluster.gpu_speed;
  return of_bits(team.max_of(cluster.gpus, [&](int gpu) {
    const double load = load_of(gpu);
    return bits_of(speed ? load / speed[gpu] : load);
  }));
}

EPLB_FN double load_on(const Problem& problem, const PlacedLayer& layer, int gpu,
                       const auto& weight, const auto& count) {
  const int places = slots_per_gpu(problem.cluster);
  return gpu_load(layer.placement + int64_t{gpu} * places, places, weight, count);
}

// Of a layer with little weight.
EPLB_FN double magnified_imbalance(Team auto& team, const Problem& problem,
                                   const PlacedLayer& layer, const auto& weight, double total,
                                   const auto& count) {
  auto magnified = [&](int e) { return weight(e) * kMagnified; };
  const double largest = largest_time(team, problem.cluster, [&](int gpu) {
    return load_on(problem, layer, gpu, magnified, count);
  });
  return imbalance_of(total * kMagnified, largest, open_gpus(problem.cluster));
}

EPLB_FN void evaluate_loads(Team auto& team, const Problem& problem, const PlacedLayer& layer,
                            const auto& weight, double total, const auto& count,
                            LayerFigures& figures) {
  const Cluster& cluster = problem.cluster;
  auto load_of = [&](int gpu) { return load_on(problem, layer, gpu, weight, count); };
  double* const loads = layer.gpu_load;
  if (loads) team.for_each(cluster.gpus, [&](int gpu) { loads[gpu] = load_of(gpu); });
  const int gpus = open_gpus(cluster);  // their speeds have the mean 1
  figures.mean_load = total / gpus;
  figures.largest_load =
      largest_time(team, cluster, [&](int gpu) { return loads ? loads[gpu] : load_of(gpu); });
  figures.imbalance = total < kLittle
                          ? magnified_imbalance(team, problem, layer, weight, total, count)
                          : imbalance_of(total, figures.largest_load, gpus);
}

EPLB_FN void evaluate_places(Team auto& team, const Problem& problem,
                             const EvaluationWorkspace& workspace, const int* placement,
                             const auto& count, LayerFigures& figures) {
  const bool few = slots_per_gpu(problem.cluster) <= kFewPlaces;
  if (workspace.has_list && !few) {
    figures.duplicates = duplicates_in(team, problem, placement, workspace.list);
    figures.most_lost = most_lost(team, problem, placement, workspace.list);
  } else {
    figures.duplicates = duplicates_in(team, problem, placement);
    // With many places and without a list it is only duplicates that are wanted.
    if (few) figures.most_lost = most_lost(team, problem, placement, count);
  }
  figures.unavoidable_duplicates = unavoidable_duplicates(team, problem, count);
}

// Does every open slot hold an expert?
EPLB_FN bool is_filled(Team auto& team, const Problem& problem, const int* placement) {
  const int64_t held =
      team.sum_of(problem.cluster.slots, [&](int slot) { return int64_t{placement[slot] >= 0}; });
  return held == open_slots(problem.cluster);
}

// weight(e) is an expert's, in double. The workspace was laid out for what is wanted; figures that
// are not stay as they are.
EPLB_FN void evaluate_layer(Team auto& team, const Problem& problem, EvaluationParts wanted,
                            const EvaluationWorkspace& workspace, const auto& weight,
                            const PlacedLayer& layer, LayerFigures& figures) {
  if (workspace.has_list) number_replicas(team, problem, layer.placement, workspace.list);
  const int* const counts = layer.replica_count ? layer.replica_count : workspace.list.count.data;
  auto count = [&](int e) { return counts[e]; };
  const double total = wanted & (kLoads | kBounds) ? sum_in_order(problem.experts, weight) : 0;
  if (wanted & kLoads) evaluate_loads(team, problem, layer, weight, total, count, figures);
  if (wanted & kDuplicates)
    evaluate_places(team, problem, workspace, layer.placement, count, figures);
  if (wanted & kBounds) {
    const LayerBound bound = bound_of_layer(team, problem, workspace.bounds, weight, total,
                                            is_filled(team, problem, layer.placement));
    figures.bound = bound.load;
    figures.nodes_proven = bound.nodes_proven;
  }
}

EPLB_STAGE_END
