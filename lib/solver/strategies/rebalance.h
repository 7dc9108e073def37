// EPLB_STRATEGY_REBALANCE as the steps of a layer: see solve_layer.h.
#pragma once

#include "solver/strategies/fresh_by_excess.h"

EPLB_STAGE_BEGIN

// A fresh placement may take the place of the current one, so it can make these, too.
struct RebalanceMethod : FreshByExcess {
  using FreshByExcess::FreshByExcess;

  // answer[slot]: its expert, or -1.
  EPLB_FN int solve_node(Team auto& team, int, Chains, View<int> answer) {
    LayerSearch search = begin(team);
    const Aims aims = aims_of(team, search.state);
    if (start(team, search, aims) && has_load) {
      if (search.state.priced)
        search_soft(team, search, aims);
      else
        search_for(team, search, aims);
    }
    write(team, search.state, answer);
    return 0;
  }
  // to[m]: the least time with at most m moves, m <= most; kNever if forced ones alone are more.
  // Returns the mean time.
  EPLB_FN int find_path(Team auto& team, int most, View<int> to) {
    LayerSearch search = begin(team);
    const Aims aims = aims_of(team, search.state);
    team.for_each(most + 1, [&](int m) { to[m] = kNever; });
    if (!start(team, search, aims) || search.state.moves() > most) return aims.mean;
    if (!has_load) most = search.state.moves();  // none gains anything
    follow_path(team, search, aims.least(), most, to);
    // Less than its start needs would not do: the search need not go where the path went.
    team.for_each(search.state.moves(), [&](int m) { to[m] = kNever; });
    return aims.mean;
  }

 protected:
  EPLB_FN int most_moves() const {
    return problem.moves.layer_most ? problem.moves.layer_most[layer] : problem.moves.most;
  }
  EPLB_FN LayerSearch begin(Team auto& team) const {
    LayerSearch search =
        FreshByExcess::begin(team, problem.current.expert + layer * problem.cluster.slots);
    const MoveLimits& limits = problem.moves;
    search.state.most_arrivals = limits.most_arrivals;
    search.budget = most_moves();
    search.counts_moves =
        is_limited(search) || limits.target > 0 || limits.price > 0 || limits.most_total >= 0;
    if (partition.nodes > 1) stay_home(team, search);
    if (search.state.priced)
      price_homes(team, search, [](const NodesAndGroups& of) { return keep_homes_if_good(of); });
    return search;
  }
  EPLB_FN bool start(Team auto& team, LayerSearch& search, const Aims& aims) const {
    return start_from_current(team, search, aims.least(), problem.moves.allow_empty);
  }

 private:
  EPLB_FN bool is_limited(const LayerSearch& search) const {
    return search.budget < problem.cluster.slots;
  }
  // Under the hierarchical policy experts have no other node than their home.
  EPLB_FN void stay_home(Team auto& team, LayerSearch& search) const {
    search.begin_homes(team);
    const NodesAndGroups of = search.nodes_and_groups();
    const View<int> home = search.state.home;
    team.single([&] { keep_homes(of); });
    team.for_each(problem.experts, [&](int e) {
      home[e] = of.memory.home[group_of(e, problem.experts, of.groups)];
    });
  }
  // The number of moves after which no further ones pay; with a target, none are made below it.
  EPLB_FN int paying_moves(Team auto& team, LayerSearch& search, const Aims& aims) const {
    const int most = smaller(search.budget, problem.cluster.slots);
    const View<int> path = search.path;
    follow_path(team, search, aims.least(), most, path);
    const int64_t price = int64_t{aims.mean} * problem.moves.price;  // of a move
    auto cost = [&](int m) { return int64_t{path[m]} * kImbalanceUnits + m * price; };
    int cheapest = search.state.moves();
    for (int m = cheapest + 1; m <= most; ++m)
      if (path[m - 1] > aims.least_time() && cost(m) < cost(cheapest)) cheapest = m;
    return cheapest;
  }
  // A move costs as much as load away from home that is this part of a GPU's, at least.
  static constexpr int kMoveParts = 80, kParts = 1024;
  EPLB_FN void search_soft(Team auto& team, LayerSearch& search, const Aims& aims) const {
    const Arrangement& state = search.state;
    const int64_t least = int64_t{aims.mean} * kMoveParts / kParts,
                  asked = int64_t{aims.mean} * problem.moves.price / kImbalanceUnits;
    const SoftAim aim{search.least_cost, least < asked ? asked : least, kNever};
    settle_homes(team, search, soft_rounds(), aim);
    const int excess = total_excess(team, state);
    if (excess == 0 || is_limited(search)) return;
    store(team, state, search.best, 0);
    settle_fresh(team, search);
    if (total_excess(team, state) >= excess || !is_within(team, search))
      restore(team, state, search.best);
  }
  EPLB_FN void search_for(Team auto& team, LayerSearch& search, const Aims& aims) const {
    if (problem.moves.price > 0) search.budget = paying_moves(team, search, aims);
    const ExcessEffort effort = excess_effort(problem.options.effort);
    if (aims.has_target() && reach_target(team, search, effort)) return;
    if (!aims.has_target() || is_limited(search)) {
      if (aims.has_target()) start(team, search, aims);
      reach_best(team, search, effort, aims);
      if (search.best.time <= aims.least() + aims.least() / 4096) return;
    }
    try_fresh(team, search, effort, aims);
  }
  EPLB_FN void reach_best(Team auto& team, LayerSearch& search, const ExcessEffort& effort,
                          const Aims& aims) const {
    if (windows == 1) return reach_balance(team, search, effort, aims.least_time(), search.best);
    level_windows(team, search, effort.window_rounds, aims.least_time());
    search.best.time = largest_time(team, search.state, problem.cluster);
  }
  // Takes a fresh placement if it is better than what there is, and within the limits.
  EPLB_FN void try_fresh(Team auto& team, LayerSearch& search, const ExcessEffort& effort,
                         const Aims& aims) const {
    const Arrangement& state = search.state;
    BestArrangement& best = search.best;
    store(team, state, best, largest_time(team, state, problem.cluster));
    place_best(team, search);
    if (windows > 1) {
      if (partition.nodes > 1) stay_on_nodes(team, search);
      keep(search);
      search.counts_moves = false;
      level_windows(team, search, effort.window_rounds, aims.least_time());
    }
    const int time = largest_time(team, state, problem.cluster), least = aims.least_time();
    if (larger(time, least) >= larger(best.time, least) || !is_within(team, search))
      restore(team, state, best);
  }
};

EPLB_STAGE_END
