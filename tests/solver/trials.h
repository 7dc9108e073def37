// How many random problems a test takes.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace eplb::tests {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

// All where EPLB_TRIALS is set. A third draws every kind of problem many times, and a sanitizer makes
// each ten times as slow.
inline uint32_t trials(uint32_t count) {
  static const uint32_t parts = std::getenv("EPLB_TRIALS") ? 1 : kSanitized ? 10 : 3;
  return count / parts;
}

}  // namespace eplb::tests
