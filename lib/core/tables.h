// Small arrays that a caller gives once and that are part of every later problem.
#pragma once

#include "core/cluster.h"
#include "core/prices.h"
#include "core/window_weights.h"

namespace eplb {

struct Tables {
  ClusterArrays cluster;
  PriceTable prices;
  WindowWeights window_weights;

  int64_t bytes() const { return cluster.bytes() + prices.bytes() + window_weights.bytes(); }
};

}  // namespace eplb
