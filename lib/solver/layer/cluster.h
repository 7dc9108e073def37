// What stages ask about GPUs. They are all equal, so no question names one.
#pragma once

#include "core/problem.h"
#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

// GPU g has the slots g * slots_per_gpu and following.
EPLB_FN int slots_per_gpu(const Cluster& cluster) { return cluster.slots / cluster.gpus; }

EPLB_STAGE_END
