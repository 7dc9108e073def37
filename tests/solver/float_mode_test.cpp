#include "api/float_mode.h"

#include <gtest/gtest.h>

namespace {

#if defined(__x86_64__)
constexpr uint64_t kFlags = 0x3f;                // raised by any addition
constexpr uint64_t kFlushAndRoundDown = 0xa040;  // and denormals are zero
uint64_t mode() { return _mm_getcsr(); }
void set_mode(uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
constexpr uint64_t kFlags = 0;
constexpr uint64_t kFlushAndRoundDown = 0x1800000;
uint64_t mode() {
  uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
void set_mode(uint64_t mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
#endif

TEST(FloatMode, IsTheDefaultInsideAndTheCallersOutside) {
  const uint64_t before = mode();
  const uint64_t callers = (before & ~kFlags) | kFlushAndRoundDown;
  set_mode(callers);
  {
    const eplb::api::DefaultFloatMode inside;
    EXPECT_EQ(mode() & ~kFlags, uint64_t{eplb::api::DefaultFloatMode::kDefault});
    volatile double tiny = 5e-324;
    EXPECT_GT(tiny * 2, 0.0);
  }
  const uint64_t after = mode();
  set_mode(before);
  EXPECT_EQ(after, callers);
}

}  // namespace
