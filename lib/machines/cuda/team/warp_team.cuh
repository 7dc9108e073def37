// A team that is one warp. All lanes call every member together. See solver/team/team.h for what
// its members do.
#pragma once

#include "machines/cuda/team/fill_keys.cuh"
#include "machines/cuda/team/warp_sort.cuh"
#include "solver/team/team.h"

namespace eplb::cuda {

using solver::Found;
using solver::kNever;
using solver::kRow;
using solver::MinMax;
using solver::Never;

// For team.patched: never reads the element that is being written.
struct Patched {
  View<int> view;
  int index, value;

  __device__ int operator[](int i) const { return i == index ? value : view[i]; }
};

// For team.nearby: a binary search in ascending values, or a scan of few.
struct Nearby {
  View<int> values;
  int n;
  bool ascending;

  __device__ bool any(int x, int distance) const { return nearest(x) < distance; }

 private:
  __device__ int nearest(int x) const {
    if (!ascending) {
      int near = abs(x - values[0]);
#pragma unroll 1
      for (int i = 1; i < n; ++i) near = solver::smaller(near, abs(x - values[i]));
      return near;
    }
    int low = 0;  // the last value that is not above x, or the first
#pragma unroll 1
    for (int step = 1 << (31 - __clz(n)); step > 0; step /= 2)
      if (low + step < n && values[low + step] <= x) low += step;
    const int above = values[solver::smaller(low + 1, n - 1)];
    return solver::smaller(abs(x - values[low]), abs(above - x));
  }
};

class WarpTeam {
 public:
  static constexpr int kLanes = 32;
  static constexpr int kIndexBits = 18;  // an index below the largest number of slots

  // Words of workspace that order needs for this number of keys.
  EPLB_FN static int64_t workspace_words(int64_t keys) { return sort_words(keys); }
  __device__ explicit WarpTeam(View<uint64_t> workspace)
      : workspace_(workspace), lane_(static_cast<int>(threadIdx.x) % kLanes) {}

  // Nobody asks a kernel: its lanes would have to agree on the answer.
  EPLB_FN static constexpr bool stopped() { return false; }

  __device__ void for_each(int n, auto body) {
#pragma unroll 1
    for (int i = lane_; i < n; i += kLanes) body(i);
    __syncwarp();
  }
  __device__ void sweep(int n, auto body) { for_each(n, body); }

  __device__ int min(int from, int to, auto body) {
    const int own =
        fold(from, to, kNever, [&](int a, int i) { return solver::smaller(a, body(i)); });
    return in_step(__reduce_min_sync(kAllLanes, own));
  }
  __device__ int max(int from, int to, auto body) {
    const int own =
        fold(from, to, -kNever, [&](int a, int i) { return solver::larger(a, body(i)); });
    return in_step(__reduce_max_sync(kAllLanes, own));
  }
  __device__ MinMax min_max(int to, auto body) {
    int low = kNever, high = -kNever, at = kNever;
    for (int i = lane_; i < to; i += kLanes) {
      const int x = body(i);
      at = x > high ? i : at;
      low = solver::smaller(low, x);
      high = solver::larger(high, x);
    }
    const int most = __reduce_max_sync(kAllLanes, high), least = __reduce_min_sync(kAllLanes, low);
    return {least, most, in_step(__reduce_min_sync(kAllLanes, high == most ? at : kNever))};
  }
  __device__ auto max_of(int n, auto body) -> decltype(body(0)) {
    using Value = decltype(body(0));
    return in_step(most_of_warp(fold(0, n, -Never<Value>::key, [&](Value most, int i) {
      const Value x = body(i);
      return x > most ? x : most;
    })));
  }
  __device__ int find_of(int n, auto body) { return find(0, n, body); }

  __device__ int64_t sum_of(int n, auto body) {
    const auto own = fold(0, n, uint64_t{0}, [&](uint64_t sum, int i) { return sum + body(i); });
    return in_step(static_cast<int64_t>(sum_of_warp(own)));
  }
  __device__ int sum(int from, int to, auto body) {
    return in_step(__reduce_add_sync(
        kAllLanes, fold(from, to, 0, [&](int sum, int i) { return sum + body(i); })));
  }
  __device__ int find(int from, int to, auto body) {
#pragma unroll 1
    for (int chunk = from; chunk < to; chunk += kLanes) {
      const unsigned hits = __ballot_sync(kAllLanes, chunk + lane_ < to && body(chunk + lane_));
      if (hits) return in_step(chunk + __ffs(static_cast<int>(hits)) - 1);
    }
    return in_step(to);
  }
  // Two cells per lane at a time: testing one is a chain of loads, so the two overlap.
  __device__ int max_in_columns(int n, int rows, auto column) {
    int found = -kNever;
#pragma unroll 1
    for (int i = lane_; i < n; i += kLanes) {
      const auto value = column(i);
#pragma unroll 1
      for (int row = 0; row < rows; ++row) found = solver::larger(found, value(row));
    }
    return in_step(__reduce_max_sync(kAllLanes, found));
  }
  __device__ int find_in_rows(int at, int rows, int from, int to, auto row) {
    const int end = rows * kRow;
    auto hit = [&](int cell) EPLB_INLINE {
      const int i = from + cell % kRow;
      return cell < end && i < to && row(cell / kRow)(i);
    };
#pragma unroll 1
    for (; at < end; at += 2 * kLanes) {
      const bool first = hit(at + lane_), second = hit(at + kLanes + lane_);
      const unsigned hits = __ballot_sync(kAllLanes, first),
                     others = __ballot_sync(kAllLanes, second);
      if (hits) return in_step(at + __ffs(static_cast<int>(hits)) - 1);
      if (others) return in_step(at + kLanes + __ffs(static_cast<int>(others)) - 1);
    }
    return in_step(end);
  }
  __device__ Nearby nearby(int n, View<int> values, View<int> scratch, int) {
    if (n <= kLanes / 2) return in_step(Nearby{values, n, false});
    for_each(n, [&](int i) {
      const int own = values[i];
      int rank = 0;
#pragma unroll 4
      for (int j = 0; j < n; ++j) rank += values[j] < own || (values[j] == own && j < i);
      scratch[rank] = own;
    });
    return {scratch, n, true};
  }
  __device__ int scan(int n, auto body, auto visit) {
    int sum = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < n; chunk += kLanes) {
      const int own = chunk + lane_ < n ? body(chunk + lane_) : 0;
      int up_to = own;
      for (int distance = 1; distance < kLanes; distance *= 2) {
        const int other = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(distance));
        if (lane_ >= distance) up_to += other;
      }
      if (chunk + lane_ < n) visit(chunk + lane_, sum + up_to - own);
      sum += __shfl_sync(kAllLanes, up_to, kLanes - 1);
    }
    return in_step(sum);
  }
  __device__ void rank_among_equals(int n, View<int> seen, View<int> out, auto body) {
#pragma unroll 1
    for (int chunk = 0; chunk < n; chunk += kLanes) {
      // Lanes beyond the end have different values, so they match no other lane.
      const int own = chunk + lane_ < n ? body(chunk + lane_) : -1 - lane_;
      const unsigned equal = __match_any_sync(kAllLanes, own);
      const int before = own >= 0 ? seen[own] : 0;
      __syncwarp();
      if (own >= 0) out[chunk + lane_] = before + __popc(equal & lower_lanes());
      if (own >= 0 && (equal & lower_lanes()) == 0) seen[own] = before + __popc(equal);
      __syncwarp();
    }
  }
  __device__ int pick(int n, View<int> out, auto body) {
    int count = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < n; chunk += kLanes) {
      const bool mine = chunk + lane_ < n && body(chunk + lane_);
      const unsigned hits = __ballot_sync(kAllLanes, mine);
      if (mine) out[count + __popc(hits & lower_lanes())] = chunk + lane_;
      count += __popc(hits);
    }
    return in_step(count);
  }
  __device__ void order(int n, View<int> order, auto key) {
    for_each(n, [&](int i) { workspace_[i] = key(i); });
    sort_indices(n, workspace_, order);
  }
  // Every lane knows the least of its own keys: after a step only one lane has to search again.
  template <class Key> __device__ void serve(int n, View<Key> keys, int steps, auto rekey) {
    Key key = Never<Key>::key;
    int index = kNever;
    auto look = [&]() EPLB_INLINE {
      index = kNever;
#pragma unroll 4
      for (int i = lane_; i < n; i += kLanes) {
        const Key other = keys[i];
        const bool better = other < key || index == kNever;
        key = better ? other : key;
        index = better ? i : index;
      }
    };
    look();
    __syncwarp();  // the loop writes what was read so far; in it, a lane reads its own keys only
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const Key least = -most_of_warp(-key);
      const int i = __reduce_min_sync(kAllLanes, key == least ? index : kNever);
      if (i == index) {
        keys[i] = rekey(step, i, least);
        look();
      }
    }
    __syncwarp();
  }
  template <class Number>
  __device__ void fill(int n, View<int> keys, View<int> waiting, int steps, auto amount, auto apart,
                       auto close) {
    if (n <= 32) return RegisterKeys<1>().template fill<Number>(n, steps, amount, apart, close);
    if (n <= 128) return RegisterKeys<4>().template fill<Number>(n, steps, amount, apart, close);
    MemoryKeys in_memory{n, keys};
    in_memory.clear();
    solver::fill_with<Number>(in_memory, waiting, steps, amount, apart, close);
  }

  // A few lanes to each stretch, since the first value of a stretch comes after a chain of loads.
  // Each lane looks at two values at a time: most stretches are short, and a load takes longer than
  // a comparison.
  __device__ Found max_in_stretches(int n, int floor, auto stretches) {
    const int together = n < kLanes ? kLanes / n : 1;
    Found own{floor, kNever, kNever};
#pragma unroll 1
    for (int k = lane_ / together; k < n; k += kLanes) {
      const auto s = stretches(k);
#pragma unroll 1
      for (int i = s.from + lane_ % together; i < s.to && s.go_on(i); i += 2 * together) {
        const int x = s.value(i), y = s.value(i + together);
        if (x > own.value) own = {x, k, i};
        if (y > own.value) own = {y, k, i + together};
      }
    }
    return first_of_largest(own, n);
  }

  __device__ void single(auto body) {
    if (lane_ == 0) body();
    __syncwarp();
  }
  __device__ void single_nowait(auto body) {
    if (lane_ == 0) body();
  }
  __device__ static Patched patched(View<int> view, int i, int value) { return {view, i, value}; }
  __device__ void barrier() { __syncwarp(); }

 private:
  // Reductions, votes and shuffles synchronise lanes but order no memory: reads of one lane before
  // them could be overtaken by writes of another after them.
  template <class T> __device__ static T in_step(T value) {
    __syncwarp();
    return value;
  }
  // What a lane makes of its share of the indices.
  template <class Value>
  __device__ __forceinline__ Value fold(int from, int to, Value value, auto next) const {
#pragma unroll 4
    for (int i = from + lane_; i < to; i += kLanes) value = next(value, i);
    return value;
  }
  __device__ unsigned lower_lanes() const { return (1u << lane_) - 1; }

  // The largest value of all lanes; ties: lowest stretch of n, then lowest index.
  __device__ __forceinline__ static Found first_of_largest(const Found& own, int n) {
    const int value = __reduce_max_sync(kAllLanes, own.value);
    const bool has = own.value == value && own.stretch != kNever;
    if (n <= kNever >> kIndexBits) {  // stretch and index fit into one number
      const int where = has ? own.stretch << kIndexBits | own.index : kNever;
      const int first = in_step(__reduce_min_sync(kAllLanes, where));
      return {value, first >> kIndexBits, first & ((1 << kIndexBits) - 1)};
    }
    const int stretch = __reduce_min_sync(kAllLanes, has ? own.stretch : kNever);
    const bool mine = has && own.stretch == stretch;
    return {value, stretch, in_step(__reduce_min_sync(kAllLanes, mine ? own.index : kNever))};
  }

  // In three parts whose sums fit 32 bits: exact modulo 2^64.
  __device__ static uint64_t sum_of_warp(uint64_t own) {
    constexpr unsigned kBits = 26, kPart = (1u << kBits) - 1;
    const unsigned low = __reduce_add_sync(kAllLanes, static_cast<unsigned>(own) & kPart);
    const unsigned middle =
        __reduce_add_sync(kAllLanes, static_cast<unsigned>(own >> kBits) & kPart);
    const unsigned high = __reduce_add_sync(kAllLanes, static_cast<unsigned>(own >> 2 * kBits));
    return low + (uint64_t{middle} << kBits) + (uint64_t{high} << 2 * kBits);
  }

  __device__ static int most_of_warp(int own) { return __reduce_max_sync(kAllLanes, own); }
  // The largest upper half, then the largest lower half of those that have it.
  __device__ static int64_t most_of_warp(int64_t own) {
    const int upper = static_cast<int>(own >> 32), most = __reduce_max_sync(kAllLanes, upper);
    const unsigned lower =
        __reduce_max_sync(kAllLanes, upper == most ? static_cast<unsigned>(own) : 0u);
    return static_cast<int64_t>(static_cast<uint64_t>(static_cast<uint32_t>(most)) << 32 | lower);
  }

  View<uint64_t> workspace_;
  int lane_;
};

static_assert(solver::Team<WarpTeam>);

}  // namespace eplb::cuda
