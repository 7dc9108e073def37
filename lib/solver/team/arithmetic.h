// The two kinds of arithmetic. Integers decide in every strategy but GREEDY, which follows the
// published program and computes in float32. Both kinds live in int32 arrays: non-negative floats
// compare like their bit patterns.
#pragma once

#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

struct Integer {
  using Priority = int64_t;
  static constexpr bool kHoldsAll = true;  // can it represent every valid weight?

  EPLB_FN static int add(int a, int b) { return a + b; }
  EPLB_FN static int share(int weight, int copies) { return weight / copies; }

  // The next replica goes to the largest weight/copies, which is the least of these. One integer
  // orders them exactly: different quotients differ by at least 1/(c1 c2) >= 2^-34, since copies
  // sum to at most 2^18 slots, and weight < 2^29.
  EPLB_FN static Priority priority(int weight, int copies) {
    return kNever64 - 1 - (static_cast<int64_t>(weight) << 34) / copies;
  }

  // Weights as float32 below 2^29, close enough for an estimate; scale 0: none is possible.
  EPLB_FN static float estimate_scale(int) { return 1; }
  EPLB_FN static float estimate(int weight, float) { return static_cast<float>(weight); }
};

struct Float32 {
  using Priority = int;
  static constexpr bool kHoldsAll = false;

  EPLB_FN static float value(int bits) { return __builtin_bit_cast(float, bits); }
  EPLB_FN static int bits(float value) { return __builtin_bit_cast(int, value); }
  // The device fuses nothing either, and rounds divisions: see lib/CMakeLists.txt.
  EPLB_FN static int add(int a, int b) { return bits(value(a) + value(b)); }
  EPLB_FN static int share(int weight, int copies) {
    return bits(value(weight) / static_cast<float>(copies));
  }
  EPLB_FN static Priority priority(int weight, int copies) {
    return kNever - 1 - share(weight, copies);
  }

  EPLB_FN static float estimate_scale(int largest) {
    return value(largest) > 0x1p-60f ? 0x1p26f / value(largest) : 0;
  }
  EPLB_FN static float estimate(int weight, float scale) { return value(weight) * scale; }
};

EPLB_STAGE_END
