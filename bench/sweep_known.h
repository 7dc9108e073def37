// Steps above the limit of the sweep that are known, each with its reason.
#pragma once

#include "sweep_grid.h"

namespace bench {

struct MeasuredShape {
  GridShape shape;
  double nanoseconds;  // per slot
};

struct KnownStep {
  const char* effort;  // NULL: any
  const char* reason;
  bool (*holds)(const MeasuredShape& cheaper, const MeasuredShape& costlier, double reference);
};

// The first entry that holds, or NULL. reference: nanoseconds per slot of 256 experts on 288/32.
const KnownStep* find_known(const std::string& effort, const MeasuredShape& cheaper,
                            const MeasuredShape& costlier, double reference);

}  // namespace bench
