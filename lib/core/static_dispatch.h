// Which slot each source rank uses of each expert: what is asked for, and the answer.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"
#include "eplb.h"

namespace eplb {

inline constexpr int kMostRanks = 1 << 12;
inline constexpr int64_t kMostInTable = int64_t{1} << 24;  // of a layer

struct StaticDispatch {
  Problem problem{};                      // with its limits
  std::vector<int32_t> placement, units;  // [L,S]
  std::vector<int32_t> table;             // [L,R,E]
  std::vector<double> load;               // [L,G]
  std::vector<SplitFigures> layers;       // [L]

  void resize(const Problem& asked);
  void reserve(const StaticDispatch& other);
  DispatchOutputs of_layer(int64_t layer);
  int64_t bytes() const;
};

// Throws InvalidArgument.
DispatchLimits read_limits(const eplb_static_dispatch_options& options, const Problem& problem);

}  // namespace eplb
