// The same bits from every instruction set and from a shuffled warp, on the golden vectors and on
// random problems. Working memory is filled with rubbish before every solve: an answer must not
// depend on what was there.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "machines/cpu/instruction_set.h"
#include "solver/strategies/all.h"
#include "tests/solver/problems.h"
#include "tests/solver/shuffled_team.h"
#include "tests/solver/trials.h"

namespace eplb::tests {
namespace {

struct Answer {
  std::vector<int32_t> physical_to_logical, replica_count, replica_slots;
  bool operator==(const Answer&) const = default;

  explicit Answer(const Problem& problem)
      : physical_to_logical(problem.cluster.slots),
        replica_count(problem.experts),
        replica_slots(problem.cluster.slots) {}
};

struct Layer {
  Sizes sizes;
  uint64_t seed;
  int64_t max_replicas;
  std::vector<double> real;
  std::vector<int64_t> whole;
  std::string name;
  ClusterArrays cluster{};
  std::vector<int32_t> current{};  // for a rebalance, like its limits
  eplb_solve_options limits{};
  int windows = 1;  // that are kept apart, [T,E]
  std::vector<double> real_windows{};
  std::vector<int64_t> whole_windows{};
  std::vector<int32_t> window_share{}, prices{};  // [T], [N,Q]

  Problem problem(eplb_strategy strategy, eplb_effort effort) const {
    eplb_solve_options options = limits;
    options.strategy = strategy;
    options.effort = effort;
    options.seed = seed;
    options.max_replicas = max_replicas;
    Problem checked = problem_of(sizes, options, 1, EPLB_BOUND_SIMPLE, cluster);
    if (!current.empty()) checked.current.expert = current.data();
    checked.windows_apart = windows;
    if (!window_share.empty()) checked.window_share = window_share.data();
    if (!prices.empty())
      checked.prices = {
          .units = prices.data(), .shares = nullptr, .columns = static_cast<int>(sizes.groups)};
    return checked;
  }
  LayerWeights weights() const {
    return {real.empty() ? nullptr : real.data(), whole.empty() ? nullptr : whole.data(),
            real_windows.data(), whole_windows.data(), sizes.experts};
  }
  void with_source(auto use) const {
    if (whole.empty())
      use(solver::RealWeights{real.data(), real_windows.data(), sizes.experts});
    else
      use(solver::WholeWeights{whole.data(), whole_windows.data(), sizes.experts});
  }
};

struct Memory {
  explicit Memory(int64_t bytes, int rubbish)
      : data(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64))) {
    std::memset(data, rubbish, bytes);
  }
  ~Memory() { std::free(data); }
  char* data;
};

Answer solve_on(const cpu::InstructionSet& instruction_set, const Layer& layer,
                eplb_strategy strategy, eplb_effort effort, int rubbish) {
  const Problem problem = layer.problem(strategy, effort);
  Memory memory(instruction_set.workspace_bytes(problem), rubbish);
  Answer answer(problem);
  const cpu::LayerTask task{0, layer.weights(), answer.physical_to_logical.data(),
                            answer.replica_count.data(), answer.replica_slots.data()};
  instruction_set.solve(problem, task, memory.data);
  return answer;
}

template <class Method> Answer shuffled(const Layer& layer, uint32_t seed, Method method) {
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

Answer shuffled(const Layer& layer, eplb_strategy strategy, eplb_effort effort, uint32_t seed) {
  return solver::with_method(layer.problem(strategy, effort),
                             [&](auto method) { return shuffled(layer, seed, method); });
}

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

// The layers of a golden case that has answers; its windows must be one.
std::vector<Layer> golden_layers() {
  std::vector<Layer> layers;
  std::ifstream file(EPLB_VECTORS);
  const nlohmann::json vectors = nlohmann::json::parse(file);
  for (const auto& c : vectors["cases"]) {
    if (!c.contains("answers") || c["shape"][0] != 1) continue;
    const int experts = c["shape"][2], count = c["shape"][1];
    const auto& p = c["problem"];
    const bool hierarchical = c["policy_used"] == "hierarchical";
    const int groups = std::max(p["num_groups"].get<int>(), 1);
    const int cap = c.contains("options") ? c["options"].value("max_replicas", 0) : 0;
    for (int l = 0; l < count; ++l) {
      Layer layer{{experts, p["num_slots"], p["num_gpus"], hierarchical ? int(p["num_nodes"]) : 1,
                   hierarchical ? groups : 1},
                  7,
                  cap,
                  {},
                  {},
                  c["name"].get<std::string>() + " layer " + std::to_string(l)};
      for (int e = 0; e < experts; ++e) {
        const auto& w = c["weights"][l * experts + e];
        const bool whole = c["dtype"].get<std::string>().starts_with("int");
        if (whole)
          layer.whole.push_back(w.is_string() ? std::stoll(w.get<std::string>())
                                              : w.get<int64_t>());
        else
          layer.real.push_back(w.is_string() ? std::stod(w.get<std::string>()) : w.get<double>());
      }
      if (!layer.real.empty() && c["dtype"] == "float32")
        for (double& w : layer.real) w = static_cast<float>(w);
      layers.push_back(std::move(layer));
    }
  }
  return layers;
}

Layer random_layer(uint32_t seed) {
  std::mt19937 random(seed);
  auto below = [&](int n) { return static_cast<int>(random() % n); };
  const int nodes = 1 + below(4) % 3, gpus = nodes * (1 + below(seed % 10 == 0 ? 80 : 20)),
            groups = nodes * (1 + below(3));
  const int experts = groups * (1 + below(seed % 7 == 0 ? 60 : 12));
  const int least = (experts + gpus - 1) / gpus, per_gpu = least + below(4);
  const int slots = per_gpu * gpus;
  const int cap = below(4) == 0 ? (slots + experts - 1) / experts + below(3) : 0;
  Layer layer{{experts, slots, gpus, nodes, groups}, uint64_t{seed} << 30, cap, {}, {},
              "random " + std::to_string(seed)};
  const int kind = below(5);
  std::lognormal_distribution<double> lognormal(10, 1.2);
  for (int e = 0; e < experts; ++e) {
    if (kind == 0)
      layer.whole.push_back(below(6));  // ties everywhere
    else if (kind == 1)
      layer.whole.push_back(below(1000000));
    else if (kind == 2)
      layer.real.push_back(std::floor(lognormal(random)));
    else if (kind == 3)
      layer.real.push_back(lognormal(random) * 1e-3);
    else
      layer.real.push_back(below(8) == 0 ? 0.0 : lognormal(random) * (below(9) == 0 ? 30 : 1));
  }
  return layer;
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

// Equal nodes, of which each has room for its experts.
ClusterArrays random_cluster(uint32_t seed, const Sizes& sizes, bool speeds) {
  std::mt19937 random(seed);
  const auto gpus = static_cast<size_t>(sizes.gpus / sizes.nodes);
  const int64_t places = sizes.slots / sizes.gpus;
  std::vector<int64_t> slots(gpus);
  std::vector<double> speed(gpus, 1);
  do {
    for (int64_t& count : slots)
      count = random() % 2 ? places : static_cast<int64_t>(random()) % (places + 1);
  } while (std::accumulate(slots.begin(), slots.end(), int64_t{0}) < sizes.experts / sizes.nodes);
  if (speeds)
    for (double& each : speed) each = 1.0 / static_cast<double>(1 + random() % 4);
  for (int64_t g = 0; g < sizes.gpus - sizes.gpus / sizes.nodes; ++g) {
    slots.push_back(slots[static_cast<size_t>(g)]);
    speed.push_back(speed[static_cast<size_t>(g)]);
  }
  return read_cluster(slots.data(), speed.data(), nullptr, sizes.gpus);
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

// Where experts were before the weights and the cluster became what they are, with holes.
std::vector<int32_t> random_current(std::mt19937& random, Layer layer) {
  std::shuffle(layer.real.begin(), layer.real.end(), random);
  std::shuffle(layer.whole.begin(), layer.whole.end(), random);
  layer.cluster = {};
  const cpu::InstructionSet& plain = **(cpu::instruction_sets().end() - 1);
  std::vector<int32_t> current =
      solve_on(plain, layer, EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_FAST, 0).physical_to_logical;
  const auto per_gpu = static_cast<size_t>(layer.sizes.slots / layer.sizes.gpus);
  if (random() % 4 == 0) std::fill_n(current.begin(), per_gpu, -1);
  const unsigned holes = random() % 3 == 0 ? 8 : 0;  // in 64
  for (int32_t& expert : current)
    if (random() % 64 < holes) expert = -1;
  return current;
}

eplb_solve_options random_limits(std::mt19937& random, int64_t slots) {
  auto one_of = [&](auto... values) {
    const double all[] = {static_cast<double>(values)...};
    return all[random() % (sizeof all / sizeof *all)];
  };
  eplb_solve_options limits{};
  limits.max_moves =
      random() % 2 ? -1 : static_cast<int64_t>(random()) % std::min<int64_t>(slots, 40);
  limits.max_moves_total = -1;
  limits.max_arrivals = static_cast<int64_t>(one_of(0, 0, 1, 2));
  limits.target = one_of(-1, 0, 1, 1.01, 1.2);
  limits.move_price = one_of(0, 0, 0, 1e-4, 0.01);
  limits.allow_empty = random() % 2 ? 1 : 0;
  return limits;
}

Layer random_rebalance(uint32_t seed) {
  std::mt19937 random(seed);
  Layer layer = random_layer(seed);
  layer.current = random_current(random, layer);
  layer.limits = random_limits(random, layer.sizes.slots);
  if (seed % 3 > 0) layer.cluster = random_cluster(seed, layer.sizes, seed % 3 > 1);
  layer.name += " from a current placement";
  return layer;
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
  const int mean = method.find_path(team, kMost, {want.data()});
  for (const cpu::InstructionSet* instruction_set : cpu::instruction_sets()) {
    if (!instruction_set->supported()) continue;
    Memory memory(instruction_set->workspace_bytes(problem), 0x81);
    std::vector<int32_t> path(kMost + 1);
    int32_t own_mean = 0;
    instruction_set->find_path(problem, {0, layer.weights(), kMost, path.data(), &own_mean},
                               memory.data);
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

// A few windows whose sum is the layer's, or near it; some have no weight.
void split_into_windows(Layer& layer, std::mt19937& random) {
  layer.windows = 2 + static_cast<int>(random() % 4);
  const size_t experts = layer.sizes.experts;
  layer.real_windows.assign(layer.real.empty() ? 0 : layer.windows * experts, 0);
  layer.whole_windows.assign(layer.whole.empty() ? 0 : layer.windows * experts, 0);
  for (int t = 0; t < layer.windows; ++t)
    for (size_t e = 0; e < experts && (t == 0 || random() % 64); ++e) {
      const auto part = static_cast<int>(random() % 8);
      if (!layer.real.empty()) layer.real_windows[t * experts + e] = layer.real[e] / 8 * part;
      if (!layer.whole.empty()) layer.whole_windows[t * experts + e] = layer.whole[e] / 8 * part;
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

// Groups as wishes, with whatever else a layer may have.
Layer random_soft(uint32_t seed) {
  std::mt19937 random(seed);
  Layer layer = seed % 2 ? random_layer(seed) : random_rebalance(seed);
  if (seed % 4 == 1) layer.cluster = random_cluster(seed, layer.sizes, seed % 8 == 1);
  layer.sizes.soft = true;
  layer.sizes.nodes = 1 + static_cast<int64_t>(random() % 5);
  layer.sizes.groups = 1 + static_cast<int64_t>(random()) % layer.sizes.experts;
  if (!layer.cluster.slots.empty()) layer.max_replicas = 0;
  if (seed % 5 < 2) split_into_windows(layer, random);
  for (int t = 0; seed % 5 == 0 && t < layer.windows; ++t)
    layer.window_share.push_back(t == 0 ? kWindowShare : static_cast<int>(random() % kWindowShare));
  for (int64_t i = 0; seed % 7 == 0 && i < layer.sizes.nodes * layer.sizes.groups; ++i)
    layer.prices.push_back(static_cast<int>(random() % (kPriceUnits + 1)));
  layer.name += ", soft";
  return layer;
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
