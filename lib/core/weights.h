// What the caller measured: tokens per expert, checked once; windows are kept, and summed once.
#pragma once

#include <cstdint>
#include <vector>

#include "core/fault.h"
#include "core/problem.h"
#include "eplb.h"

namespace eplb {

// The caller's array, untrusted.
struct WeightSource {
  const void* data;
  int64_t length;
  eplb_dtype dtype;
  int64_t windows, layers, experts;
};

// More windows than these are summed and not kept: each takes as much memory as their sum.
inline constexpr int64_t kMostWindows = 64;

// Without a bad value in it. Integers stay integers, so that no token is lost above 2^53: of each
// pair of arrays one is empty.
struct Weights {
  bool integer = false;
  int64_t windows = 1, layers = 0, experts = 0;  // windows that are known apart; 0: only their sum
  bool fits_float32 = false;   // true: all and every sum of a layer do; false: not known
  std::vector<double> real;    // [L,E], summed over windows
  std::vector<int64_t> whole;  // [L,E]
  // [T,L,E] as uploaded, oldest first; empty for one window, which is the sum, and where windows
  // are not known: more than kMostWindows, or more than a device had room for.
  std::vector<double> real_windows;
  std::vector<int64_t> whole_windows;

  LayerWeights of_layer(int64_t layer) const {
    const int64_t first = layer * experts;
    return {.real = integer ? nullptr : &real[first],
            .whole = integer ? &whole[first] : nullptr,
            .real_windows = real_windows.empty() ? nullptr : &real_windows[first],
            .whole_windows = whole_windows.empty() ? nullptr : &whole_windows[first],
            .stride = layers * experts};
  }
  LayerWeights of_window(int64_t window, int64_t layer) const {
    if (windows == 1) return of_layer(layer);
    const int64_t first = (window * layers + layer) * experts;
    return {integer ? nullptr : &real_windows[first], integer ? &whole_windows[first] : nullptr};
  }
  double at(int64_t layer, int64_t expert) const {
    const int64_t i = layer * experts + expert;
    return integer ? static_cast<double>(whole[i]) : real[i];
  }
  bool same_sums(const Weights& other) const {
    return integer == other.integer && layers == other.layers && experts == other.experts &&
           real == other.real && whole == other.whole;
  }
  void resize(bool integer, int64_t layers, int64_t experts, int64_t windows = 1);
  void reserve(const Weights& other);  // memory for as much, keeping what is there
  int64_t bytes() const {
    return static_cast<int64_t>(8 * (real.capacity() + whole.capacity() + real_windows.capacity() +
                                     whole_windows.capacity()));
  }
};

inline bool is_integer(eplb_dtype dtype) { return dtype == EPLB_INT32 || dtype == EPLB_INT64; }

// What of a layer is above float32's range: the lowest such expert, or the last one if only the sum
// of all, added up in order, is. Expert -1: nothing.
struct BeyondFloat32 {
  Fault fault;
  int64_t expert;
};
BeyondFloat32 beyond_float32(const Weights& weights, int64_t layer);

// How many of these windows are kept.
inline int64_t windows_kept(int64_t windows) { return windows <= kMostWindows ? windows : 0; }

// Throws Unavailable for a number of windows that says that they were not kept.
void check_windows_are_kept(int64_t windows);

// Sets how many windows the weights of a problem have, and how many its objective balances apart.
void set_windows(int64_t windows, Problem& problem);

// Throws InvalidArgument for a shape that cannot be.
void check_shape(eplb_dtype dtype, int64_t windows, int64_t layers, int64_t experts);

// Throws InvalidArgument for a shape, pointer or length that cannot be.
void check_source(const WeightSource& source);

// Copies a checked source into `weights`, whose memory is reused. Throws InvalidWeight naming the
// lowest (layer, expert) for a value that cannot be; `weights` is then garbage.
void read_weights(const WeightSource& source, Weights& weights);

}  // namespace eplb
