// What a static dispatch says: loads and the bound, from the original weights. No figure depends on
// the team.
#pragma once

#include "solver/evaluate/split_evaluation.h"
#include "solver/split/layer_dispatch.h"

EPLB_STAGE_BEGIN

struct DispatchEvaluationWorkspace {
  View<int> inside;  // by expert: are all its GPUs among the tight ones?

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    inside = arena.take<int>(problem.experts);
  }
};

class DispatchEvaluation {
 public:
  EPLB_FN DispatchEvaluation(const Problem& problem, const DispatchMaps& maps,
                             const DispatchEvaluationWorkspace& workspace)
      : problem_(problem),
        each_(slots_per_gpu(problem.cluster)),
        maps_(maps),
        inside_(workspace.inside) {}

  EPLB_FN void write(Team auto& team, const LayerWeights& weights, double* load,
                     SplitFigures& figures) const {
    team.single([&] { mark_inside(); });
    with_parts(weights, problem_.experts, [&](const auto&, const auto& parts) {
      auto on_gpu = [&](int gpu) { return this->on_gpu(gpu, parts); };
      team.for_each(problem_.cluster.gpus, [&](int gpu) { load[gpu] = on_gpu(gpu) / parts.scale; });
      write_split_figures(team, problem_, parts, on_gpu, {inside_, maps_.tight}, figures);
    });
  }

 private:
  EPLB_FN void mark_inside() const {
    for (int e = 0; e < problem_.experts; ++e) inside_[e] = 1;
    for (int slot = 0; slot < problem_.cluster.slots; ++slot)
      if (maps_.placement[slot] >= 0 && !maps_.tight[slot / each_])
        inside_[maps_.placement[slot]] = 0;
  }
  EPLB_FN double on_gpu(int gpu, const auto& parts) const {
    return sum_in_order(each_, [&](int k) {
      const int slot = gpu * each_ + k, e = maps_.placement[slot];
      return e < 0 ? 0.0 : parts.all(e) * maps_.units[slot] / problem_.dispatch.ranks;
    });
  }

  const Problem& problem_;
  const int each_;
  const DispatchMaps& maps_;
  const View<int> inside_;
};

EPLB_STAGE_END
