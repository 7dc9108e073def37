// Values that a number is compared with, all of them: see Team::nearby.
#pragma once

#include "solver/team/memory.h"

EPLB_STAGE_BEGIN

struct ComparedValues {
  View<int> values;
  int n;

  template <class X> EPLB_FN auto any(X x, X distance) const {
    auto distance_to = [=](int value) { return magnitude(x - value); };
    // Two chains of minima, which the processor works on at the same time.
    auto nearest = distance_to(values[0]), other = distance_to(values[n - 1]);
    for (int i = 1; i + 1 < n; i += 2) {
      nearest = smaller(nearest, distance_to(values[i]));
      other = smaller(other, distance_to(values[i + 1]));
    }
    return smaller(nearest, other) < distance;
  }
};

EPLB_STAGE_END
