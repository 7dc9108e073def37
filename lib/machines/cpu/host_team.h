// A team of one lane, with the vectors of the instruction set that it is compiled for. See
// solver/team/team.h for what its members do.
#pragma once

#include "machines/cpu/marked_values.h"
#include "machines/cpu/ordering.h"
#include "machines/cpu/sorted_keys.h"
#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// The largest value of all lanes; ties: lowest stretch, then lowest index.
inline Found first_of_largest(Accumulator value, Accumulator stretch, Accumulator index) {
  Found found{reduce_max(value), kNever, kNever};
  for_each_true(value == Accumulator(found.value), stretch, index, [&](int k, int i) {
    const bool first = k < found.stretch || (k == found.stretch && i < found.index);
    found.stretch = first ? k : found.stretch;
    found.index = first ? i : found.index;
  });
  return found;
}

class HostTeam {
 public:
  // Words of workspace that order, serve and fill need for this number of keys, or nearby.
  static int64_t workspace_words(int64_t keys) {
    const int64_t tree = 2 * WinnerTree<int64_t>::words(keys), marks = MarkedValues::kWords / 2;
    const int64_t most = tree > 3 * keys ? tree : 3 * keys;
    return most > marks ? most : marks;
  }
  // interrupt: not 0 once the call is to stop; null: it never is.
  explicit HostTeam(View<int64_t> workspace, const int* interrupt = nullptr)
      : workspace_(workspace), interrupt_(interrupt) {}

  bool stopped() const {
    return interrupt_ != nullptr && __atomic_load_n(interrupt_, __ATOMIC_RELAXED) != 0;
  }

  void for_each(int n, auto body) const {
    for (int i = 0; i < n; ++i) body(i);
  }
  void sweep(int n, auto body) const {
    for (int i = 0; i < n; i += kTogether * kLanes) {
      body(index_at(i));
      if constexpr (kTogether == 2) body(index_at(i + kLanes));
    }
  }
  int min(int from, int to, auto body) const {
    return reduce_min(fold(from, to, kNever, body, [](auto a, auto b) { return smaller(a, b); }));
  }
  int max(int from, int to, auto body) const {
    return reduce_max(fold(from, to, -kNever, body, [](auto a, auto b) { return larger(a, b); }));
  }
  MinMax min_max(int to, auto body) const {
    Accumulator low = kNever, high = -kNever, at = kNever;
    auto look = [&](int i, Accumulator for_min, Accumulator for_max) {
      at = choose(for_max > high, indices_from(i), at);
      low = smaller(low, for_min);
      high = larger(high, for_max);
    };
    int i = 0;
    for (; i + kLanes <= to; i += kLanes) {
      const Accumulator values = body(index_at(i));
      look(i, values, values);
    }
    if (i < to) {
      const Accumulator values = body(index_at(i));
      look(i, keep_first(to - i, values, kNever), keep_first(to - i, values, -kNever));
    }
    MinMax range{reduce_min(low), reduce_max(high), kNever};
    for_each_true(high == Accumulator(range.max), at, at,
                  [&](int, int index) { range.first_max = smaller(range.first_max, index); });
    return range;
  }
  Found max_in_stretches(int n, int floor, auto stretches) const {
    Accumulator value = floor, stretch = -1, index = kNever;
    for (int k = 0; k < n; ++k) {
      // Elements between two tests for the end, which the processor predicts badly.
      constexpr int kBetweenTests = 16;
      const auto values = stretches(k);
      const Accumulator own = k;
      for (int i = values.from; i < values.to; i += kBetweenTests) {
        for (int ahead = 0; ahead < kBetweenTests; ahead += kLanes) {
          const Accumulator other = values.value(index_at(i + ahead));
          const auto better = other > value;
          stretch = choose(better, own, stretch);
          index = choose(better, indices_from(i + ahead), index);
          value = larger(value, other);
        }
        if (!values.go_on(i + kBetweenTests - 1)) break;
      }
    }
    return first_of_largest(value, stretch, index);
  }
  int sum(int from, int to, auto body) const {
    return reduce_sum(fold(from, to, 0, body, [](auto a, auto b) { return a + b; }));
  }
  int find(int from, int to, auto body) const {
    for (int i = from; i < to; i += kLanes) {
      const int first = first_true(body(index_at(i)));
      if (first >= 0) return i + first < to ? i + first : to;
    }
    return to;
  }
  int find_in_rows(int at, int rows, int from, int to, auto row) const {
    int i = from + at % kRow;
    for (int r = at / kRow; r < rows; ++r, i = from) {
      i = find(i, to, row(r));
      if (i < to) return r * kRow + i - from;
    }
    return rows * kRow;
  }
  int max_in_columns(int n, int rows, auto column) const {
    static_assert(kRow % kLanes == 0);
    Accumulator found = -kNever;
    for (int i = 0; i < n; i += kLanes) {
      const auto value = column(index_at(i));
      for (int row = 0; row < rows; ++row) found = larger(found, value(row));
    }
    return reduce_max(found);
  }
  MarkedValues nearby(int n, View<int> values, View<int>, int most_distance) const {
    const View<int> marks{reinterpret_cast<int*>(workspace_.data)};
    return {{values, n}, marks, most_distance};
  }
  auto max_of(int n, auto body) const {
    auto found = -Never<decltype(body(0))>::key;
    for (int i = 0; i < n; ++i) {
      const auto x = body(i);
      found = x > found ? x : found;
    }
    return found;
  }
  int find_of(int n, auto body) const {
    int i = 0;
    while (i < n && !body(i)) ++i;
    return i;
  }
  int64_t sum_of(int n, auto body) const {
    int64_t sum = 0;
    for (int i = 0; i < n; ++i) sum += body(i);
    return sum;
  }
  int scan(int n, auto body, auto visit) const {
    int sum = 0;
    for (int i = 0; i < n; ++i) {
      const int own = body(i);
      visit(i, sum);
      sum += own;
    }
    return sum;
  }
  void rank_among_equals(int n, View<int> seen, View<int> out, auto body) const {
    for (int i = 0; i < n; ++i) out[i] = seen[body(i)]++;
  }
  int pick(int n, View<int> out, auto body) const {
    int count = 0;
    for (int i = 0; i < n; ++i) {
      out[count] = i;
      count += body(i) ? 1 : 0;
    }
    return count;
  }
  void order(int n, View<int> order, auto key) const {
    uint64_t* const keys = reinterpret_cast<uint64_t*>(workspace_.data);
    uint64_t least = ~uint64_t{0}, most = 0;
    for (int i = 0; i < n; ++i) {
      const uint64_t own = key(i);
      keys[i] = own;
      least = own < least ? own : least;
      most = own > most ? own : most;
    }
    if (n <= kFewKeys && most - least < kNever)
      order_few(n, keys, least, order);
    else
      cpu::sort_indices(keys, n, least, most, order.data);
  }
  template <class Key> void serve(int n, View<Key> keys, int steps, auto rekey) const {
    WinnerTree<Key> tree(workspace_.data, n, [&](int i) { return keys[i]; });
    for (int step = 0; step < steps; ++step) {
      const int i = tree.index();
      tree.put(i, rekey(step, i, tree.key()));
    }
  }
  template <class Number>
  void fill(int n, View<int>, View<int> waiting, int steps, auto amount, auto apart,
            auto close) const {
#ifdef __AVX2__
    if (in_registers(n, [&]<int N> {
          SortedFillKeys<N> keys{n, {}};
          fill_with<Number>(keys, waiting, steps, amount, apart, close);
        }))
      return;
#endif
    TreeKeys<Number> keys(workspace_.data, n);
    fill_with<Number>(keys, waiting, steps, amount, apart, close);
  }
  void single_nowait(auto body) const { body(); }
  static View<int> patched(View<int> view, int, int) { return view; }
  void single(auto body) const { body(); }
  void barrier() const {}

 private:
  static constexpr int kFewKeys = kLanes == 1 ? 3 : 128;
  // Vectors in a turn of a short loop. Two of AVX2 are one of AVX-512: so the turns, and the
  // branches that are predicted badly, are as few. Not in searches, most of which end at once.
  static constexpr int kTogether = kLanes == 8 ? 2 : 1;

  // The place of a key is the number of keys that come before it. Up to here that takes less than
  // radix passes, and no branch depends on the keys.
  static void order_few(int n, const uint64_t* keys, uint64_t least, View<int> order) {
    int relative[kFewKeys + 2 * kLanes], places[kFewKeys + 2 * kLanes];
    for (int i = 0; i < n; ++i) relative[i] = static_cast<int>(keys[i] - least);
    for (int i = n; i < n + 2 * kLanes; ++i) relative[i] = 0;
    for (int from = 0; from < n; from += 2 * kLanes) set_places({relative}, n, from, {places});
    for (int i = 0; i < n; ++i) order[places[i]] = i;
  }
  // Of two vectors of keys. Of equal keys those of lower indices come before.
  static void set_places(View<int> keys, int n, int from, View<int> places) {
    const int to = smaller(n, from + 2 * kLanes);
    const Index first = index_at(from), second = index_at(from + kLanes);
    const Accumulator own = keys[first], own2 = keys[second];
    Accumulator place = 0, place2 = 0;
    auto count = [&](Accumulator key, Accumulator above, Accumulator above2) EPLB_INLINE {
      place = count_true(place, above > key);
      place2 = count_true(place2, above2 > key);
    };
    int i = 0;
    for (; i < from; ++i) count(keys[i], own + 1, own2 + 1);
    for (; i < to; ++i)
      count(keys[i], choose(value_of(first) > i, own + 1, own),
            choose(value_of(second) > i, own2 + 1, own2));
    for (; i < n; ++i) count(keys[i], own, own2);
    places.set(first, place);
    places.set(second, place2);
  }
  // Lane by lane, from `none` on, which changes nothing.
  EPLB_INLINE static Accumulator fold(int from, int to, int none, auto body, auto combine) {
    Accumulator found = none;
    int i = from;
    if constexpr (kTogether == 2)
      for (; i + 2 * kLanes <= to; i += 2 * kLanes)
        found = combine(found, combine(body(index_at(i)), body(index_at(i + kLanes))));
    for (; i + kLanes <= to; i += kLanes) found = combine(found, body(index_at(i)));
    if (i < to) found = combine(found, keep_first(to - i, body(index_at(i)), none));
    return found;
  }

  View<int64_t> workspace_;
  const int* interrupt_;
};
static_assert(Team<HostTeam>);

EPLB_STAGE_END
