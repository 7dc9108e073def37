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
bool is_narrow(eplb_dtype dtype) { return dtype == EPLB_FLOAT32 || dtype == EPLB_INT32; }

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
bool add_to(double& sum, double value) {
  sum += value;
  return true;
}
bool add_to(int64_t& sum, int64_t value) { return !__builtin_add_overflow(sum, value, &sum); }

template <class T, class Sum>
bool add_up(const std::vector<std::byte>& bytes, KnownWeights& known) {
  bool legal = true;
  for (size_t i = 0; i < known.sum.size(); ++i) {
    Sum sum = 0;
    for (size_t at = i; at < known.each.size(); at += known.sum.size()) {
      const T value = load<T>(bytes, at);
      known.each[at] = static_cast<double>(value);
      if (!(value >= 0) || known.each[at] == kInfinity) return false;
      legal &= add_to(sum, value);
    }
    known.sum[i] = static_cast<double>(sum);
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
  constexpr double kReal[] = {
      -0.0, -1, kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN(), 1e308, 3e38, 1e39};
  constexpr int64_t kWhole[] = {0,
                                -1,
                                std::numeric_limits<int32_t>::max(),
                                std::numeric_limits<int32_t>::min(),
                                -5,
                                std::numeric_limits<int64_t>::max(),
                                1,
                                std::numeric_limits<int64_t>::min()};
  const size_t kind = bytes.byte() % 8;
  const auto at = static_cast<size_t>(bytes.below(static_cast<int64_t>(count)));
  double real = kReal[kind];
  if (dtype == EPLB_FLOAT32 && std::isfinite(real) && real > 3.4e38) real = kInfinity;
  int64_t whole = kWhole[kind];
  if (dtype == EPLB_INT32) whole = static_cast<int32_t>(whole);
  set(weights, dtype, at, real, whole);
}

void draw_rows(Bytes& bytes, DrawnWeights& drawn) {
  const KnownWeights& known = drawn.known;
  Random random = bytes.random();
  const int64_t kinds = bytes.below(16);
  auto row = static_cast<Row>(kinds % 8);
  for (size_t i = 0; i < known.each.size(); ++i) {
    if (kinds >= 8 && i % static_cast<size_t>(known.experts) == 0)
      row = static_cast<Row>(random.below(8));
    if (is_whole(known.dtype))
      set(drawn.bytes, known.dtype, i, 0, draw_whole(row, is_narrow(known.dtype), random));
    else
      set(drawn.bytes, known.dtype, i, draw_real(row, is_narrow(known.dtype), random), 0);
  }
}

bool are_finite_layers(const KnownWeights& known) {
  for (int64_t layer = 0; layer < known.layers; ++layer) {
    const double* const row = known.row(layer);
    if (!std::isfinite(std::accumulate(row, row + known.experts, 0.0))) return false;
  }
  return true;
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
  known.sum.resize(static_cast<size_t>(shape.layers * shape.experts));
  known.each.resize(static_cast<size_t>(shape.windows) * known.sum.size());
  drawn.bytes.resize(known.each.size() * (is_narrow(known.dtype) ? 4 : 8));
  draw_rows(bytes, drawn);
  if (bytes.one_in(8)) spoil(bytes, drawn.bytes, known.dtype, known.each.size());
  drawn.is_legal = add_up(drawn.bytes, known) && are_finite_layers(known);
  judge_range(known);
  return drawn;
}

std::vector<std::byte> as_dtype(const std::vector<int64_t>& numbers, eplb_dtype dtype) {
  std::vector<std::byte> bytes(numbers.size() * (dtype == EPLB_INT32 ? 4 : 8));
  for (size_t i = 0; i < numbers.size(); ++i)
    dtype == EPLB_INT32 ? store<int32_t>(bytes, i, numbers[i])
                        : store<int64_t>(bytes, i, numbers[i]);
  return bytes;
}

}  // namespace eplb::fuzz
