// How good a layer's placement is. Everything is worked out from the original weights and the
// placement alone, and no figure depends on the team.
#pragma once

#include "solver/evaluate/duplicates.h"
#include "solver/evaluate/layer_bound.h"
#include "solver/evaluate/loads.h"

EPLB_STAGE_BEGIN

// Which figures are wanted. threshold: of bounds the closer kind.
struct WantedFigures {
  bool loads, duplicates, bounds, threshold;
};

// A layer's figures; those that are not wanted are as they were.
struct LayerEvaluation {
  double mean_load, largest_load, imbalance;   // loads
  int64_t duplicates, unavoidable_duplicates;  // duplicates
  double bound;                                // bounds
  bool nodes_proven;

  EPLB_FN void copy_to(const WantedFigures& wanted, auto& figures) const {
    if (wanted.loads) {
      figures.mean_load = mean_load;
      figures.largest_load = largest_load;
      figures.imbalance = imbalance;
    }
    if (wanted.duplicates) {
      figures.duplicates = duplicates;
      figures.unavoidable_duplicates = unavoidable_duplicates;
    }
    if (wanted.bounds) {
      figures.bound = bound;
      figures.nodes_proven = nodes_proven;
    }
  }
};

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
  EPLB_FN void lay_out(Arena& arena, const Problem& problem, const WantedFigures& wanted,
                       bool counted) {
    has_list = needs_list(problem, wanted, counted);
    Arena apart = arena;  // bounds come last
    if (has_list) list.lay_out(apart, problem);
    if (wanted.bounds) bounds.lay_out(arena, problem, wanted.threshold);
    arena.continue_after(apart);
  }

 private:
  EPLB_FN static bool needs_list(const Problem& problem, const WantedFigures& wanted,
                                 bool counted) {
    return counted ? wanted.duplicates && slots_per_gpu(problem.cluster) > kFewPlaces
                   : wanted.loads || wanted.duplicates;
  }
};

EPLB_FN void evaluate_loads(Team auto& team, const Problem& problem, const PlacedLayer& layer,
                            const auto& weight, const auto& count, LayerEvaluation& evaluation) {
  const int places = slots_per_gpu(problem.cluster);
  auto load_of = [&](int gpu) {
    return gpu_load(layer.placement + int64_t{gpu} * places, places, weight, count);
  };
  double* const loads = layer.gpu_load;
  if (loads) team.for_each(problem.cluster.gpus, [&](int gpu) { loads[gpu] = load_of(gpu); });
  // Numbers that are not negative compare like their bits.
  const int64_t largest = team.max_of(
      problem.cluster.gpus, [&](int gpu) { return bits_of(loads ? loads[gpu] : load_of(gpu)); });
  const double total = sum_in_order(problem.experts, weight);
  evaluation.mean_load = total / problem.cluster.gpus;
  evaluation.largest_load = of_bits(largest);
  evaluation.imbalance = imbalance_of(total, evaluation.largest_load, problem.cluster.gpus);
}

// weight(e) is an expert's, in double. The workspace was laid out for what is wanted.
EPLB_FN LayerEvaluation evaluate_layer(Team auto& team, const Problem& problem,
                                       const WantedFigures& wanted,
                                       const EvaluationWorkspace& workspace, const auto& weight,
                                       const PlacedLayer& layer) {
  LayerEvaluation evaluation{};
  if (workspace.has_list) number_replicas(team, problem, layer.placement, workspace.list);
  const int* const counts = layer.replica_count ? layer.replica_count : workspace.list.count.data;
  auto count = [&](int e) { return counts[e]; };
  if (wanted.loads) evaluate_loads(team, problem, layer, weight, count, evaluation);
  if (wanted.duplicates) {
    const bool listed = workspace.has_list && slots_per_gpu(problem.cluster) > kFewPlaces;
    evaluation.duplicates = listed ? duplicates_in(team, problem, layer.placement, workspace.list)
                                   : duplicates_in(team, problem, layer.placement);
    evaluation.unavoidable_duplicates = unavoidable_duplicates(team, problem, count);
  }
  if (wanted.bounds) {
    const LayerBound bound =
        bound_of_layer(team, problem, wanted.threshold, workspace.bounds, weight);
    evaluation.bound = bound.load;
    evaluation.nodes_proven = bound.nodes_proven;
  }
  return evaluation;
}

EPLB_STAGE_END
