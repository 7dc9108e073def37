#include "core/move_shares.h"

#include <algorithm>
#include <queue>

#include "core/error.h"

namespace eplb {
namespace {

// The stretch of a layer's path that gains most per move.
struct Stretch {
  int64_t gain = 0;  // in kImbalanceUnits of the layer
  int64_t layer = 0;
  int moves = 0;

  // Is it taken later than `other`? Ties: the lower layer first.
  bool operator<(const Stretch& other) const {
    const int64_t own = gain * other.moves, its = other.gain * moves;
    return own != its ? own < its : layer > other.layer;
  }
};

Stretch best_stretch(const MovePaths& paths, int64_t layer, int from, int64_t most) {
  const int32_t* const path = paths.of_layer(layer);
  Stretch best{0, layer, 1};
  const int end = static_cast<int>(std::min<int64_t>(paths.most, from + most));
  for (int to = from + 1; to <= end; ++to) {
    const int64_t gain = int64_t{path[from] - path[to]} * kImbalanceUnits / paths.mean[layer];
    if (gain * best.moves > best.gain * (to - from)) best = {gain, layer, to - from};
  }
  return best;
}

// Gives stretches to layers, the one that gains most per move first.
void share_rest(const MovePaths& paths, int64_t left, std::vector<int32_t>& shares) {
  std::priority_queue<Stretch> stretches;
  auto offer = [&](int64_t layer) {
    const Stretch best = best_stretch(paths, layer, shares[static_cast<size_t>(layer)], left);
    if (best.gain > 0) stretches.push(best);
  };
  for (size_t layer = 0; layer < shares.size(); ++layer) offer(static_cast<int64_t>(layer));
  while (!stretches.empty()) {
    const Stretch best = stretches.top();
    stretches.pop();
    if (best.moves <= left) {
      shares[static_cast<size_t>(best.layer)] += best.moves;
      left -= best.moves;
    }
    offer(best.layer);  // what fits by now
  }
}

}  // namespace

void MovePaths::resize(const Problem& problem) {
  const int64_t limit = std::min<int64_t>(problem.moves.most, problem.moves.most_total);
  most = static_cast<int>(std::min<int64_t>(problem.cluster.slots, limit));
  time.resize(static_cast<size_t>(problem.layers * (most + 1)));
  mean.resize(static_cast<size_t>(problem.layers));
}

std::vector<int32_t> share_moves(const MovePaths& paths, const Problem& problem) {
  std::vector<int32_t> shares(static_cast<size_t>(problem.layers));
  int64_t left = problem.moves.most_total;
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    const int32_t* const path = paths.of_layer(layer);
    const auto first = std::find_if(path, path + paths.most,
                                    [](int32_t time) { return time != MovePaths::kNoTime; });
    shares[static_cast<size_t>(layer)] = static_cast<int32_t>(first - path);
    left -= first - path;
  }
  if (left < 0)
    fail(EPLB_INVALID_ARGUMENT,
         "max_moves_total is %lld, but experts that are nowhere they can stay take %lld moves",
         ll(problem.moves.most_total), ll(problem.moves.most_total - left));
  share_rest(paths, left, shares);
  return shares;
}

}  // namespace eplb
