// Shapes at the documented limits, each solved and reported once: how long do they take?
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sweep_kind.h"

namespace bench {

struct ExtremeShape {
  GridShape shape;
  int law;  // of its weights, see sweep_weights.h
};

struct Extreme {
  Kind kind;
  ExtremeShape of;
  // Of one layer. None: longer than it may take, and stopped.
  std::optional<double> call_seconds{}, report_seconds{};
  bool has_report = false;
};

// For how many of the extremes there is time.
enum class Extremes { kFew, kAll };

// Each is measured in a process of its own, which ends after most_seconds of processor time;
// `done` sees each when it is there. The longest come first.
std::vector<Extreme> measure_extremes(Extremes which, const std::string& only, double most_seconds,
                                      const std::function<void(const Extreme&)>& done);

bool takes_too_long(const Extreme& extreme);

}  // namespace bench
