// How long a call takes.
#pragma once

#include <chrono>

namespace eplb {

inline double now_microseconds() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace eplb
