#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "draw.h"

namespace eplb::fuzz {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A GPU of a cluster, before it is known which arrays there are.
struct DrawnGpu {
  int64_t open, node;
  double speed;
};

std::vector<DrawnGpu> draw_gpus(const Shape& shape, bool equal_nodes, bool far, Random& random) {
  constexpr double kSpeeds[] = {1, 2, 0.5, 1.0 / 3, 1e-6, 1e300};
  const int64_t places = shape.slots / shape.gpus;
  const int64_t each = std::max<int64_t>(shape.gpus / shape.nodes, 1);
  std::vector<DrawnGpu> gpus;
  for (int64_t gpu = 0; gpu < shape.gpus; ++gpu) {
    gpus.push_back({random.one_in(3) ? random.below(places + 1) : places, random.below(shape.nodes),
                    kSpeeds[random.below(far ? 6 : 3)]});
    if (!equal_nodes) continue;
    gpus.back() = gpus[static_cast<size_t>(gpu % each)];
    gpus.back().node = gpu / each % shape.nodes;
  }
  return gpus;
}

// One number that cannot be.
void spoil(Bytes& bytes, const Shape& shape, KnownCluster& cluster) {
  constexpr double kBad[] = {0, -1, kInfinity, kNaN};
  const auto at = static_cast<size_t>(bytes.below(shape.gpus));
  if (!cluster.slots.empty()) cluster.slots[at] = draw_near(bytes, shape.slots / shape.gpus);
  if (!cluster.speeds.empty()) cluster.speeds[at] = bytes.pick(kBad);
  if (!cluster.nodes.empty()) cluster.nodes[at] = draw_near(bytes, shape.nodes);
}

bool are_from_0(const std::vector<int64_t>& values, int64_t most) {
  return std::all_of(values.begin(), values.end(),
                     [most](int64_t value) { return value >= 0 && value <= most; });
}

bool is_legal_cluster(const KnownCluster& cluster) {
  return are_from_0(cluster.slots, kMostSlots) && are_from_0(cluster.nodes, kMostSlots - 1) &&
         std::all_of(cluster.speeds.begin(), cluster.speeds.end(),
                     [](double speed) { return speed > 0 && std::isfinite(speed); }) &&
         (cluster.slots.empty() || std::any_of(cluster.slots.begin(), cluster.slots.end(),
                                               [](int64_t open) { return open > 0; }));
}

// Finite, not negative, one above 0.
bool matter(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](double value) { return value >= 0 && std::isfinite(value); }) &&
         std::any_of(values.begin(), values.end(), [](double value) { return value > 0; });
}

std::vector<double> draw_shares(Bytes& bytes, int64_t count) {
  constexpr double kShares[] = {1, 0, 0.5, 2, 1e-6, 3, 1e300, 5e-324};
  const uint8_t kinds = bytes.byte();
  Random random = bytes.random();
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = kShares[random.below(kinds % 2 ? 8 : 4)];
  constexpr double kBad[] = {-1, kInfinity, kNaN};
  if (kinds >= 248) values[static_cast<size_t>(random.below(count))] = bytes.pick(kBad);
  return values;
}

}  // namespace

KnownCluster draw_cluster(Bytes& bytes, const Shape& shape, bool& is_legal) {
  KnownCluster cluster{.gpus = shape.gpus, .slots = {}, .nodes = {}, .speeds = {}};
  const uint8_t kinds = bytes.byte();
  Random random = bytes.random();
  for (const DrawnGpu& gpu : draw_gpus(shape, kinds & 8, kinds & 16, random)) {
    if (kinds & 1) cluster.slots.push_back(gpu.open);
    if (kinds & 2) cluster.speeds.push_back(gpu.speed);
    if (kinds & 4) cluster.nodes.push_back(gpu.node);
  }
  const int64_t open = std::accumulate(cluster.slots.begin(), cluster.slots.end(), int64_t{0});
  if (open < shape.experts && !random.one_in(16))
    std::fill(cluster.slots.begin(), cluster.slots.end(), shape.slots / shape.gpus);
  if (kinds >= 248) spoil(bytes, shape, cluster);
  is_legal = is_legal_cluster(cluster);
  return cluster;
}

KnownPrices draw_prices(Bytes& bytes, const Shape& shape, bool& is_legal) {
  KnownPrices known;
  known.nodes = shape.nodes;
  known.columns = bytes.one_in(2) ? shape.groups : shape.experts;
  known.prices = draw_shares(bytes, known.nodes * known.columns);
  is_legal = matter(known.prices);
  return known;
}

std::vector<double> draw_window_weights(Bytes& bytes, int64_t windows, bool& is_legal) {
  std::vector<double> weights = draw_shares(bytes, windows);
  is_legal = windows <= kMostWindows && matter(weights);
  return weights;
}

}  // namespace eplb::fuzz
