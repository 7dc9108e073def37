// What a split of tokens says: shares, quotas, loads and the bound, from the original weights. No
// figure depends on the team.
#pragma once

#include "solver/evaluate/layer_evaluation.h"
#include "solver/split/layer_split.h"

EPLB_STAGE_BEGIN

inline constexpr int kShares = 1 << 16;  // of an expert, over its slots

// How parts of the weight of an expert follow from its tokens on each of its GPUs: `units` of
// `tokens`, after `before` on lower GPUs. Weights are multiplied by `scale` first.
struct RealParts {
  const double* weight;
  double scale;

  EPLB_FN double all(int e) const { return weight[e] * scale; }
  EPLB_FN double part(int e, int units, int, int tokens, int) const {
    if (weight[e] == tokens) return units * scale;
    return all(e) * (static_cast<double>(units) / tokens);
  }
};
// Whole parts of the whole: the tokens are 2^shift of the weight, rounded down, but at least 1.
struct WholeParts {
  static constexpr double scale = 1;
  const int64_t* weight;

  EPLB_FN double all(int e) const { return static_cast<double>(weight[e]); }
  EPLB_FN double part(int e, int units, int before, int tokens, int shift) const {
    const int64_t rest = weight[e] - (static_cast<int64_t>(tokens) << -shift);
    auto rest_of = [&](int64_t n) { return rest / tokens * n + rest % tokens * n / tokens; };
    return static_cast<double>((static_cast<int64_t>(units) << -shift) + rest_of(before + units) -
                               rest_of(before));
  }
};

// Calls use(source, parts) with weights to read tokens of, and their parts.
EPLB_FN void with_parts(const LayerWeights& weights, int experts, auto use) {
  if (weights.whole) return use(WholeWeights{weights.whole}, WholeParts{weights.whole});
  const double* const real = weights.real;
  const double total = sum_in_order(experts, [&](int e) { return real[e]; });
  use(RealWeights{real}, RealParts{real, total < kLittle ? kMagnified : 1});
}

// What a bound is of: GPUs, and the experts that are on no others.
struct TightSet {
  View<int> expert, gpu;
};
// The tokens that the tight GPUs cannot give to others, by their speeds. Rounded down by what sums
// and quotients may have gained; scaling denormals back may gain half of the least one.
EPLB_FN double find_split_bound(const Problem& problem, const auto& parts, const TightSet& tight) {
  constexpr double kLeast = 0x1p-1074;
  const double* const speed = problem.cluster.gpu_speed;
  const double tokens =
      sum_in_order(problem.experts, [&](int e) { return tight.expert[e] ? parts.all(e) : 0.0; });
  const double bound = tokens / sum_in_order(problem.cluster.gpus, [&](int gpu) {
                         return tight.gpu[gpu] == 0 ? 0.0 : speed ? speed[gpu] : 1.0;
                       });
  const double down = bound * (1 - 0x1p-40) / parts.scale;
  return parts.scale == 1 ? down : larger(0.0, down - kLeast);
}
// on_gpu(int gpu): its load, multiplied by the scale of parts.
EPLB_FN void write_split_figures(Team auto& team, const Problem& problem, const auto& parts,
                                 auto on_gpu, const TightSet& tight, SplitFigures& figures) {
  const double total = sum_in_order(problem.experts, [&](int e) { return parts.all(e); });
  const double largest = largest_time(team, problem.cluster, on_gpu);
  const double bound = find_split_bound(problem, parts, tight);
  team.single([&] { figures = {imbalance_of(total, largest, open_gpus(problem.cluster)), bound}; });
}

struct SplitEvaluationWorkspace {
  View<int> tokens, inside;  // by expert; inside: are all its GPUs among the tight ones?
  View<int> units, share;    // by edge
  View<int64_t> due;         // by edge: what shares are in proportion to
  View<double> part;         // by edge

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    arena.take(problem.experts, tokens, inside);
    arena.take(problem.cluster.slots, units, share);
    due = arena.take<int64_t>(problem.cluster.slots);
    part = arena.take<double>(problem.cluster.slots);
  }
};

class SplitEvaluation {
 public:
  EPLB_FN SplitEvaluation(const Problem& problem, const SplitGraph& graph, const SplitMaps& maps,
                          const SplitEvaluationWorkspace& workspace)
      : problem_(problem), graph_(graph), maps_(maps), at_(workspace) {}

  // Calls put(int slot, int share) with parts of kShares of each expert: rounded down, what is left
  // goes to the largest remainders; ties: the lowest slots.
  EPLB_FN void put_shares(Team auto& team, auto put) const {
    read_units(team);
    team.for_each(graph_.sizes[0].split, [&](int m) { share_out(m); });
    team.for_each(problem_.cluster.slots, [&](int slot) {
      const int place = graph_.place[slot];
      put(slot, place >= 0 ? at_.share[place] : place == SplitGraph::kNone ? 0 : kShares);
    });
  }

  EPLB_FN void write_loads(Team auto& team, const LayerWeights& weights,
                           const SplitOutputs& out) const {
    with_parts(weights, problem_.experts, [&](const auto& source, const auto& parts) {
      write_loads(team, source, parts, out);
    });
  }

 private:
  EPLB_FN void write_loads(Team auto& team, const auto& source, const auto& parts,
                           const SplitOutputs& out) const {
    read_units(team);
    const int shift = read_tokens(team, source, problem_.experts, at_.tokens);
    team.for_each(graph_.sizes[0].split, [&](int m) { take_parts(m, parts, shift); });
    if (out.quota)
      team.for_each(problem_.cluster.slots,
                    [&](int slot) { out.quota[slot] = on_slot(slot, parts) / parts.scale; });
    if (out.load)
      team.for_each(problem_.cluster.gpus,
                    [&](int gpu) { out.load[gpu] = on_gpu(gpu, parts) / parts.scale; });
    if (!out.figures) return;
    mark_inside(team);
    write_split_figures(
        team, problem_, parts, [&](int gpu) { return on_gpu(gpu, parts); },
        {at_.inside, maps_.tight}, *out.figures);
  }

  EPLB_FN void for_each_edge(int m, auto f) const {
    for (int edge = graph_.first[m]; edge < graph_.first[m + 1]; ++edge) f(edge, graph_.gpu[edge]);
  }
  EPLB_FN void read_units(Team auto& team) const {
    team.for_each(problem_.cluster.slots, [&](int slot) {
      if (graph_.place[slot] >= 0) at_.units[graph_.place[slot]] = maps_.quota[slot];
    });
  }

  // An expert without tokens has them as if they were split evenly.
  EPLB_FN void share_out(int m) const {
    int64_t all = 0;
    for_each_edge(m, [&](int edge, int) { all += at_.due[edge] = at_.units[edge]; });
    if (all == 0)
      for_each_edge(m, [&](int edge, int gpu) {
        all += at_.due[edge] = int64_t{graph_.copies[edge]} * pace(problem_.cluster, gpu);
      });
    int left = kShares;
    for_each_edge(m, [&](int edge, int) {
      at_.share[edge] = static_cast<int>(kShares * at_.due[edge] / all);
      left -= at_.share[edge];
    });
    round_up(m, all, left);
  }
  // The `left` largest remainders.
  EPLB_FN void round_up(int m, int64_t all, int left) const {
    if (left == 0) return;
    auto remainder = [&](int edge) { return kShares * at_.due[edge] % all; };
    auto above = [&](int64_t least) {
      int count = 0;
      for_each_edge(m, [&](int edge, int) { count += remainder(edge) > least; });
      return count;
    };
    int64_t low = -1, high = all;  // above(low) > left, but for low = -1; above(high) <= left
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (above(middle) <= left ? high : low) = middle;
    }
    int equal = left - above(high);
    for_each_edge(m, [&](int edge, int) {
      const int64_t own = remainder(edge);
      at_.share[edge] += own > high || (own == high && equal-- > 0);
    });
  }

  EPLB_FN void take_parts(int m, const auto& parts, int shift) const {
    const int e = graph_.expert[m], tokens = at_.tokens[e];
    int before = 0;
    for_each_edge(m, [&](int edge, int) {
      const int units = at_.units[edge];
      at_.part[edge] = tokens == 0 ? 0 : parts.part(e, units, before, tokens, shift);
      before += units;
    });
  }

  EPLB_FN double on_slot(int slot, const auto& parts) const {
    const int place = graph_.place[slot];
    if (place >= 0) return at_.part[place];
    return place == SplitGraph::kNone ? 0.0 : parts.all(-1 - place);
  }
  EPLB_FN double on_gpu(int gpu, const auto& parts) const {
    const int each = slots_per_gpu(problem_.cluster);
    return sum_in_order(each, [&](int k) { return on_slot(gpu * each + k, parts); });
  }

  EPLB_FN void mark_inside(Team auto& team) const {
    const int each = slots_per_gpu(problem_.cluster);
    team.for_each(problem_.experts, [&](int e) { at_.inside[e] = 0; });
    team.for_each(problem_.cluster.slots, [&](int slot) {
      const int place = graph_.place[slot];
      if (place < 0 && place != SplitGraph::kNone)
        at_.inside[-1 - place] = maps_.tight[slot / each] != 0;
    });
    team.for_each(graph_.sizes[0].split, [&](int m) {
      int inside = 1;
      for_each_edge(m, [&](int, int gpu) { inside &= maps_.tight[gpu] != 0; });
      at_.inside[graph_.expert[m]] = inside;
    });
  }
  const Problem& problem_;
  const SplitGraph& graph_;
  const SplitMaps& maps_;
  const SplitEvaluationWorkspace& at_;
};

EPLB_STAGE_END
