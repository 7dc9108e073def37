// Static dispatch: the answers of its plain definition, and the same on every team.
#define EPLB_PLAIN_LANES
#include "solver/split/layer_dispatch.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "machines/cpu/host_team.h"
#include "tests/solver/laid_out.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

using nlohmann::json;

json vectors() {
  std::ifstream file(EPLB_STATIC_DISPATCH);
  return json::parse(file);
}

struct DispatchCase {
  explicit DispatchCase(const json& given)
      : row(given.at("row")),
        tokens(given.at("tokens")),
        pace(given.at("paces")),
        node(given.at("nodes")) {
    problem.dispatch = {given.at("ranks"), given.at("tolerance"), given.at("most_swaps")};
    problem.experts = static_cast<int>(tokens.size());
    problem.cluster.slots = static_cast<int>(row.size());
    problem.cluster.gpus = static_cast<int>(pace.size());
    problem.cluster.nodes = node.back() + 1;
    problem.cluster.gpu_node = node.data();
    if (std::set(pace.begin(), pace.end()).size() > 1) problem.cluster.gpu_pace = pace.data();
    slots.assign(pace.size(), problem.cluster.slots / problem.cluster.gpus);
    for (const int g : given.at("closed")) {
      problem.cluster.closed += slots[g];
      problem.cluster.closed_gpus += 1;
      slots[g] = 0;
    }
    if (problem.cluster.closed > 0) problem.cluster.gpu_slots = slots.data();
    if (given.at("within_nodes")) problem.partition.nodes = problem.cluster.nodes;
  }
  DispatchCase(const DispatchCase&) = delete;

  Problem problem;
  std::vector<int> row;
  std::vector<int64_t> tokens;
  std::vector<int32_t> pace, node, slots;
};

json dispatch(const DispatchCase& c, auto&& team) {
  const LaidOut<solver::SplitGraph> graph(c.problem);
  const LaidOut<solver::GraphWorkspace> making(c.problem);
  const LaidOut<solver::LayerDispatchWorkspace> at(c.problem);
  const size_t experts = static_cast<size_t>(c.problem.experts);
  std::vector<int> row(c.row.size()), units(c.row.size());
  std::vector<int> table(experts * static_cast<size_t>(c.problem.dispatch.ranks));
  std::vector<int> tight(static_cast<size_t>(c.problem.cluster.gpus));
  solver::make_graph(team, c.problem, c.row.data(), *making, *graph);
  json answer;
  answer["swaps"] = solver::dispatch_layer(
      team, c.problem, c.row.data(), *graph, solver::WholeWeights{c.tokens.data()}, *at,
      {{row.data()}, {units.data()}, {table.data()}, {tight.data()}});
  answer["tries"] = at->dispatch.tries[0];
  const int64_t* load = at->dispatch.load.data;
  answer["load"] = std::vector<int64_t>(load, load + c.problem.cluster.gpus);
  answer["row"] = row;
  answer["units"] = units;
  for (auto from = table.begin(); from != table.end(); from += c.problem.experts)
    answer["table"].push_back(std::vector<int>(from, from + c.problem.experts));
  return answer;
}

TEST(StaticDispatch, AnswersItsVectors) {
  int number = 0, swaps = 0, tries = 0;
  for (const json& c : vectors()) {
    SCOPED_TRACE(number++);
    const json answer =
        dispatch(DispatchCase(c["given"]), solver::HostTeam(solver::View<int64_t>{nullptr}));
    EXPECT_EQ(answer, c["answer"]);
    swaps += answer["swaps"].get<int>() > 0;
    tries += answer["tries"].get<int>() > 0;
  }
  EXPECT_GT(number, 50);
  EXPECT_GT(swaps, 10);
  EXPECT_GT(tries, 20);
}

TEST(StaticDispatch, IsTheSameOnEveryTeam) {
  uint32_t seed = 1;
  for (const json& c : vectors())
    EXPECT_EQ(dispatch(DispatchCase(c["given"]), ShuffledTeam(++seed)), c["answer"]) << seed;
}

}  // namespace
}  // namespace eplb::tests
