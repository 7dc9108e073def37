// What stages ask about GPUs. They are all equal, so no question names one.
#pragma once

#include "core/problem.h"
#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

// GPU g has the slots from g times this on.
EPLB_FN int slots_per_gpu(const Cluster& cluster) { return cluster.slots / cluster.gpus; }

EPLB_STAGE_END
