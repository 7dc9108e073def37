// What a shuffled warp makes of whole methods and of the steps of searches by excess. It is compiled
// once, for all tests: it takes a minute.
#pragma once

#include "tests/solver/shuffled_team.h"
#include "tests/solver/solved_layer.h"

namespace eplb::tests {

Answer shuffled(const Layer& layer, eplb_strategy strategy, eplb_effort effort, uint32_t seed);

// Of a method that has read its weights: what is in the slots.
void solve_node(solver::FreshByExcess& method, ShuffledTeam& team, solver::View<int> answer);
void solve_node(solver::RebalanceMethod& method, ShuffledTeam& team, solver::View<int> answer);
// Returns the mean time; path[m], m <= most: the least time with that number of moves.
int find_path(solver::RebalanceMethod& method, ShuffledTeam& team, int most,
              solver::View<int> path);

// The best change at a head, after that at the next one, which leaves nothing behind.
solver::Change best_change(solver::ExcessSearch& search, ShuffledTeam& team,
                           const solver::StepRules& rules, int head);

}  // namespace eplb::tests
