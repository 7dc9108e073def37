// The strategies and efforts by name. Their values are those of the constants of eplb.h, which
// machines/cpu/target.cpp asserts: the solver includes nothing but itself.
#pragma once

#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

enum class Strategy {
  kGreedy = 0,
  kLptSwap = 1,
  kL2Swap = 2,
  kRandomRestarts = 3,
  kNoiseSpectrum = 4,
  kHybridInit = 5,
  kBest = 6,
};

enum class EffortLevel { kFast = 0, kNormal = 1, kMax = 2 };

EPLB_STAGE_END
