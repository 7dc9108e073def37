// A warp on the host, for tests: 32 lanes that take their turns in a random order. What a stage
// computes must not depend on that order, nor on how work is split over lanes: this is how the
// device's rules are tested without a device.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <tuple>
#include <vector>

#include "solver/team/fill.h"
#include "solver/team/nearby.h"
#include "solver/team/team.h"

namespace eplb::tests {

using solver::kNever;
using solver::View;

class ShuffledTeam {
 public:
  static constexpr int kLanes = 32;
  using PerLane = std::array<int, kLanes>;

  explicit ShuffledTeam(uint32_t seed) : random_(seed) {}

  static bool stopped() { return false; }

  template <class Body> void for_each(int n, Body body) {
    each_lane(n, [&](int, int i) { body(i); });
  }
  template <class Body> void sweep(int n, Body body) { for_each(n, body); }

  template <class Body> int min(int from, int to, Body body) {
    PerLane own;
    own.fill(kNever);
    each_lane(to - from, [&](int lane, int i) { own[lane] = std::min(own[lane], body(from + i)); });
    return reduce(own, [](int a, int b) { return std::min(a, b); });
  }
  template <class Body> int max(int from, int to, Body body) {
    return -min(from, to, [&](int i) { return -body(i); });
  }
  template <class Body> auto max_of(int n, Body body) {
    using Value = decltype(body(0));
    std::array<Value, kLanes> own;
    own.fill(-solver::Never<Value>::key);
    each_lane(n, [&](int lane, int i) { own[lane] = std::max(own[lane], body(i)); });
    Value found = own[0];
    for (const int lane : shuffled_lanes()) found = std::max(found, own[lane]);
    return found;
  }
  template <class Body> int find_of(int n, Body body) { return find(0, n, body); }
  template <class Body> int64_t sum_of(int n, Body body) {
    std::array<int64_t, kLanes> own{};
    each_lane(n, [&](int lane, int i) { own[lane] += body(i); });
    int64_t sum = 0;
    for (const int lane : shuffled_lanes()) sum += own[lane];
    return sum;
  }
  template <class Body> int sum(int from, int to, Body body) {
    PerLane own{};
    each_lane(to - from, [&](int lane, int i) { own[lane] += body(from + i); });
    return reduce(own, [](int a, int b) { return a + b; });
  }
  template <class Body> int find(int from, int to, Body body) {
    for (int chunk = from; chunk < to; chunk += kLanes) {
      uint32_t ballot = 0;
      for (const int lane : shuffled_lanes())
        if (chunk + lane < to && body(chunk + lane)) ballot |= uint32_t{1} << lane;
      if (ballot) return chunk + __builtin_ctz(ballot);
    }
    return to;
  }
  template <class Column> int max_in_columns(int n, int rows, Column column) {
    return max_of(n, [&](int i) {
      int largest = -kNever;
      for (int row = 0; row < rows; ++row) largest = std::max(largest, column(i)(row));
      return largest;
    });
  }
  template <class Row> int find_in_rows(int at, int rows, int from, int to, Row row) {
    const int places = rows * solver::kRow;
    return at + find(0, std::max(places - at, 0), [&](int place) {
             const int i = from + (at + place) % solver::kRow;
             return i < to && row((at + place) / solver::kRow)(i);
           });
  }
  solver::ComparedValues nearby(int n, View<int> values, View<int>, int) { return {values, n}; }
  template <class Body, class Visit> int scan(int n, Body body, Visit visit) {
    int sum = 0;
    for (int chunk = 0; chunk < n; chunk += kLanes) {
      PerLane own{}, before{};
      for (const int lane : shuffled_lanes())
        if (chunk + lane < n) own[lane] = body(chunk + lane);
      for (int lane = 0; lane < kLanes; sum += own[lane++]) before[lane] = sum;
      for (const int lane : shuffled_lanes())
        if (chunk + lane < n) visit(chunk + lane, before[lane]);
    }
    return sum;
  }
  template <class Body> void rank_among_equals(int n, View<int> seen, View<int> out, Body body) {
    for (int i = 0; i < n; ++i) out[i] = seen[body(i)]++;
  }
  template <class Body> int pick(int n, View<int> out, Body body) {
    int count = 0;
    for (int chunk = 0; chunk < n; chunk += kLanes) {
      uint32_t ballot = 0;
      for (const int lane : shuffled_lanes())
        if (chunk + lane < n && body(chunk + lane)) ballot |= uint32_t{1} << lane;
      for (const int lane : shuffled_lanes())
        if (ballot >> lane & 1)
          out[count + __builtin_popcount(ballot & ((uint32_t{1} << lane) - 1))] = chunk + lane;
      count += __builtin_popcount(ballot);
    }
    return count;
  }
  template <class Key> void order(int n, View<int> order, Key key) {
    std::vector<uint64_t> scratch(n);
    for_each(n, [&](int i) { scratch[i] = key(i); });
    for_each(n, [&](int i) {
      int rank = 0;
      for (int j = 0; j < n; ++j)
        rank += scratch[j] < scratch[i] || (scratch[j] == scratch[i] && j < i);
      order[rank] = i;
    });
  }
  template <class Key, class Rekey> void serve(int n, View<Key> keys, int steps, Rekey rekey) {
    for (int step = 0; step < steps; ++step) {
      std::array<int, kLanes> own;
      own.fill(-1);
      each_lane(n, [&](int lane, int i) {
        if (own[lane] < 0 || keys[i] < keys[own[lane]] ||
            (keys[i] == keys[own[lane]] && i < own[lane]))
          own[lane] = i;
      });
      const int first = reduce(own, [&](int a, int b) {
        if (a < 0 || b < 0) return a < 0 ? b : a;
        return keys[a] < keys[b] || (keys[a] == keys[b] && a < b) ? a : b;
      });
      keys[first] = rekey(step, first, keys[first]);
    }
  }
  template <class Number, class Amount, class Apart, class Close>
  void fill(int n, View<int> keys, View<int> waiting, int steps, Amount amount, Apart apart,
            Close close) {
    FillKeys fill_keys{*this, n, keys};
    solver::fill_with<Number>(fill_keys, waiting, steps, amount, apart, close);
  }

  template <class Body> solver::MinMax min_max(int to, Body body) {
    const int largest = max(0, to, body);
    return {min(0, to, body), largest, find(0, to, [&](int i) { return body(i) == largest; })};
  }
  // A few lanes to a stretch; each lane keeps its own.
  template <class Stretches> solver::Found max_in_stretches(int n, int floor, Stretches stretches) {
    constexpr int kTogether = 8;
    std::array<solver::Found, kLanes> best;
    best.fill({floor, kNever, kNever});
    for (const int lane : shuffled_lanes())
      for (int k = lane / kTogether; k < n; k += kLanes / kTogether) {
        const auto s = stretches(k);
        for (int i = s.from + lane % kTogether; i < s.to && s.go_on(i); i += kTogether) {
          const int x = s.value(i);
          if (x > best[lane].value) best[lane] = {x, k, i};
        }
      }
    return *std::min_element(best.begin(), best.end(),
                             [](const solver::Found& a, const solver::Found& b) {
                               return std::tuple(-a.value, a.stretch, a.index) <
                                      std::tuple(-b.value, b.stretch, b.index);
                             });
  }

  template <class Body> void single(Body body) { body(); }
  template <class Body> void single_nowait(Body body) { body(); }
  static View<int> patched(View<int> view, int, int) { return view; }
  void barrier() {}

 private:
  struct FillKeys {
    ShuffledTeam& team;
    int n;
    View<int> keys;

    template <class Amount, class Apart, class Close> int begin(int, Amount, Apart, Close) {
      team.for_each(n, [&](int i) { keys[i] = 0; });
      return 0;
    }
    template <class Number, class Close> void serve(int amount, Close close) {
      team.serve(n, keys, 1, [&](int, int i, int key) {
        return close(i, key) ? kNever : Number::add(key, amount);
      });
    }
    bool take(int& i, int& key) {
      team.serve(n, keys, 1, [&](int, int found, int least) {
        i = found;
        key = least;
        return kNever;
      });
      return key != kNever;
    }
    void put(int i, int key) { keys[i] = key; }
    template <class Body> bool once(Body body) { return body(); }
  };

  const PerLane& shuffled_lanes() {
    std::shuffle(lanes_.begin(), lanes_.end(), random_);
    return lanes_;
  }
  // Lane l has the items l, l + 32, ..., in this order; which lane is next is chance.
  template <class Body> void each_lane(int n, Body body) {
    PerLane next;
    for (int lane = 0; lane < kLanes; ++lane) next[lane] = lane;
    int left = std::max(n, 0);
    while (left > 0) {
      const int lane = static_cast<int>(random_() % kLanes);
      for (int burst = 1 + static_cast<int>(random_() % 3); burst > 0 && next[lane] < n;
           --burst, --left) {
        body(lane, next[lane]);
        next[lane] += kLanes;
      }
    }
  }
  template <class Combine> int reduce(PerLane own, Combine combine) {
    PerLane order = shuffled_lanes();
    int result = own[order[0]];
    for (int i = 1; i < kLanes; ++i) result = combine(result, own[order[i]]);
    return result;
  }

  std::mt19937 random_;
  PerLane lanes_ = [] {
    PerLane lanes;
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane;
    return lanes;
  }();
};
static_assert(solver::Team<ShuffledTeam>);

}  // namespace eplb::tests
