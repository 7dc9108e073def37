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
  bool (*holds)(const MeasuredShape& cheaper, const MeasuredShape& costlier, double most);
};

// The first entry that holds, or NULL. most: nanoseconds per slot that are no cliff, the limit of a
// step times those of 256 experts on 288/32.
const KnownStep* find_known(const std::string& effort, const MeasuredShape& cheaper,
                            const MeasuredShape& costlier, double most);

}  // namespace bench
