// The loop of Team::fill over a container of keys. Each team has containers of its own, chosen by
// the number of keys; a warp with few keys has its own loop, with the same answer.
//
//   keys.begin(steps, amount, apart, f)   may perform the first steps at once; returns their number
//   keys.serve(amount, f)      f(i, key) for the least key, to which amount is added; kNever if f
//                              returns true
//   keys.take(i, key)          removes the least key; false if none is left, or only kNever
//   keys.put(i, key)           inserts one
//   keys.once(f)               one lane calls f(); all lanes get its bool
#pragma once

#include "solver/team/arithmetic.h"
#include "solver/team/memory.h"

EPLB_STAGE_BEGIN

// Keys served in a run wait here until its end, so that none is served twice.
struct WaitingKeys {
  View<int> pairs;  // index and key of each
  int count = 0;

  EPLB_INLINE EPLB_FN void put_back(auto& keys) {
    for (; count > 0; --count) keys.put(pairs[2 * count - 2], pairs[2 * count - 1]);
  }
  EPLB_INLINE EPLB_FN void take(auto& keys, int& i, int& key) {
    if (keys.take(i, key)) return;
    put_back(keys);  // the run is longer than the list of open keys: serve them again
    keys.take(i, key);
  }
};

template <class Number>
EPLB_INLINE EPLB_FN void fill_with(auto& keys, View<int> waiting_pairs, int steps, auto amount,
                                   auto apart, auto close) {
  for (int step = keys.begin(steps, amount, apart, close); step < steps;) {
    const int end = step + apart(step);
    if (end == step + 1) {
      keys.template serve<Number>(amount(step),
                                  [&](int i, int key) EPLB_INLINE { return close(step, i, key); });
      ++step;
      continue;
    }
    WaitingKeys waiting{waiting_pairs};
    for (; step < end; ++step) {
      int i, key;
      waiting.take(keys, i, key);
      const bool closed = keys.once([&] {
        waiting.pairs[2 * waiting.count] = i;
        waiting.pairs[2 * waiting.count + 1] = Number::add(key, amount(step));
        return close(step, i, key);
      });
      if (!closed) ++waiting.count;
    }
    waiting.put_back(keys);
  }
}

EPLB_STAGE_END
