// A team that is one warp. All lanes call every member together; each ends with the warp in step and its writes seen.
#pragma once

#include "solver/best_layer.h"

EPLB_STAGE_BEGIN

class CudaTeam {
  template <class Key> struct Least {
    Key key;
    int index;
  };

 public:
  static constexpr int kLanes = 32;
  static constexpr unsigned kAll = 0xffffffffu;

  __device__ CudaTeam() : lane_(static_cast<int>(threadIdx.x) % kLanes) {}

  template <class Body> __device__ void for_each(int n, Body body) {
    for (int i = lane_; i < n; i += kLanes) body(i);
    __syncwarp();
  }
  template <class Body> __device__ void sweep(int n, Body body) { for_each(n, body); }

  template <class Body> __device__ int least(int from, int to, Body body) {
    int own = kNever;
    for (int i = from + lane_; i < to; i += kLanes) own = less(own, body(i));
    return in_step(__reduce_min_sync(kAll, own));
  }
  template <class Body> __device__ int most(int from, int to, Body body) {
    int own = -kNever;
    for (int i = from + lane_; i < to; i += kLanes) own = more(own, body(i));
    return in_step(__reduce_max_sync(kAll, own));
  }
  template <class Body> __device__ auto most_of(int n, Body body) {
    auto own = -Never<decltype(body(0))>::key;
    for (int i = lane_; i < n; i += kLanes) {
      const auto x = body(i);
      own = x > own ? x : own;
    }
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
      const auto other = shuffle(own, distance);
      own = other > own ? other : own;
    }
    return in_step(own);
  }
  template <class Body> __device__ int find_of(int n, Body body) { return find(0, n, body); }

  template <class Body> __device__ int64_t total(int n, Body body) {
    int64_t own = 0;
    for (int i = lane_; i < n; i += kLanes) own += body(i);
    for (int distance = kLanes / 2; distance > 0; distance /= 2)
      own += __shfl_xor_sync(kAll, static_cast<long long>(own), distance);
    return in_step(own);
  }
  template <class Body> __device__ int sum(int from, int to, Body body) {
    int own = 0;
    for (int i = from + lane_; i < to; i += kLanes) own += body(i);
    return in_step(__reduce_add_sync(kAll, own));
  }
  template <class Body> __device__ int find(int from, int to, Body body) {
    for (int chunk = from; chunk < to; chunk += kLanes) {
      const unsigned hits = __ballot_sync(kAll, chunk + lane_ < to && body(chunk + lane_));
      if (hits) return in_step(chunk + __ffs(static_cast<int>(hits)) - 1);
    }
    return in_step(to);
  }
  template <class Body> __device__ int pick(int n, View<int> out, Body body) {
    int count = 0;
    for (int chunk = 0; chunk < n; chunk += kLanes) {
      const bool mine = chunk + lane_ < n && body(chunk + lane_);
      const unsigned hits = __ballot_sync(kAll, mine);
      if (mine) out[count + __popc(hits & ((1u << lane_) - 1))] = chunk + lane_;
      count += __popc(hits);
    }
    __syncwarp();
    return count;
  }
  // By rank: every item counts those before it. A few hundred items are 10 rounds of a warp each; more want a merge sort.
  template <class Key> __device__ void order(int n, View<int> order, View<uint64_t> scratch, Key key) {
    for_each(n, [&](int i) { scratch[i] = key(i); });
    for_each(n, [&](int i) {
      const uint64_t mine = scratch[i];
      int rank = 0;
      for (int j = 0; j < n; ++j) rank += scratch[j] < mine || (scratch[j] == mine && j < i);
      order[rank] = i;
    });
  }
  template <class Key, class Rekey> __device__ void serve(int n, View<Key> keys, int steps, Rekey rekey) {
    for (int step = 0; step < steps; ++step) {
      const Least<Key> found = find_least(n, keys);
      if (lane_ == 0) keys[found.index] = rekey(step, found.index, found.key);
      __syncwarp();
    }
  }
  template <class Number, class Amount, class Apart, class Close>
  __device__ void fill(int n, View<int> keys, View<int> held, int steps, Amount amount, Apart apart, Close close) {
    FillKeys fill_keys{*this, n, keys};
    fill_with<Number>(fill_keys, held, steps, amount, apart, close);
  }

  template <class Body> __device__ Range range(int to, Body body) {
    int low = kNever, high = -kNever, at = kNever;
    for (int i = lane_; i < to; i += kLanes) {
      const int x = body(i);
      at = x > high ? i : at;
      low = less(low, x);
      high = more(high, x);
    }
    const int most = __reduce_max_sync(kAll, high);
    return {__reduce_min_sync(kAll, low), most, in_step(__reduce_min_sync(kAll, high == most ? at : kNever))};
  }
  using Best = Found;
  __device__ static Best above(int floor) { return {floor, -1, kNever}; }
  template <class GoOn, class Body>
  __device__ void raise(Best& best, int from, int to, int tag, GoOn go_on, Body body) {
    for (int chunk = from; chunk < to; chunk += kLanes) {
      if (chunk + lane_ < to) {
        const int x = body(chunk + lane_);
        if (x > best.value) best = {x, tag, chunk + lane_};
      }
      if (chunk + kLanes - 1 < to && !go_on(chunk + kLanes - 1)) return;
    }
  }
  __device__ static Best found(const Best& own) {
    const int value = __reduce_max_sync(kAll, own.value);
    const int tag = __reduce_min_sync(kAll, own.value == value ? own.tag : kNever);
    return {value, tag, in_step(__reduce_min_sync(kAll, own.value == value && own.tag == tag ? own.index : kNever))};
  }

  template <class Body> __device__ void single(Body body) {
    if (lane_ == 0) body();
    __syncwarp();
  }
  __device__ void barrier() { __syncwarp(); }

 private:
  // Reductions, votes and shuffles bring the lanes together but order no memory: what a lane has read before must not be
  // overtaken by what another writes after.
  template <class T> __device__ static T in_step(T value) {
    __syncwarp();
    return value;
  }

  struct FillKeys {
    CudaTeam& team;
    int n;
    View<int> keys;

    template <class Amount, class Apart, class Close> __device__ int begin(int, Amount, Apart, Close) {
      team.for_each(n, [&](int i) { keys[i] = 0; });
      return 0;
    }
    template <class Number, class Close> __device__ void serve(int amount, Close close) {
      team.serve(n, keys, 1, [&](int, int i, int key) { return close(i, key) ? kNever : Number::add(key, amount); });
    }
    __device__ bool take(int& i, int& key) {
      const Least<int> found = team.find_least(n, keys);
      i = found.index;
      key = found.key;
      put(i, kNever);
      return key != kNever;
    }
    __device__ void put(int i, int key) {
      if (team.lane_ == 0) keys[i] = key;
      __syncwarp();
    }
    template <class Body> __device__ bool once(Body body) {
      int result = 0;
      if (team.lane_ == 0) result = body();
      __syncwarp();
      return __shfl_sync(kAll, result, 0) != 0;
    }
  };

  template <class Key> __device__ Least<Key> find_least(int n, View<Key> keys) {
    Key key = Never<Key>::key;
    int index = kNever;
    for (int i = lane_; i < n; i += kLanes)
      if (keys[i] < key || index == kNever) {
        key = keys[i];
        index = i;
      }
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
      const Key other = shuffle(key, distance);
      const int other_index = __shfl_xor_sync(kAll, index, distance);
      if (other < key || (other == key && other_index < index)) {
        key = other;
        index = other_index;
      }
    }
    return in_step(Least<Key>{key, index});
  }

  __device__ static int shuffle(int key, int distance) { return __shfl_xor_sync(kAll, key, distance); }
  __device__ static int64_t shuffle(int64_t key, int distance) {
    return __shfl_xor_sync(kAll, static_cast<long long>(key), distance);
  }

  int lane_;
};

EPLB_STAGE_END
