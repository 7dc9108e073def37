// What makes a strategy: numbers, not a program.
#pragma once

#include "solver/team.h"

EPLB_STAGE_BEGIN

struct Preset {
  int swaps;  // at most so many best swaps of the heaviest pack
};

inline constexpr Preset kGreedy{0};
inline constexpr Preset kLptSwap{50};

EPLB_STAGE_END
