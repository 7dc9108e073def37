#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "draw.h"

namespace eplb::fuzz {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Rows of weights: equal, few different, as measured ones are, one expert with nearly all, huge,
// tiny, zeros, any bits.
enum class Row { kEqual, kFew, kSkewed, kOutlier, kHuge, kTiny, kZeros, kBits };

double draw_real(Row row, bool narrow, Random& random) {
  const double skewed = std::exp2(12 * random.unit() * random.unit());
  switch (row) {
    case Row::kEqual: return 7;
    case Row::kFew: return static_cast<double>(random.below(4));
    case Row::kSkewed: return random.one_in(9) ? 0 : std::floor(100 * skewed) / 7;
    case Row::kOutlier: return random.one_in(5) ? 1e6 * skewed : 1;
    case Row::kHuge: return skewed * (narrow ? 1e34 : random.one_in(4) ? 1e307 : 1e303);
    case Row::kTiny: return skewed * (narrow ? 1e-37 : 1e-290);
    case Row::kZeros: return 0;
    default: {
      const uint64_t bits = random.next() & 0x7fffffffffffffff;
      double value;
      std::memcpy(&value, &bits, sizeof value);
      if (!(value < 1e300 && value > 1e-280)) value = skewed;
      return value;
    }
  }
}

int64_t draw_whole(Row row, bool narrow, Random& random) {
  const int64_t most = narrow ? std::numeric_limits<int32_t>::max() : int64_t{1} << 60;
  if (row == Row::kHuge) return most - random.below(1000);
  if (row == Row::kBits) return random.below(most);
  if (row == Row::kTiny) return random.below(2);
  return static_cast<int64_t>(draw_real(row, true, random));
}

bool is_whole(eplb_dtype dtype) { return dtype == EPLB_INT32 || dtype == EPLB_INT64; }

template <class T, class Value>
void store(std::vector<std::byte>& bytes, size_t index, Value value) {
  const T element = static_cast<T>(value);
  std::memcpy(&bytes[index * sizeof(T)], &element, sizeof element);
}
template <class T> T load(const std::vector<std::byte>& bytes, size_t index) {
  T element;
  std::memcpy(&element, &bytes[index * sizeof(T)], sizeof element);
  return element;
}

// Sums windows as eplb.h says: floats in double, integers exactly. Are all sums legal?
template <class T, class Sum>
bool add_up(const std::vector<std::byte>& bytes, KnownWeights& known) {
  const auto count = static_cast<size_t>(known.layers * known.experts);
  bool legal = true;
  for (size_t i = 0; i < count; ++i) {
    Sum sum = 0;
    for (int64_t t = 0; t < known.windows; ++t) {
      const T value = load<T>(bytes, static_cast<size_t>(t) * count + i);
      known.each[static_cast<size_t>(t) * count + i] = static_cast<double>(value);
      if (!(value >= 0) || static_cast<double>(value) == kInfinity) return false;
      if constexpr (std::is_integral_v<T>)
        legal &= !__builtin_add_overflow(sum, Sum{value}, &sum);
      else
        sum = t == 0 ? Sum{value} + 0 : sum + Sum{value};
    }
    known.sum[i] = static_cast<double>(sum);
  }
  for (int64_t layer = 0; layer < known.layers; ++layer) {
    const double* const row = known.row(layer);
    legal &= std::isfinite(std::accumulate(row, row + known.experts, 0.0));
  }
  return legal;
}

bool add_up(const std::vector<std::byte>& bytes, KnownWeights& known) {
  switch (known.dtype) {
    case EPLB_FLOAT32: return add_up<float, double>(bytes, known);
    case EPLB_FLOAT64: return add_up<double, double>(bytes, known);
    case EPLB_INT32: return add_up<int32_t, int64_t>(bytes, known);
    default: return add_up<int64_t, int64_t>(bytes, known);
  }
}

void set(std::vector<std::byte>& bytes, eplb_dtype dtype, size_t i, double real, int64_t whole) {
  switch (dtype) {
    case EPLB_FLOAT32: return store<float>(bytes, i, real);
    case EPLB_FLOAT64: return store<double>(bytes, i, real);
    case EPLB_INT32: return store<int32_t>(bytes, i, whole);
    default: return store<int64_t>(bytes, i, whole);
  }
}

// One weight that cannot be, or is just possible.
void spoil(Bytes& bytes, std::vector<std::byte>& weights, eplb_dtype dtype, size_t count) {
  constexpr double kReal[] = {-0.0, -1, kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN(),
                              1e308, 3e38, 1e39};
  constexpr int64_t kWhole[] = {0, -1, std::numeric_limits<int32_t>::max(),
                                std::numeric_limits<int32_t>::min(), -5,
                                std::numeric_limits<int64_t>::max(), 1,
                                std::numeric_limits<int64_t>::min()};
  const size_t kind = bytes.byte() % 8;
  const auto at = static_cast<size_t>(bytes.below(static_cast<int64_t>(count)));
  double real = kReal[kind];
  if (dtype == EPLB_FLOAT32 && std::isfinite(real) && real > 3.4e38) real = kInfinity;
  int64_t whole = kWhole[kind];
  if (dtype == EPLB_INT32) whole = static_cast<int32_t>(whole);
  set(weights, dtype, at, real, whole);
}

void judge_range(KnownWeights& known) {
  for (const double weight : known.each) known.is_tiny |= weight > 0 && weight < 1e-280;
  const double most = std::numeric_limits<float>::max() / static_cast<double>(known.experts) / 2;
  for (const double weight : known.sum) known.fits_float32 &= weight < most;
}

}  // namespace

DrawnWeights draw_weights(Bytes& bytes, const Shape& shape) {
  DrawnWeights drawn;
  KnownWeights& known = drawn.known;
  known.dtype = static_cast<eplb_dtype>(bytes.below(4));
  known.windows = shape.windows;
  known.layers = shape.layers;
  known.experts = shape.experts;
  const auto count = static_cast<size_t>(shape.windows * shape.layers * shape.experts);
  const bool narrow = known.dtype == EPLB_FLOAT32 || known.dtype == EPLB_INT32;
  drawn.bytes.resize(count * (narrow ? 4 : 8));
  drawn.bytes.shrink_to_fit();
  known.each.resize(count);
  known.sum.resize(static_cast<size_t>(shape.layers * shape.experts));
  Random random = bytes.random();
  const int64_t kinds = bytes.below(16);
  auto row = static_cast<Row>(kinds % 8);
  for (size_t i = 0; i < count; ++i) {
    const bool is_first = i % static_cast<size_t>(shape.experts) == 0;
    if (is_first && kinds >= 8) row = static_cast<Row>(random.below(8));
    const bool whole = is_whole(known.dtype);
    set(drawn.bytes, known.dtype, i, whole ? 0 : draw_real(row, narrow, random),
        whole ? draw_whole(row, narrow, random) : 0);
  }
  if (bytes.one_in(8)) spoil(bytes, drawn.bytes, known.dtype, count);
  drawn.is_legal = add_up(drawn.bytes, known);
  judge_range(known);
  return drawn;
}

KnownCluster draw_cluster(Bytes& bytes, const Shape& shape, bool& is_legal) {
  KnownCluster cluster{.gpus = shape.gpus, .slots = {}, .nodes = {}, .speeds = {}};
  const uint8_t kinds = bytes.byte();
  Random random = bytes.random();
  const int64_t places = shape.slots / shape.gpus;
  // Equal nodes, for the hierarchical policy.
  const int64_t period = kinds & 8 ? std::max<int64_t>(shape.gpus / shape.nodes, 1) : shape.gpus;
  constexpr double kSpeeds[] = {1, 2, 0.5, 1.0 / 3, 1e-6, 1e300};
  for (int64_t gpu = 0; gpu < shape.gpus; ++gpu) {
    const auto first = static_cast<size_t>(gpu % period);
    const bool again = gpu >= period;
    const int64_t open = random.one_in(3) ? random.below(places + 1) : places;
    const double speed = kSpeeds[random.below(kinds & 16 ? 6 : 3)];
    if (kinds & 1) cluster.slots.push_back(again ? cluster.slots[first] : open);
    if (kinds & 2) cluster.speeds.push_back(again ? cluster.speeds[first] : speed);
    if (kinds & 4)
      cluster.nodes.push_back(kinds & 8 ? gpu / period % shape.nodes : random.below(shape.nodes));
  }
  const int64_t open = std::accumulate(cluster.slots.begin(), cluster.slots.end(), int64_t{0});
  if (open < shape.experts && !random.one_in(16))
    std::fill(cluster.slots.begin(), cluster.slots.end(), places);
  constexpr double kBad[] = {0, -1, kInfinity, std::numeric_limits<double>::quiet_NaN()};
  const auto at = static_cast<size_t>(random.below(shape.gpus));
  if (kinds >= 248) {
    if (kinds & 1) cluster.slots[at] = draw_near(bytes, places);
    if (kinds & 2) cluster.speeds[at] = bytes.pick(kBad);
    if (kinds & 4) cluster.nodes[at] = draw_near(bytes, shape.nodes);
  }
  const auto is_count = [](int64_t most) {
    return [most](int64_t value) { return value >= 0 && value <= most; };
  };
  is_legal = std::all_of(cluster.slots.begin(), cluster.slots.end(), is_count(kMostSlots)) &&
             std::all_of(cluster.nodes.begin(), cluster.nodes.end(), is_count(kMostSlots - 1)) &&
             std::all_of(cluster.speeds.begin(), cluster.speeds.end(),
                         [](double speed) { return speed > 0 && std::isfinite(speed); });
  if (!cluster.slots.empty())
    is_legal &= std::any_of(cluster.slots.begin(), cluster.slots.end(),
                            [](int64_t open) { return open != 0; });
  return cluster;
}

namespace {

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
  constexpr double kBad[] = {-1, kInfinity, std::numeric_limits<double>::quiet_NaN()};
  if (kinds >= 248) values[static_cast<size_t>(random.below(count))] = bytes.pick(kBad);
  return values;
}

}  // namespace

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

std::vector<std::byte> as_dtype(const std::vector<int64_t>& numbers, eplb_dtype dtype) {
  std::vector<std::byte> bytes(numbers.size() * (dtype == EPLB_INT32 ? 4 : 8));
  for (size_t i = 0; i < numbers.size(); ++i)
    dtype == EPLB_INT32 ? store<int32_t>(bytes, i, numbers[i])
                        : store<int64_t>(bytes, i, numbers[i]);
  return bytes;
}

}  // namespace eplb::fuzz
