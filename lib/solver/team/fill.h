// The loop of team.fill, over what a team keeps keys in (a warp with few keys has one of its own, with the same answer):
//
//   keys.begin(steps, amount, apart, f)   may take the first steps in one go; returns how many
//   keys.serve(amount, f)      f(i, key) for the least key; it becomes the sum, or kNever if f returned true
//   keys.take(i, key)          takes the least key out; false if all are out or kNever
//   keys.put(i, key)           puts one in
//   keys.once(f)               f() by one lane; its bool to all
#pragma once

#include "solver/team/arithmetic.h"

EPLB_STAGE_BEGIN

template <class Number, class Keys, class Amount, class Apart, class Close>
EPLB_INLINE EPLB_FN void fill_with(Keys& keys, View<int> held, int steps, Amount amount, Apart apart, Close close) {
  for (int step = keys.begin(steps, amount, apart, close); step < steps;) {
    const int end = step + apart(step);
    if (end == step + 1) {
      keys.template serve<Number>(amount(step), [&](int i, int key) EPLB_INLINE { return close(step, i, key); });
      ++step;
      continue;
    }
    int count = 0;
    auto put_back = [&]() EPLB_INLINE {
      for (; count > 0; --count) keys.put(held[2 * count - 2], held[2 * count - 1]);
    };
    for (; step < end; ++step) {
      int i, key;
      if (!keys.take(i, key)) {  // more copies than there are with room: a second round
        put_back();
        keys.take(i, key);
      }
      const bool closed = keys.once([&] {
        held[2 * count] = i;
        held[2 * count + 1] = Number::add(key, amount(step));
        return close(step, i, key);
      });
      if (!closed) ++count;
    }
    put_back();
  }
}

EPLB_STAGE_END
