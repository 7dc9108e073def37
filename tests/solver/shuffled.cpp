#include "tests/solver/shuffled.h"

#include <vector>

namespace eplb::tests {
namespace {

template <class Method> Answer solve(const Layer& layer, uint32_t seed, Method method) {
  solver::Arena count(nullptr);
  solver::LayerAnswer room;
  method.lay_out(count);
  room.lay_out(count, method.problem);
  Memory memory(count.used(), 0x7f);
  solver::Arena arena(memory.data);
  method.lay_out(arena);
  room.lay_out(arena, method.problem);
  Answer answer(method.problem);
  std::vector<int> rank(layer.sizes.slots);
  const solver::Maps maps{{answer.physical_to_logical.data()},
                          {answer.replica_count.data()},
                          {answer.replica_slots.data()},
                          {rank.data()}};
  ShuffledTeam team(seed);
  layer.with_source([&](auto source) { solver::solve_layer(team, method, source, room, maps); });
  return answer;
}

}  // namespace

Answer shuffled(const Layer& layer, eplb_strategy strategy, eplb_effort effort, uint32_t seed) {
  return solver::with_method(layer.problem(strategy, effort),
                             [&](auto method) { return solve(layer, seed, method); });
}

void solve_node(solver::FreshByExcess& method, ShuffledTeam& team, solver::View<int> answer) {
  method.solve_node(team, 0, solver::all_chains(), answer);
}
void solve_node(solver::RebalanceMethod& method, ShuffledTeam& team, solver::View<int> answer) {
  method.solve_node(team, 0, solver::all_chains(), answer);
}
int find_path(solver::RebalanceMethod& method, ShuffledTeam& team, int most,
              solver::View<int> path) {
  return method.find_path(team, most, path);
}

solver::Change best_change(solver::ExcessSearch& search, ShuffledTeam& team,
                           const solver::StepRules& rules, int head) {
  return solver::with_step(search, rules, [&](auto step) {
    const int candidates = step.weigh(team);
    step.best(team, candidates, (head + 1) % search.state.gpus);
    return step.best(team, candidates, head);
  });
}

}  // namespace eplb::tests
