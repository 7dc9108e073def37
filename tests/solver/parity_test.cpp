// The same bits from every instruction set and from a shuffled warp, on the golden vectors and on
// random problems. Working memory is filled with rubbish before every solve: an answer must not
// depend on what was there.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/solver/many_layers.h"
#include "tests/solver/shuffled.h"
#include "tests/solver/trials.h"

namespace eplb::tests {
namespace {

void expect_one_answer(const Layer& layer, uint32_t seed, eplb_strategy strategy,
                       eplb_effort effort) {
  SCOPED_TRACE(layer.name + ", strategy " + std::to_string(strategy) + ", effort " +
               std::to_string(effort));
  const Answer reference = shuffled(layer, strategy, effort, seed);
  for (const cpu::InstructionSet* instruction_set : cpu::instruction_sets()) {
    if (!instruction_set->supported()) continue;
    SCOPED_TRACE(instruction_set->name);
    for (const int rubbish : {0x00, 0x7f, 0x81, 0xff})
      EXPECT_TRUE(solve_on(*instruction_set, layer, strategy, effort, rubbish) == reference);
  }
}

// The strategies of many chains are as slow on a shuffled warp as they are thorough: `last` may
// leave them out.
void expect_one_answer(const Layer& layer, uint32_t seed, eplb_strategy last) {
  for (eplb_strategy strategy = EPLB_STRATEGY_GREEDY; strategy <= last; ++strategy)
    expect_one_answer(layer, seed, strategy, EPLB_EFFORT_NORMAL);
  for (const eplb_effort effort : {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX})
    if (effort == EPLB_EFFORT_FAST || layer.sizes.slots <= 100)
      expect_one_answer(layer, seed, EPLB_STRATEGY_BEST, effort);
}

TEST(Parity, GoldenVectors) {
  const std::vector<Layer> layers = golden_layers();
  ASSERT_GT(layers.size(), 20u);
  for (size_t i = 0; i < layers.size(); ++i)
    expect_one_answer(layers[i], static_cast<uint32_t>(2 * i), EPLB_STRATEGY_HYBRID_INIT);
}

class RandomProblems : public testing::TestWithParam<uint32_t> {};
TEST_P(RandomProblems, OneAnswer) {
  for (uint32_t seed = 100 * GetParam() + 1; seed <= 100 * GetParam() + 100; ++seed)
    expect_one_answer(random_layer(seed), seed,
                      seed % 12 == 0 ? EPLB_STRATEGY_HYBRID_INIT : EPLB_STRATEGY_RANDOM_RESTARTS);
}
INSTANTIATE_TEST_SUITE_P(Hundreds, RandomProblems, testing::Range(0u, trials(10)));

TEST(Parity, DeepSeekSized) {
  for (const auto& [slots, gpus] :
       {std::pair{288, 32}, {320, 64}, {288, 72}, {384, 128}, {288, 144}}) {
    Layer layer = random_layer(2);
    layer.sizes = {256, slots, gpus};
    layer.seed = 0;
    layer.max_replicas = 0;
    layer.name = std::to_string(slots) + "/" + std::to_string(gpus);
    layer.whole.clear();
    layer.real.clear();
    std::mt19937 random(slots);
    std::lognormal_distribution<double> weight(9, 0.7);
    for (int e = 0; e < 256; ++e) layer.real.push_back(std::floor(weight(random)));
    expect_one_answer(layer, static_cast<uint32_t>(gpus), EPLB_STRATEGY_RANDOM_RESTARTS);
  }
}

TEST(Parity, UnequalGpus) {
  for (uint32_t seed = 1; seed <= trials(150); ++seed) {
    Layer layer = random_layer(seed);
    layer.cluster = random_cluster(seed, layer.sizes, seed % 3 > 0);
    layer.name += " of unequal GPUs";
    layer.max_replicas = 0;
    const bool speeds = layer.problem(EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_FAST).cluster.gpu_speed;
    for (eplb_strategy strategy = speeds ? EPLB_STRATEGY_LPT_SWAP : EPLB_STRATEGY_GREEDY;
         strategy <= (seed % 12 ? EPLB_STRATEGY_RANDOM_RESTARTS : EPLB_STRATEGY_HYBRID_INIT);
         ++strategy)
      expect_one_answer(layer, seed, strategy, EPLB_EFFORT_NORMAL);
    expect_one_answer(layer, seed, EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL);
  }
}

void expect_one_path(const Layer& layer, uint32_t seed) {
  constexpr int kMost = 12;
  const Problem problem = layer.problem(EPLB_STRATEGY_REBALANCE, EPLB_EFFORT_FAST);
  solver::RebalanceMethod method(problem);
  solver::Arena count(nullptr);
  method.lay_out(count);
  Memory room(count.used(), 0x7f);
  solver::Arena arena(room.data);
  method.lay_out(arena);
  ShuffledTeam team(seed);
  layer.with_source([&](auto source) { method.read(team, source); });
  std::vector<int32_t> want(kMost + 1);
  const int mean = find_path(method, team, kMost, {want.data()});
  for (const cpu::InstructionSet* instruction_set : cpu::instruction_sets()) {
    if (!instruction_set->supported()) continue;
    Memory memory(instruction_set->workspace_bytes(problem), 0x81);
    std::vector<int32_t> path(kMost + 1);
    int32_t own_mean = 0;
    instruction_set->find_path(problem, {0, layer.weights(), kMost, path.data(), &own_mean},
                               {memory.data});
    EXPECT_EQ(path, want) << layer.name << ", " << instruction_set->name;
    EXPECT_EQ(own_mean, mean);
  }
}

TEST(Parity, Rebalance) {
  for (uint32_t seed = 1; seed <= trials(120); ++seed) {
    const Layer layer = random_rebalance(seed);
    expect_one_answer(layer, seed, EPLB_STRATEGY_REBALANCE, EPLB_EFFORT_FAST);
    if (layer.sizes.slots <= 60 || seed % 16 == 0)
      expect_one_answer(layer, seed, EPLB_STRATEGY_REBALANCE, EPLB_EFFORT_NORMAL);
    if (layer.sizes.slots <= 30)
      expect_one_answer(layer, seed, EPLB_STRATEGY_REBALANCE, EPLB_EFFORT_MAX);
    expect_one_path(layer, seed);
  }
}

TEST(Parity, Windows) {
  for (uint32_t seed = 1; seed <= trials(60); ++seed) {
    std::mt19937 random(seed);
    Layer layer = seed % 2 ? random_layer(seed) : random_rebalance(seed);
    if (layer.sizes.slots > 150) continue;
    const eplb_strategy strategy =
        layer.current.empty() ? EPLB_STRATEGY_BEST : EPLB_STRATEGY_REBALANCE;
    if (seed % 4 == 1) layer.cluster = random_cluster(seed, layer.sizes, seed % 8 == 1);
    if (!layer.cluster.slots.empty()) layer.max_replicas = 0;
    split_into_windows(layer, random);
    layer.name += " in " + std::to_string(layer.windows) + " windows";
    expect_one_answer(layer, seed, strategy, EPLB_EFFORT_FAST);
    if (layer.sizes.slots <= 60) expect_one_answer(layer, seed, strategy, EPLB_EFFORT_NORMAL);
  }
}

TEST(Parity, Splits) {
  constexpr double kTargets[] = {0, 1, 1.1};
  for (uint32_t seed = 1; seed <= trials(90); ++seed) {
    Layer layer = random_layer(seed);
    if (layer.sizes.slots > 150) continue;
    layer.sizes.for_splits = true;
    layer.limits.target = kTargets[seed % 3];
    if (seed % 4 == 1) layer.cluster = random_cluster(seed, layer.sizes, seed % 8 == 1);
    if (!layer.cluster.slots.empty()) layer.max_replicas = 0;
    layer.name += " for splits";
    expect_one_answer(layer, seed, EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST);
    if (layer.sizes.slots <= 60)
      expect_one_answer(layer, seed, EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL);
  }
}

TEST(Parity, Soft) {
  for (uint32_t seed = 1; seed <= trials(60); ++seed) {
    const Layer layer = random_soft(seed);
    if (layer.sizes.slots > 150) continue;
    const eplb_strategy strategy =
        layer.current.empty() ? EPLB_STRATEGY_BEST : EPLB_STRATEGY_REBALANCE;
    expect_one_answer(layer, seed, strategy, EPLB_EFFORT_FAST);
    if (layer.sizes.slots <= 60) expect_one_answer(layer, seed, strategy, EPLB_EFFORT_NORMAL);
  }
}

TEST(Parity, EveryTargetOfThisMachineRan) {
  int ran = 0;
  for (const cpu::InstructionSet* instruction_set : cpu::instruction_sets())
    ran += instruction_set->supported();
  EXPECT_GE(ran, 1);
  EXPECT_STREQ((*(cpu::instruction_sets().end() - 1))->name, "plain");
}

}  // namespace
}  // namespace eplb::tests
