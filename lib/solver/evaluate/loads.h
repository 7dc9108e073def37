// How heavy GPUs are, in double from the original weights, always in the same order: every machine
// gives the same bits.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// Of the GPU that holds the experts held[0 .. places), -1 for none. weight(e) and count(e) as
// double and int.
EPLB_FN double gpu_load(const int* held, int places, const auto& weight, const auto& count) {
  double load = 0;
  for (int k = 0; k < places; ++k)
    if (held[k] >= 0) load += weight(held[k]) / count(held[k]);
  return load;
}

// Largest over mean load. Roundings never make it better than perfect; the mean of the least
// denormals may be 0.
EPLB_FN double imbalance_of(double total, double largest, double gpus) {
  const double mean = total / gpus;
  if (largest <= mean) return 1;
  return mean > 0 ? largest / mean : largest / total * gpus;
}

EPLB_STAGE_END
