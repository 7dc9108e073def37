// Vectors of one lane: for instruction sets without vectors, or with none that Highway supports.
#pragma once

#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

inline constexpr int kLanes = 1;
using Index = int;

EPLB_STAGE_END
