// Static dispatch: the answers of its plain definition, and the same on every team.
#define EPLB_PLAIN_LANES
#include "solver/split/static_dispatch.h"

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
        node(given.at("nodes")),
        limits{given.at("ranks"), given.at("tolerance"), given.at("most_swaps")} {
    problem.experts = static_cast<int>(tokens.size());
    problem.cluster.slots = static_cast<int>(row.size());
    problem.cluster.gpus = static_cast<int>(pace.size());
    problem.cluster.nodes = node.back() + 1;
    problem.cluster.gpu_node = node.data();
    if (std::set(pace.begin(), pace.end()).size() > 1) problem.cluster.gpu_pace = pace.data();
    if (given.at("within_nodes")) problem.partition.nodes = problem.cluster.nodes;
    tokens.resize(tokens.size() + 64);
  }
  DispatchCase(const DispatchCase&) = delete;

  Problem problem;
  std::vector<int> row, tokens;
  std::vector<int32_t> pace, node;
  solver::StaticDispatchLimits limits;
};

json dispatch(const DispatchCase& c, auto&& team) {
  const LaidOut<solver::SplitGraph> graph(c.problem);
  const LaidOut<solver::GraphWorkspace> making(c.problem);
  const LaidOut<solver::SplitWorkspace> split(c.problem);
  const LaidOut<solver::StaticDispatchWorkspace> at(c.problem);
  std::vector<int> tokens = c.tokens, row(c.row.size());
  solver::make_graph(team, c.problem, c.row.data(), *making, *graph);
  solver::Splitter(c.problem.cluster, *graph, {tokens.data()}, 0, *split).split(team);
  const solver::StaticDispatcher dispatcher(c.problem, c.row.data(), *graph, *split,
                                            {tokens.data()}, c.limits, *at);
  json answer;
  answer["swaps"] = dispatcher.dispatch(team);
  answer["tries"] = at->tries[0];
  answer["load"] = std::vector<int64_t>(at->load.data, at->load.data + c.problem.cluster.gpus);
  dispatcher.write_placement(team, {row.data()});
  answer["row"] = row;
  const size_t experts = static_cast<size_t>(c.problem.experts);
  std::vector<int> table(experts * static_cast<size_t>(c.limits.ranks));
  dispatcher.assign(team, {table.data()});
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
