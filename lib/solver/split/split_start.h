// Where a split starts: each expert evenly over its GPUs, then poured over them like water.
#pragma once

#include "solver/split/graph.h"
#include "solver/split/split_workspace.h"

EPLB_STAGE_BEGIN

class SplitStart {
 public:
  static constexpr int kSweeps = 4;

  // tokens: by expert, less than 2^29 in all.
  EPLB_FN SplitStart(const Cluster& cluster, const SplitGraph& graph, View<int> tokens,
                     const SplitWorkspace& workspace)
      : cluster_(cluster), graph_(graph), tokens_(tokens), at_(workspace) {}

  // Writes quotas, bases and loads. Pouring is for GPUs of one pace.
  EPLB_FN void make(Team auto& team) const {
    split_evenly(team);
    if (!cluster_.gpu_pace)
      for (int sweep = 0; sweep < kSweeps; ++sweep) pour_all(team);
  }

 private:
  EPLB_FN int64_t pace_of(int g) const { return pace(cluster_, g); }
  EPLB_FN void for_each_edge(int m, auto f) const { graph_.for_each_edge(m, f); }

  EPLB_FN void split_evenly(Team auto& team) const {
    team.for_each(graph_.sizes[0].split, [&](int m) { split_evenly(m); });
    const int each = slots_per_gpu(cluster_);
    team.for_each(cluster_.gpus, [&](int g) {
      int alone = 0, quota = 0;
      for (int slot = g * each; slot < (g + 1) * each; ++slot) {
        alone += graph_.alone_on(slot, tokens_);
        quota += graph_.quota_on(slot, at_.quota);
      }
      at_.base[g] = alone;
      at_.load[g] = alone + quota;
    });
  }
  // An equal part for each copy, times the pace of its GPU, rounded down; what is left goes to the
  // lowest GPUs, one each.
  EPLB_FN void split_evenly(int m) const {
    const int tokens = tokens_[graph_.expert[m]];
    int64_t all = 0, before = 0;
    int part = 0, left = tokens;
    for_each_edge(m, [&](int edge, int g) { all += graph_.copies[edge] * pace_of(g); });
    for_each_edge(m, [&](int edge, int g) {
      const int64_t own = graph_.copies[edge] * pace_of(g);
      if (own != before) part = 2 * own == all ? tokens / 2 : static_cast<int>(tokens * own / all);
      before = own;
      at_.quota[edge] = part;
      left -= part;
    });
    for_each_edge(m, [&](int edge, int) { at_.quota[edge] += left-- > 0; });
  }
  EPLB_FN void pour_all(Team auto& team) const {
    for (int rank = 0; rank < graph_.sizes[0].ranks; ++rank) {
      const View<int> members = graph_.in_rank.from(graph_.first_in_rank[rank]);
      team.for_each(graph_.first_in_rank[rank + 1] - graph_.first_in_rank[rank],
                    [&](int i) { pour(members[i]); });
    }
  }
  // An expert's tokens like water over its GPUs; what is left of the level goes to the lowest of
  // them, one each.
  EPLB_FN void pour(int m) const {
    const int first = graph_.first[m];
    if (graph_.first[m + 1] - first == 2)
      pour_over_two(first);
    else
      pour_over_many(m);
  }
  // Of most experts: here, the level needs no division.
  EPLB_FN void pour_over_two(int edge) const {
    int &one = at_.quota[edge], &other = at_.quota[edge + 1];
    int &load = at_.load[graph_.gpu[edge]], &other_load = at_.load[graph_.gpu[edge + 1]];
    const int tokens = one + other, lower_by = (other_load - other) - (load - one);
    const int part = smaller(larger((tokens + lower_by + 1) >> 1, 0), tokens);
    load += part - one;
    other_load -= part - one;
    one = part;
    other = tokens - part;
  }
  EPLB_FN void pour_over_many(int m) const {
    constexpr int kDry = kNever;
    const View<int> ground = at_.change;  // by edge: what the GPU has of others, or kDry
    int wet = 0, total = 0;
    for_each_edge(m, [&](int edge, int g) {
      ground[edge] = at_.load[g] - at_.quota[edge];
      total += at_.load[g];
      ++wet;
    });
    int level = total / wet;
    for (int before = wet + 1; wet < before; level = total / wet) {
      before = wet;
      for_each_edge(m, [&](int edge, int) {
        if (ground[edge] <= level || ground[edge] == kDry) return;
        total -= ground[edge];
        ground[edge] = kDry;
        --wet;
      });
    }
    int left = total - level * wet;
    for_each_edge(m, [&](int edge, int g) {
      const int part = ground[edge] == kDry ? 0 : level - ground[edge] + (left-- > 0);
      at_.load[g] += part - at_.quota[edge];
      at_.quota[edge] = part;
    });
  }

  const Cluster& cluster_;
  const SplitGraph& graph_;
  const View<int> tokens_;
  const SplitWorkspace& at_;
};

EPLB_STAGE_END
