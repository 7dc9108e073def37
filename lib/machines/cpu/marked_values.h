// What Team::nearby returns on the host.
#pragma once

#include "solver/team/nearby.h"
#ifdef EPLB_PLAIN_LANES
#include "machines/cpu/lanes_plain.h"
#else
#include "machines/cpu/lanes_highway.h"
#endif

EPLB_STAGE_BEGIN

// Most answers are no, and a table of bits gives nearly all of these. A number's bit is that of its
// interval, of a width above twice the largest distance: so what is within a distance of a value
// lies in two intervals at most, whose bits are set. Intervals share bits. Only a number whose bit
// is set is compared with the values.
class MarkedValues {
 public:
  static constexpr int kWords = 256;

  // marks: kWords numbers.
  MarkedValues(ComparedValues values, View<int> marks, int most_distance)
      : values_(values), marks_(marks), shift_(bits_of_interval(most_distance)) {
    if (is_few()) return;
    for (int i = 0; i < kWords; ++i) marks[i] = 0;
    for (int i = 0; i < values.n; ++i) {
      mark(values.values[i] - most_distance);
      mark(values.values[i] + most_distance);
    }
  }
  bool any(int x, int distance) const {
    return distance > 0 && (is_few() || is_marked(x)) && compare(x, distance);
  }
  template <class Vector> EPLB_INLINE auto any(Vector x, Vector distance) const {
    if (is_few()) return values_.any(x, distance);
    const auto marked = is_marked(x) & (distance > 0);
    const uint64_t bits = bits_of(marked);
    if (!EPLB_RARELY(bits != 0)) return marked;
    if (bits & (bits - 1)) return marked & values_.any(x, distance);
    const int lane = __builtin_ctzll(bits);
    return compare(lane_of(x, lane), lane_of(distance, lane)) ? marked : Vector(0) != 0;
  }

 private:
  static constexpr int kFewValues = 16;  // are compared in the time that the table takes
  static constexpr int kWordBits = 5, kInWord = (1 << kWordBits) - 1;

  bool is_few() const { return values_.n <= kFewValues; }
  static int bits_of_interval(int most_distance) {
    return most_distance > 0 ? 33 - __builtin_clz(static_cast<uint32_t>(most_distance)) : 0;
  }
  void mark(int x) const {
    const int interval = x >> shift_;
    marks_[(interval >> kWordBits) & (kWords - 1)] |= 1 << (interval & kInWord);
  }
  template <class X> EPLB_INLINE auto is_marked(X x) const -> decltype(x != x) {
    const X interval = x >> shift_, bit = X(1) << (interval & kInWord);
    const X word = marks_[(interval >> kWordBits) & (kWords - 1)];
    return (word & bit) != 0;
  }
  // One number with a vector of values at a time.
  bool compare(int x, int distance) const {
    const View<int> values = values_.values;
    const int n = values_.n;
    auto distances = [=](int i) { return magnitude(values[index_at(i)] - x); };
    Accumulator nearest = kNever;
    int i = 0;
    for (; i + kLanes <= n; i += kLanes) nearest = smaller(nearest, distances(i));
    if (i < n) nearest = smaller(nearest, keep_first(n - i, distances(i), kNever));
    return reduce_min(nearest) < distance;
  }

  ComparedValues values_;
  View<int> marks_;
  int shift_;
};

EPLB_STAGE_END
