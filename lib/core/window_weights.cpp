#include "core/window_weights.h"

#include <algorithm>
#include <cmath>

#include "core/caller_array.h"
#include "core/error.h"
#include "core/weights.h"

namespace eplb {

WindowWeights read_window_weights(const double* given, int64_t windows) {
  if (given == nullptr) return {};
  check_least("num_windows", windows, 1);
  check_most("num_windows", windows, kMostWindows, "the most windows that are kept apart");
  const std::vector<double> weights = copy_of(given, windows);
  for (int64_t t = 0; t < windows; ++t)
    if (!(weights[t] >= 0) || !std::isfinite(weights[t]))
      fail(EPLB_INVALID_ARGUMENT, "weights[window %lld] is %s, must be finite and at least 0",
           ll(t),
           std::isnan(weights[t]) ? "NaN"
           : weights[t] < 0       ? "negative"
                                  : "infinite");
  const double highest = *std::max_element(weights.begin(), weights.end());
  if (highest == 0) fail(EPLB_INVALID_ARGUMENT, "weights are 0 in all windows: one must matter");
  WindowWeights read;
  for (int64_t t = 0; t < windows; ++t)
    read.share.push_back((static_cast<int32_t>(weights[t] / highest * (2 * kWindowShare)) + 1) / 2);
  return read;
}

void set_window_weights(const WindowWeights& weights, Problem& problem) {
  if (!weights.exists() || problem.options.objective != EPLB_OBJECTIVE_WINDOWS) return;
  const auto given = static_cast<int64_t>(weights.share.size());
  if (given != problem.windows)
    fail(EPLB_INVALID_ARGUMENT,
         "there are %lld windows, but weights for %lld: upload others with "
         "eplb_upload_window_weights, or none",
         ll(problem.windows), ll(given));
  problem.window_share = weights.share.data();
}

}  // namespace eplb
