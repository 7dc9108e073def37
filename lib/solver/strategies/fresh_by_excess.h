// EPLB_STRATEGY_BEST by excess, as the steps of a layer: see solve_layer.h. For several windows
// that are kept apart, and for tokens that will be split, it begins with the placement for the sum
// of all windows, for groups that have homes with all experts at home.
#pragma once

#include "solver/strategies/excess_method.h"

EPLB_STAGE_BEGIN

// What is there counts as the current placement: what stays, stays in its slot. scratch: by slot.
EPLB_ONCE void take_as_current(Team auto& team, ExcessSearch& search, bool keeps_nodes,
                               View<int> scratch) {
  const Arrangement& state = search.state;
  read_slots(team, state, scratch);
  remember_current(team, state, scratch.data);
  team.single([&] { derive_all(state); });
  if (keeps_nodes) stay_on_nodes(team, search);
  search.counts_moves = false;
  keep(search);
}

struct FreshByExcess : ExcessMethod {
  using ExcessMethod::ExcessMethod;

  // answer[slot]: its expert, or -1.
  EPLB_FN int solve_node(Team auto& team, int, Chains, View<int> answer) {
    LayerSearch search = begin(team, nullptr);
    if (search.state.priced)
      solve_soft(team, search);
    else
      solve_from_sum(team, search, answer);
    part_copies(team, search);
    write(team, search.state, answer);
    return 0;
  }

 private:
  EPLB_FN void solve_from_sum(Team auto& team, LayerSearch& search, View<int> scratch) const {
    const ExcessEffort effort = excess_effort(problem.options.effort);
    clear_places(team, search.state);
    place_best(team, search);
    take_as_current(team, search, partition.nodes > 1, scratch);
    if (!has_load) return;
    const Aims aims = aims_of(team, search.state);
    if (windows > 1) level_windows(team, search, effort.window_rounds, aims.mean);
    if (is_for_splits(problem)) spread_load(team, search, effort.proposals, aims);
  }
  // No load becomes larger than the target, or than the largest one was.
  EPLB_FN void spread_load(Team auto& team, LayerSearch& search, int proposals,
                           const Aims& aims) const {
    const int time = largest_time(team, search.state, problem.cluster);
    aim(team, search.state, problem.cluster, larger(time, aims.least_time()));
    spread_movable_load(team, search, search.spread, partition.nodes, aims.mean, proposals);
  }
  EPLB_FN void solve_soft(Team auto& team, LayerSearch& search) const {
    price_homes(team, search, [](const NodesAndGroups& of) { return HomeSearch(of).run().total; });
    aim(team, search.state, problem.cluster, aims_of(team, search.state).least());
    settle_fresh(team, search);
  }
};

EPLB_STAGE_END
