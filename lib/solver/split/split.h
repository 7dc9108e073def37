// The tokens of each expert over its GPUs, such that the busiest GPU, by its pace, has as few as
// can be: a maximum flow to GPUs with room, found from an even split in waves, which give the same
// answer on any team. Its plain definition is tests/golden/split.py.
#pragma once

#include "solver/layer/quantise.h"
#include "solver/split/split_start.h"

EPLB_STAGE_BEGIN

class Splitter {
 public:
  // tokens: by expert, less than 2^29 in all. tolerance: by how much of the bound a GPU may have
  // more, in kToleranceUnits, at most one of them whole.
  EPLB_FN Splitter(const Cluster& cluster, const SplitGraph& graph, View<int> tokens, int tolerance,
                   const SplitWorkspace& workspace)
      : cluster_(cluster), graph_(graph), tokens_(tokens), tolerance_(tolerance), at_(workspace) {}

  // Returns the number of waves; kNever if they ended before the bound was met.
  EPLB_FN int split(Team auto& team) const {
    start(team);
    find_first_bound(team);
    int64_t passes = 0;
    int wave = 0;
    for (; wave < kMostWaves && passes * looks_of_pass() < kMostLooks && !team.stopped(); ++wave) {
      if (busiest_excess(team) <= 0) return wave;
      const int found = push_all(team);
      if (found == 0) raise_bound(team);
      passes += found;
    }
    return busiest_excess(team) <= 0 ? wave : kNever;
  }

  // How many tokens are above a goal, and how many edges and GPUs were looked at.
  struct Above {
    int64_t tokens, looks;
  };
  // Splits such that as few tokens as can be are above a goal for all GPUs; `steps` is then kNever
  // for GPUs that can give none to one with room.
  EPLB_FN Above split_to(Team auto& team, const SplitBound& goal, int64_t most_looks) const {
    start(team);
    team.single([&] { at_.bound[0] = goal; });
    aim(team);
    int64_t passes = SplitStart::kSweeps;
    for (int wave = 0; wave < kMostWaves && passes * looks_of_pass() < most_looks; ++wave) {
      const int found = push_all(team);
      if (found == 0) break;
      passes += found;
    }
    const int64_t above = team.sum_of(
        cluster_.gpus, [&](int g) { return int64_t{larger(at_.load[g] - at_.most[g], 0)}; });
    return {above, passes * looks_of_pass()};
  }

 private:
  static constexpr int kMostWaves = 1 << 12;
  // At edges and GPUs: a layer at a model's size never needs as many.
  static constexpr int64_t kMostLooks = int64_t{1} << 31;

  EPLB_FN int64_t looks_of_pass() const { return edges() + cluster_.gpus; }

  EPLB_FN int split_experts() const { return graph_.sizes[0].split; }
  EPLB_FN int edges() const { return graph_.first[split_experts()]; }
  EPLB_FN int64_t pace_of(int g) const { return pace(cluster_, g); }
  EPLB_FN void for_each_edge(int m, auto f) const { graph_.for_each_edge(m, f); }
  EPLB_FN void for_each_edge_on(int g, auto f) const {
    for (int i = graph_.first_on[g]; i < graph_.first_on[g + 1]; ++i) f(graph_.on[i]);
  }

  EPLB_FN void start(Team auto& team) const {
    SplitStart(cluster_, graph_, tokens_, at_).make(team);
    team.sweep(edges(), [change = at_.change](auto edge) { change.set(edge, 0); });
  }

  // ------------------------------------------------------------------------------- the bound

  // By one lane: of GPUs for which f(int g) is true, those of the component with most tokens by
  // pace; ties: the lowest.
  EPLB_FN void aim_at_densest(auto f) const {
    sum_by_component(f);
    const int densest = densest_component();
    at_.bound[0] = density(densest);
    for (int g = 0; g < cluster_.gpus; ++g) at_.tight[g] = f(g) && graph_.component[g] == densest;
  }
  EPLB_FN void sum_by_component(auto f) const {
    for (int g = 0; g < cluster_.gpus; ++g) at_.tokens[g] = at_.paces[g] = 0;
    for (int g = 0; g < cluster_.gpus; ++g) {
      if (!f(g) || open_slots(cluster_, g) == 0) continue;
      at_.tokens[graph_.component[g]] += at_.load[g];
      at_.paces[graph_.component[g]] += pace_of(g);
    }
  }
  EPLB_FN SplitBound density(int component) const {
    return {at_.tokens[component], at_.paces[component]};
  }
  EPLB_FN int densest_component() const {
    int densest = -1;
    for (int g = 0; g < cluster_.gpus; ++g)
      if (at_.paces[g] > 0 && (densest < 0 || is_above(density(g), density(densest)))) densest = g;
    return densest;
  }
  EPLB_FN void find_first_bound(Team auto& team) const {
    team.single([&] {
      aim_at_densest([](int) { return true; });
      int heaviest = -1;
      for (int g = 0; g < cluster_.gpus; ++g) {
        const SplitBound alone{at_.base[g], pace_of(g)};
        if (!is_above(alone, at_.bound[0])) continue;
        at_.bound[0] = alone;
        heaviest = g;
      }
      if (heaviest >= 0)
        for (int g = 0; g < cluster_.gpus; ++g) at_.tight[g] = g == heaviest;
    });
    aim(team);
  }
  EPLB_FN void aim(Team auto& team) const {
    const SplitBound bound = at_.bound[0];
    const int64_t tokens = bound.tokens * (kToleranceUnits + tolerance_);
    const int64_t paces = bound.pace * kToleranceUnits;
    auto most_at = [=](int64_t pace) {
      const int64_t most = (tokens * pace + paces - 1) / paces;
      return static_cast<int>(most < kQuantaLimit ? most : kQuantaLimit);
    };
    const int fastest = most_at(kFastest);
    team.for_each(cluster_.gpus, [&](int g) {
      at_.most[g] = pace_of(g) == kFastest ? fastest : most_at(pace_of(g));
    });
  }
  EPLB_FN int busiest_excess(Team auto& team) const {
    const View<int> load = at_.load, most = at_.most;
    return team.max(0, cluster_.gpus, [=](auto g) { return load[g] - most[g]; });
  }

  // -------------------------------------------------------------------------------- the waves

  // A wave. Returns how often it went over all edges, 0 if it would reach nobody.
  EPLB_FN int push_all(Team auto& team) const {
    const int reached = find_steps(team);
    const int farthest = team.max_of(reached, [&](int i) {
      const int g = at_.reached[i];
      return at_.load[g] > at_.most[g] ? at_.steps[g] : 0;
    });
    if (farthest <= 0) return 0;
    const int passes = at_.steps[at_.reached[reached - 1]] + 1 + farthest;
    for (int step = farthest; step > 0; --step) push(team, reached, step);
    return passes;
  }
  EPLB_FN void raise_bound(Team auto& team) const {
    team.single([&] { aim_at_densest([&](int g) { return at_.steps[g] == kNever; }); });
    aim(team);
  }
  // By GPU: the number of experts that its tokens must go by to a GPU with room; by expert: that
  // which is left after it. kNever: there is no way. Returns how many GPUs without room have one;
  // they are listed in the order of their steps.
  EPLB_FN int find_steps(Team auto& team) const {
    team.sweep(cluster_.gpus, [load = at_.load, most = at_.most, steps = at_.steps](auto g) {
      steps.set(g, choose(load[g] < most[g], 0, kNever));
    });
    const int full = team.pick(cluster_.gpus, at_.full, [&](int g) { return at_.steps[g] != 0; });
    team.for_each(split_experts(), [&](int m) {
      bool has_room = false;
      for_each_edge(m, [&](int, int g) { has_room |= at_.steps[g] == 0; });
      at_.steps_of[m] = has_room ? 0 : kNever;
    });
    team.single([&] { at_.num_reached[0] = reach_all(full); });
    return at_.num_reached[0];
  }
  // By one lane, edge by edge: only those of full GPUs are left, and mostly these are few.
  EPLB_FN int reach_all(int full) const {
    int reached = 0;
    for (int i = 0; i < full; ++i)
      if (gives_to_room(at_.full[i])) reach(at_.full[i], 1, reached);
    for (int i = 0; i < reached; ++i) reach_from(at_.reached[i], reached);
    return reached;
  }
  EPLB_FN bool gives_to_room(int g) const {
    int i = graph_.first_on[g];
    const int end = graph_.first_on[g + 1];
    auto gives = [&](int edge) {
      return at_.quota[edge] > 0 && at_.steps_of[graph_.owner[edge]] == 0;
    };
    while (i < end && !gives(graph_.on[i])) ++i;
    return i < end;
  }
  EPLB_FN void reach(int g, int step, int& reached) const {
    at_.steps[g] = step;
    at_.reached[reached++] = g;
  }
  EPLB_FN void reach_from(int from, int& reached) const {
    const int step = at_.steps[from];
    for_each_edge_on(from, [&](int on) {
      const int m = graph_.owner[on];
      if (at_.steps_of[m] != kNever) return;
      at_.steps_of[m] = step;
      for_each_edge(m, [&](int edge, int g) {
        if (at_.steps[g] == kNever && at_.quota[edge] > 0) reach(g, step + 1, reached);
      });
    });
  }

  // What is too much on GPUs at this distance goes one step on, from all of them at once: to GPUs
  // with room as much as each has, to others in equal parts.
  EPLB_FN void push(Team auto& team, int reached, int step) const {
    team.for_each(reached, [&](int i) {
      const int g = at_.reached[i];
      if ((at_.steps[g] == step) & (at_.load[g] > at_.most[g])) offer(g, step);
    });
    const int offered = list_offered(team);
    team.for_each(offered, [&](int i) { pass_on(at_.offered[i], step); });
    team.single([&] {
      for (int i = 0; i < offered; ++i) carry_out(at_.offered[i]);
    });
  }
  EPLB_FN void offer(int g, int step) const {
    int left = at_.load[g] - at_.most[g];
    for_each_edge_on(g, [&](int edge) {
      if (at_.steps_of[graph_.owner[edge]] != step - 1) return;
      at_.change[edge] = smaller(left, at_.quota[edge]);
      left -= at_.change[edge];
    });
  }
  // Those experts, found from edge to edge: a step has few.
  EPLB_FN int list_offered(Team auto& team) const {
    const View<int> change = at_.change;
    auto next = [&](int from) {
      return team.find(from, edges(), [=](auto edge) { return change[edge] > 0; });
    };
    int offered = 0;
    for (int edge = next(0); edge < edges(); ++offered) {
      const int m = graph_.owner[edge];
      team.single_nowait([&] { at_.offered[offered] = m; });
      edge = next(graph_.first[m + 1]);
    }
    return offered;
  }
  EPLB_FN void carry_out(int m) const {
    for_each_edge(m, [&](int edge, int g) {
      at_.quota[edge] += at_.change[edge];
      at_.load[g] += at_.change[edge];
      at_.change[edge] = 0;
    });
  }
  EPLB_FN void pass_on(int m, int step) const {
    int offered = 0, takers = 0;
    for_each_edge(m, [&](int edge, int g) {
      offered += at_.change[edge];
      takers += at_.steps[g] == step - 1;
    });
    const int taken = offered - take(m, step, offered, takers);
    give(m, step, taken);
  }
  // Returns what is left.
  EPLB_FN int take(int m, int step, int left, int takers) const {
    for_each_edge(m, [&](int edge, int g) {
      if (at_.steps[g] != step - 1) return;
      const int room = larger(at_.most[g] - at_.load[g], 0);
      at_.change[edge] = step > 1 ? (left + takers - 1) / takers : smaller(left, room);
      left -= at_.change[edge];
      --takers;
    });
    return left;
  }
  EPLB_FN void give(int m, int step, int taken) const {
    for_each_edge(m, [&](int edge, int g) {
      if (at_.steps[g] == step) {
        const int given = smaller(at_.change[edge], taken);
        taken -= given;
        at_.change[edge] = -given;
      }
    });
  }

  const Cluster& cluster_;
  const SplitGraph& graph_;
  const View<int> tokens_;
  const int tolerance_;
  const SplitWorkspace& at_;
};

EPLB_STAGE_END
