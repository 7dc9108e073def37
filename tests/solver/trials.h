// How many random problems a test takes.
#pragma once

#include <cstdint>

namespace eplb::tests {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

// A sanitizer makes each ten times as slow, and all are taken without one.
constexpr uint32_t trials(uint32_t count) { return kSanitized ? count / 10 : count; }

}  // namespace eplb::tests
