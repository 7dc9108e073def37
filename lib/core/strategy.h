// What sets strategies apart outside of their search: one row for each.
#pragma once

#include "eplb.h"

namespace eplb {

struct StrategyTraits {
  const char* name;
  bool float32;       // computes in float32: weights beyond its range are refused
  bool knows_caps;    // keeps max_replicas by itself; else its counts are checked when it is done
  bool knows_speeds;  // balances times; else it takes equally fast GPUs only
  bool by_excess;     // balances every window, and keeps groups at home as far as asked
};

// By the value of its EPLB_STRATEGY_ constant. GREEDY is the published program: float32, no cap, no
// speeds.
inline constexpr StrategyTraits kStrategies[] = {
    {.name = "greedy",
     .float32 = true,
     .knows_caps = false,
     .knows_speeds = false,
     .by_excess = false},
    {.name = "lpt_swap",
     .float32 = false,
     .knows_caps = true,
     .knows_speeds = true,
     .by_excess = false},
    {.name = "l2_swap",
     .float32 = false,
     .knows_caps = true,
     .knows_speeds = true,
     .by_excess = false},
    {.name = "random_restarts",
     .float32 = false,
     .knows_caps = true,
     .knows_speeds = true,
     .by_excess = false},
    {.name = "noise_spectrum",
     .float32 = false,
     .knows_caps = true,
     .knows_speeds = true,
     .by_excess = false},
    {.name = "hybrid_init",
     .float32 = false,
     .knows_caps = true,
     .knows_speeds = true,
     .by_excess = false},
    {.name = "best", .float32 = false, .knows_caps = true, .knows_speeds = true, .by_excess = true},
    {.name = "rebalance",
     .float32 = false,
     .knows_caps = true,
     .knows_speeds = true,
     .by_excess = true},
};
static_assert(sizeof kStrategies / sizeof *kStrategies == EPLB_STRATEGY_REBALANCE + 1);

inline const StrategyTraits& traits_of(eplb_strategy strategy) { return kStrategies[strategy]; }

}  // namespace eplb
