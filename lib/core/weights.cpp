#include "core/weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/caller_array.h"
#include "core/error.h"

namespace eplb {
namespace {

template <class T> Fault fault_of(T value) {
  return value != value ? Fault::kNaN : value < 0 ? Fault::kNegative : Fault::kInfinite;
}

template <class T> bool good(T value) {
  return value >= T(0) && value <= std::numeric_limits<T>::max();
}

// The first bad value, layer by layer, as the device names it: the lowest (layer, expert), then the
// lowest window.
struct Bad {
  int64_t at = std::numeric_limits<int64_t>::max(), window = 0;  // at: counted over all layers
  Fault fault{};
};

template <class T> void note_bad(const T* values, int64_t n, int64_t at, int64_t window, Bad& bad) {
  for (int64_t i = 0; i < n && at + i < bad.at; ++i)
    if (!good(values[i])) bad = {at + i, window, fault_of(values[i])};
}

// use(values, n, at, window) for pieces of the source, window by window.
template <class T> void read_windows(const WeightSource& source, auto use) {
  const int64_t count = source.layers * source.experts;
  Bad bad;
  for (int64_t window = 0; window < source.windows; ++window) {
    const T* data = static_cast<const T*>(source.data) + window * count;
    read_pieces(data, count, [&](const T* values, int64_t n, int64_t at) {
      int any_bad = 0;
      for (int64_t i = 0; i < n; ++i) any_bad |= !good(values[i]);
      if (any_bad) note_bad(values, n, at, window, bad);
      use(values, n, at, window);
    });
  }
  if (bad.at < count)
    fail_with(bad.fault, {bad.at / source.experts, bad.at % source.experts,
                          source.windows == 1 ? -1 : bad.window});
}

// Sums of finite weights may overflow: of an expert over windows, of a layer over experts.
void check_sums(const double* sums, int64_t layers, int64_t experts) {
  for (int64_t l = 0; l < layers; ++l) {
    double total = 0;
    for (int64_t e = 0; e < experts; ++e) {
      const double sum = sums[l * experts + e];
      if (!std::isfinite(sum)) fail_with(Fault::kWindowSumReal, {l, e});
      total += sum;
    }
    if (!std::isfinite(total)) fail_with(Fault::kLayerSum, {l, -1});
  }
}

// Keeps windows that have memory. `add` adds to the sum of expert i, counted over all layers.
template <class T, class Sum>
void sum_windows(const WeightSource& source, std::vector<Sum>& windows, std::vector<Sum>& sums,
                 auto add) {
  const int64_t count = source.layers * source.experts;
  read_windows<T>(source, [&](const T* values, int64_t n, int64_t at, int64_t window) {
    if (!windows.empty()) std::copy_n(values, n, &windows[window * count + at]);
    for (int64_t i = 0; i < n; ++i) {
      if (window == 0)
        sums[at + i] = values[i] + Sum{0};  // -0.0 becomes 0
      else
        add(sums[at + i], values[i], at + i);
    }
  });
}

template <class T> void sum_real(const WeightSource& source, Weights& weights) {
  sum_windows<T>(source, weights.real_windows, weights.real,
                 [](double& sum, T value, int64_t) { sum += value; });
  const double limit = std::numeric_limits<float>::max() / static_cast<double>(source.experts);
  int64_t large = 0;
  for (const double sum : weights.real) large += sum > limit;
  weights.fits_float32 = large == 0;
  if (!weights.fits_float32) check_sums(weights.real.data(), source.layers, source.experts);
}

template <class T> void sum_whole(const WeightSource& source, Weights& weights) {
  const int64_t count = source.layers * source.experts;
  int64_t overflow_at = count;
  sum_windows<T>(source, weights.whole_windows, weights.whole,
                 [&](int64_t& sum, T value, int64_t i) {
                   if (__builtin_add_overflow(sum, int64_t{value}, &sum) && i < overflow_at)
                     overflow_at = i;
                 });
  if (overflow_at < count)
    fail_with(Fault::kWindowSumInteger,
              {overflow_at / source.experts, overflow_at % source.experts});
  weights.fits_float32 = true;  // 2^63 and a few thousand of them are far below 3e38
}

}  // namespace

void check_shape(eplb_dtype dtype, int64_t windows, int64_t layers, int64_t experts) {
  if (dtype < EPLB_FLOAT32 || dtype > EPLB_INT64)
    fail(EPLB_INVALID_ARGUMENT,
         "dtype is %d, must be EPLB_FLOAT32, EPLB_FLOAT64, EPLB_INT32 or EPLB_INT64", dtype);
  check_least("num_windows", windows, 1);
  check_least("num_layers", layers, 1);
  check_least("num_experts", experts, 1);
  int64_t product;
  if (__builtin_mul_overflow(layers, experts, &product) ||
      __builtin_mul_overflow(product, windows, &product) ||
      product > std::numeric_limits<int64_t>::max() / 8)
    fail(EPLB_INVALID_ARGUMENT,
         "num_windows * num_layers * num_experts = %lld * %lld * %lld is more than memory can hold",
         ll(windows), ll(layers), ll(experts));
}

BeyondFloat32 beyond_float32(const Weights& weights, int64_t layer) {
  constexpr BeyondFloat32 kNothing{{}, -1};
  if (weights.fits_float32) return kNothing;
  double total = 0;
  for (int64_t e = 0; e < weights.experts; ++e) {
    const float rounded = static_cast<float>(weights.at(layer, e));
    if (rounded > std::numeric_limits<float>::max()) return {Fault::kFloat32, e};
    total += rounded;
  }
  if (static_cast<float>(total) <= std::numeric_limits<float>::max()) return kNothing;
  return {Fault::kFloat32Sum, weights.experts - 1};
}

void check_windows_are_kept(int64_t windows) {
  if (windows == 0)
    fail(EPLB_UNAVAILABLE,
         "the windows of these weights were not kept: only their sum is known of more than %lld, "
         "and of those in device memory for which eplb_context_reserve was given fewer",
         ll(kMostWindows));
}

void set_windows(int64_t windows, Problem& problem) {
  problem.windows = windows;
  if (problem.options.objective != EPLB_OBJECTIVE_WINDOWS) return;
  check_windows_are_kept(windows);
  problem.windows_apart = static_cast<int>(windows);
}

void Weights::resize(bool new_integer, int64_t new_layers, int64_t new_experts,
                     int64_t new_windows) {
  integer = new_integer;
  layers = new_layers;
  experts = new_experts;
  windows = windows_kept(new_windows);
  const int64_t sums = layers * experts;
  const int64_t kept = windows > 1 ? windows * sums : 0;
  real.resize(integer ? 0 : sums);
  whole.resize(integer ? sums : 0);
  real_windows.resize(integer ? 0 : kept);
  whole_windows.resize(integer ? kept : 0);
}

void Weights::reserve(const Weights& other) {
  real.reserve(other.real.size());
  whole.reserve(other.whole.size());
  real_windows.reserve(other.real_windows.size());
  whole_windows.reserve(other.whole_windows.size());
}

void check_source(const WeightSource& source) {
  check_shape(source.dtype, source.windows, source.layers, source.experts);
  const int64_t expected = source.windows * source.layers * source.experts;
  if (source.data == nullptr) fail(EPLB_INVALID_ARGUMENT, "weights is NULL");
  if (source.length != expected)
    fail(EPLB_INVALID_ARGUMENT,
         "weights_length is %lld, must be num_windows * num_layers * num_experts = %lld * %lld * "
         "%lld = %lld",
         ll(source.length), ll(source.windows), ll(source.layers), ll(source.experts),
         ll(expected));
}

void read_weights(const WeightSource& source, Weights& weights) {
  weights.resize(is_integer(source.dtype), source.layers, source.experts, source.windows);
  switch (source.dtype) {
    case EPLB_FLOAT32: return sum_real<float>(source, weights);
    case EPLB_FLOAT64: return sum_real<double>(source, weights);
    case EPLB_INT32: return sum_whole<int32_t>(source, weights);
    default: return sum_whole<int64_t>(source, weights);
  }
}

}  // namespace eplb
