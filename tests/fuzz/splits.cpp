#include "splits.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "failure.h"

namespace eplb::fuzz {
namespace {

constexpr double kAll = 65536;  // shares of an expert; and what the fastest speed has of steps
constexpr double kRounding = 1e-9;

// A layer of a split, and what it is of.
struct Layer {
  const KnownWeights& weights;
  const KnownSplit& split;
  int64_t number;
  double total, slowest;  // the slowest speed, as a part of the fastest
  bool is_whole;          // are weights tokens?

  Layer(const Known& known, int64_t layer)
      : weights(*known.weights), split(*known.split), number(layer) {
    const double* const row = weights.row(layer);
    total = std::accumulate(row, row + weights.experts, 0.0);
    is_whole = total < 0x1p29 && std::all_of(row, row + weights.experts, [](double weight) {
                 return weight == std::floor(weight);
               });
    const std::vector<double>& speed = split.gpus.speed;
    slowest = 1;
    for (size_t gpu = 0; gpu < speed.size(); ++gpu)
      if (split.gpus.open[gpu] > 0)
        slowest = std::min(slowest, speed[gpu] / *std::max_element(speed.begin(), speed.end()));
  }
  const KnownQuotas& maps() const { return *split.maps; }
  int64_t slots() const { return split.problem.num_slots; }
  size_t at(int64_t slot) const { return static_cast<size_t>(number * slots() + slot); }
  size_t at_gpu(int64_t gpu) const {
    return static_cast<size_t>(number * split.gpus.count() + gpu);
  }
  int64_t expert(int64_t slot) const { return split.placement[at(slot)]; }
  double weight(int64_t expert) const { return weights.row(number)[expert]; }
  double speed(int64_t gpu) const {
    return split.gpus.speed.empty() ? 1 : split.gpus.speed[static_cast<size_t>(gpu)];
  }
  // Speeds are split by as steps of 1/65536 of the fastest.
  double rounding_of_speeds() const { return split.gpus.speed.empty() ? 0 : 4 / (kAll * slowest); }
  // What a token is, and so what each weight may lose.
  double unit() const { return is_whole ? 1 : total * 0x1p-27; }
};

bool is_lowest_of_gpu(const Layer& layer, int64_t slot) {
  for (int64_t lower = layer.split.gpus.of(slot) * layer.split.gpus.places; lower < slot; ++lower)
    if (layer.expert(lower) == layer.expert(slot)) return false;
  return true;
}

// Evenly, in proportion to speeds.
double even_share(const Layer& layer, int64_t slot) {
  double all = 0, own = 0;
  for (int64_t other = 0; other < layer.slots(); ++other) {
    if (layer.expert(other) != layer.expert(slot)) continue;
    const int64_t gpu = layer.split.gpus.of(other);
    all += layer.speed(gpu);
    if (gpu == layer.split.gpus.of(slot)) own += layer.speed(gpu);
  }
  return kAll * own / all;
}

void check_slot(const Layer& layer, int64_t slot) {
  const double quota = layer.maps().quota[layer.at(slot)];
  const auto share = static_cast<double>(layer.maps().share[layer.at(slot)]);
  REQUIRE(quota >= 0 && share >= 0 && share <= kAll);
  if (layer.expert(slot) < 0 || !is_lowest_of_gpu(layer, slot)) {
    REQUIRE(quota == 0 && share == 0);
    return;
  }
  const double weight = layer.weight(layer.expert(slot));
  const bool is_integer = layer.weights.dtype == EPLB_INT32 || layer.weights.dtype == EPLB_INT64;
  if (is_integer || layer.is_whole) REQUIRE(quota == std::floor(quota));
  if (weight == 0) {
    const double slack = 1 + kRounding + kAll * layer.rounding_of_speeds();
    REQUIRE(std::fabs(share - even_share(layer, slot)) <= slack);
  } else if (!layer.weights.is_tiny) {
    const double slack = layer.is_whole ? 0 : kAll * layer.unit() / weight;
    REQUIRE(std::fabs(share - quota / weight * kAll) <= 1 + kRounding + slack);
  }
}

void check_sums(const Layer& layer) {
  const KnownQuotas& maps = layer.maps();
  std::vector<double> sum(static_cast<size_t>(layer.weights.experts));
  std::vector<int64_t> shares(sum.size());
  for (int64_t slot = 0; slot < layer.slots(); ++slot) {
    check_slot(layer, slot);
    if (layer.expert(slot) < 0) continue;
    sum[static_cast<size_t>(layer.expert(slot))] += maps.quota[layer.at(slot)];
    shares[static_cast<size_t>(layer.expert(slot))] += maps.share[layer.at(slot)];
  }
  const bool is_integer = layer.weights.dtype == EPLB_INT32 || layer.weights.dtype == EPLB_INT64;
  for (int64_t expert = 0; expert < layer.weights.experts; ++expert) {
    const double weight = layer.weight(expert), own = sum[static_cast<size_t>(expert)];
    REQUIRE(shares[static_cast<size_t>(expert)] == static_cast<int64_t>(kAll));
    if ((is_integer || layer.is_whole) && weight < 0x1p53)
      REQUIRE(own == weight, "expert %lld has %.17g of %.17g", static_cast<long long>(expert), own,
              weight);
    else
      REQUIRE(layer.weights.is_tiny || std::fabs(own - weight) <= kRounding * weight);
  }
}

// Loads and the imbalance to the last bit. Returns the largest time.
double check_loads(const Layer& layer) {
  const KnownQuotas& maps = layer.maps();
  const Gpus& gpus = layer.split.gpus;
  double largest = 0;
  for (int64_t gpu = 0; gpu < gpus.count(); ++gpu) {
    double load = 0;
    for (int64_t k = 0; k < gpus.places; ++k) load += maps.quota[layer.at(gpu * gpus.places + k)];
    REQUIRE(layer.weights.is_tiny || load == maps.load[layer.at_gpu(gpu)]);
    if (gpus.open[static_cast<size_t>(gpu)] > 0)
      largest = std::max(largest, maps.load[layer.at_gpu(gpu)] / layer.speed(gpu));
  }
  const double imbalance = maps.imbalance[static_cast<size_t>(layer.number)];
  const auto open = static_cast<double>(gpus.open_gpus);
  REQUIRE(imbalance >= 1 && (layer.total > 0 || imbalance == 1));
  REQUIRE(layer.weights.is_tiny || imbalance == imbalance_of(layer.total, largest, open));
  return largest;
}

// The weight of experts that are on no other GPU than the tight ones, by the speeds of these.
double certified(const Layer& layer) {
  std::vector<bool> inside(static_cast<size_t>(layer.weights.experts), true);
  double weight = 0, speed = 0;
  for (int64_t slot = 0; slot < layer.slots(); ++slot)
    if (layer.expert(slot) >= 0 && layer.maps().tight[layer.at_gpu(layer.split.gpus.of(slot))] == 0)
      inside[static_cast<size_t>(layer.expert(slot))] = false;
  for (int64_t expert = 0; expert < layer.weights.experts; ++expert)
    if (inside[static_cast<size_t>(expert)]) weight += layer.weight(expert);
  for (int64_t gpu = 0; gpu < layer.split.gpus.count(); ++gpu) {
    const int64_t tight = layer.maps().tight[layer.at_gpu(gpu)];
    // Nothing has no tokens, too.
    const bool can_have_tokens =
        layer.total == 0 || layer.split.gpus.open[static_cast<size_t>(gpu)] > 0;
    REQUIRE(tight == 0 || (tight == 1 && can_have_tokens));
    if (tight) speed += layer.speed(gpu);
  }
  if (layer.total == 0) return 0;
  REQUIRE(speed > 0);
  return weight / speed;
}

// No GPU has a token or more above the bound, times its speed.
void check_bound(const Layer& layer, double largest) {
  const double bound = layer.maps().bound[static_cast<size_t>(layer.number)];
  const double own = certified(layer);
  if (layer.weights.is_tiny) return;
  REQUIRE(bound <= own && bound >= own * (1 - kRounding), "bound %.17g of %.17g", bound, own);
  REQUIRE(bound <= largest);
  const double goal =
      bound * (1 + *layer.split.tolerance) * (1 + kRounding + layer.rounding_of_speeds());
  const auto places = static_cast<double>(layer.split.gpus.places);
  for (int64_t gpu = 0; gpu < layer.split.gpus.count(); ++gpu) {
    const double load = layer.maps().load[layer.at_gpu(gpu)], most = goal * layer.speed(gpu);
    if (layer.is_whole)
      REQUIRE(load < most + 1, "load %.17g, bound %.17g", load, most);
    else
      REQUIRE(load <= most + (1 + places) * layer.unit(), "load %.17g, bound %.17g", load, most);
  }
}

KnownQuotas fetch_maps(Subject& subject, const KnownSplit& split) {
  const auto whole = [&](eplb_map map) {
    return subject.fetch_whole(map, dims_of(map, split).elements());
  };
  const auto real = [&](eplb_map map) {
    return subject.fetch_real(map, dims_of(map, split).elements());
  };
  return {whole(EPLB_MAP_SHARE),     whole(EPLB_MAP_SPLIT_TIGHT),    real(EPLB_MAP_QUOTA),
          real(EPLB_MAP_SPLIT_LOAD), real(EPLB_MAP_SPLIT_IMBALANCE), real(EPLB_MAP_SPLIT_BOUND)};
}

}  // namespace

Dims dims_of(eplb_map map, const KnownSplit& split) {
  switch (map) {
    case EPLB_MAP_SHARE:
    case EPLB_MAP_QUOTA: return {2, {split.layers, split.problem.num_slots, 1, 1}};
    case EPLB_MAP_SPLIT_LOAD:
    case EPLB_MAP_SPLIT_TIGHT: return {2, {split.layers, split.problem.num_gpus, 1, 1}};
    default: return {1, {split.layers, 1, 1, 1}};
  }
}

void check_split(Subject& subject) {
  std::optional<KnownSplit>& split = subject.known.split;
  if (!split || !split->tolerance) return;
  const KnownQuotas maps = fetch_maps(subject, *split);
  REQUIRE(!split->maps || *split->maps == maps);
  if (split->maps) return;
  split->maps = maps;
  for (int64_t layer = 0; layer < split->layers; ++layer) {
    const Layer own(subject.known, layer);
    check_sums(own);
    check_bound(own, check_loads(own));
  }
}

}  // namespace eplb::fuzz
