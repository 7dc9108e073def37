// Layers of every kind: those of the golden vectors, and random ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/solver/solved_layer.h"

namespace eplb::tests {

// The layers of a golden case that has answers; its windows must be one.
inline std::vector<Layer> golden_layers() {
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

inline Layer random_layer(uint32_t seed) {
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

// Equal nodes, of which each has room for its experts.
inline ClusterArrays random_cluster(uint32_t seed, const Sizes& sizes, bool speeds) {
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

// Where experts were before the weights and the cluster became what they are, with holes.
inline std::vector<int32_t> random_current(std::mt19937& random, Layer layer) {
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

inline eplb_solve_options random_limits(std::mt19937& random, int64_t slots) {
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

inline Layer random_rebalance(uint32_t seed) {
  std::mt19937 random(seed);
  Layer layer = random_layer(seed);
  layer.current = random_current(random, layer);
  layer.limits = random_limits(random, layer.sizes.slots);
  if (seed % 3 > 0) layer.cluster = random_cluster(seed, layer.sizes, seed % 3 > 1);
  layer.name += " from a current placement";
  return layer;
}

// A few windows whose sum is the layer's, or near it; some have no weight.
inline void split_into_windows(Layer& layer, std::mt19937& random) {
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

// Groups as wishes, with whatever else a layer may have.
inline Layer random_soft(uint32_t seed) {
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

}  // namespace eplb::tests
