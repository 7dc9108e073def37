// Times per slot over a grid, and steps between its neighbours.
#pragma once

#include <string>
#include <vector>

#include "sweep_kind.h"
#include "sweep_known.h"

namespace bench {

struct SweepOptions {
  double limit = 3;         // a step above it needs a reason
  double milliseconds = 1;  // spent on each shape at least
  double slack = 1;         // factor on what reasons allow
};

struct Finding {
  Step step;
  double ratio;
  const KnownStep* known;
};

struct Sweep {
  Kind kind;
  std::vector<GridShape> grid{};
  std::vector<double> nanoseconds{};  // per slot, by index of the grid
  std::vector<Finding> steps{};       // the largest first
  double reference = 0;               // nanoseconds per slot of kReference
  double seconds = 0;
};

inline constexpr GridShape kReference{256, 9, 32};
inline constexpr int kFewSlots = 1024;      // up to which
inline constexpr int kLayersOfEachLaw = 2;  // are solved, beyond one

// Steps that seem too large are measured again, longer, so that a busy machine raises no false
// alarm.
Sweep sweep(const Kind& kind, const GridSize& size, const SweepOptions& options);

// Steps above the limit for which there is no reason.
std::vector<Finding> cliffs_of(const Sweep& sweep, double limit);

}  // namespace bench
