// One limit of moves for all layers, shared out by what they gain.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

// What moves are worth to each layer.
struct MovePaths {
  int most = 0;               // moves of a layer that are looked at
  std::vector<int32_t> time;  // [L, most + 1]: the least with at most m moves; kNoTime: with none
  std::vector<int32_t> mean;  // [L]

  static constexpr int32_t kNoTime = 0x7fffffff;

  void resize(const Problem& problem);
  const int32_t* of_layer(int64_t layer) const { return &time[layer * (most + 1)]; }
  int32_t* of_layer(int64_t layer) { return &time[layer * (most + 1)]; }
};

// Each layer's share [L] of problem.moves.most_total. Throws InvalidArgument if forced moves alone
// exceed it.
std::vector<int32_t> share_moves(const MovePaths& paths, const Problem& problem);

}  // namespace eplb
