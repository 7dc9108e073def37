// One lane: what a sweep looks like where there are no vectors, or none that Highway knows.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

inline constexpr int kLanes = 1;
using Index = int;

EPLB_STAGE_END
