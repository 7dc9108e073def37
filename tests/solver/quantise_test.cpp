// Weights to integers, against exact arithmetic.
#include "solver/layer/quantise.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

std::vector<int> quantised(const nlohmann::json& weights, bool whole) {
  std::vector<double> real;
  std::vector<int64_t> integers;
  for (const auto& w : weights) {
    if (whole)
      integers.push_back(w.is_string() ? std::stoll(w.get<std::string>()) : w.get<int64_t>());
    else
      real.push_back(w.is_string() ? std::stod(w.get<std::string>()) : w.get<double>());
  }
  std::vector<int> q(weights.size() + 64);
  const int n = static_cast<int>(weights.size());
  ShuffledTeam team(1);
  if (whole)
    solver::quantise(team, solver::WholeWeights{integers.data()}, n, {q.data()});
  else
    solver::quantise(team, solver::RealWeights{real.data()}, n, {q.data()});
  q.resize(n);
  return q;
}

// The bits of -0 are those of a negative number.
TEST(Quantise, LayersOfNegativeZerosAreLayersOfZeros) {
  EXPECT_EQ(quantised({-0.0, -0.0, -0.0}, false), quantised({0.0, 0.0, 0.0}, false));
  EXPECT_EQ(quantised({-0.0, 3.0, -0.0}, false), quantised({0.0, 3.0, 0.0}, false));
}

TEST(Quantise, EqualsTheReference) {
  std::ifstream file(EPLB_VECTORS);
  const nlohmann::json vectors = nlohmann::json::parse(file);
  ASSERT_GE(vectors["quanta"].size(), 5u);
  for (const auto& c : vectors["quanta"]) {
    const bool whole = c["dtype"].get<std::string>().starts_with("int");
    nlohmann::json weights = c["weights"];
    if (c["dtype"] == "float32")
      for (auto& w : weights)
        w = static_cast<double>(w.is_string() ? std::stof(w.get<std::string>()) : w.get<float>());
    EXPECT_EQ(quantised(weights, whole), c["quanta"].get<std::vector<int>>()) << c.dump();
  }
}

TEST(Quantise, SumsStayBelowTheLimitAndUseIt) {
  for (int n : {1, 2, 3, 64, 257, 4096}) {
    for (const double scale : {5e-324, 1e-310, 1e-30, 1.0, 3.7e9, 1e300}) {
      nlohmann::json weights;
      for (int e = 0; e < n; ++e) weights.push_back(scale * (1 + e % 7));
      int64_t sum = 0;
      for (const int q : quantised(weights, false)) {
        EXPECT_GE(q, 1);
        sum += q;
      }
      EXPECT_LT(sum, int64_t{1} << 29);
      EXPECT_GE(sum, (int64_t{1} << 28) - n);
    }
  }
}

}  // namespace
}  // namespace eplb::tests
