// Arguments of calls, drawn from an input: mostly ones that fit each other, now and then none that
// make sense.
#pragma once

#include <cstddef>
#include <vector>

#include "bytes.h"
#include "known.h"

namespace eplb::fuzz {

// Sizes that fit each other; calls use them until others are drawn.
struct Shape {
  int64_t windows = 1, layers = 1, experts = 1, slots = 1, gpus = 1, nodes = 1, groups = 1;
};
Shape draw_shape(Bytes& bytes);

// A size is sometimes another one, near or far.
int64_t draw_near(Bytes& bytes, int64_t size);

eplb_problem problem_of(const Shape& shape, const eplb_problem& defaults);
eplb_problem draw_problem(Bytes& bytes, const Shape& shape, const eplb_problem& defaults);
eplb_solve_options draw_options(Bytes& bytes, const Shape& shape, const eplb_problem& problem,
                                bool has_current, const eplb_solve_options& defaults);

// An array [T,L,E] in memory that ends where it does, and what a context must make of it.
struct DrawnWeights {
  std::vector<std::byte> bytes;
  KnownWeights known;
  bool is_legal;
};
DrawnWeights draw_weights(Bytes& bytes, const Shape& shape);

KnownCluster draw_cluster(Bytes& bytes, const Shape& shape, bool& is_legal);
KnownPrices draw_prices(Bytes& bytes, const Shape& shape, bool& is_legal);
std::vector<double> draw_window_weights(Bytes& bytes, int64_t windows, bool& is_legal);

// A placement [L,S]: from one that fits the GPUs to anything. `near`, unless empty, is one to be
// near.
std::vector<int64_t> draw_placement(Bytes& bytes, const Shape& shape, const Gpus& gpus,
                                    const std::vector<int64_t>& near);

// Can all be experts, of any problem?
bool are_ids(const std::vector<int64_t>& placement);

// What a call is given for an array that there is not.
template <class T> const T* or_null(const std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

// The same numbers as a caller has them, in memory that ends where they do.
std::vector<std::byte> as_dtype(const std::vector<int64_t>& numbers, eplb_dtype dtype);

}  // namespace eplb::fuzz
