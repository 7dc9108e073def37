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

// Quotients of denormals lose bits, or become 0. What is relative is worked out of layers with such
// totals as if they were kMagnified times as heavy, which is exact.
inline constexpr double kLittle = 0x1p-900, kMagnified = 0x1p200;

// Largest over mean load. Roundings never make it better than perfect.
EPLB_FN double imbalance_of(double total, double largest, double gpus) {
  const double mean = total / gpus;
  return largest <= mean ? 1 : largest / mean;
}

EPLB_STAGE_END
