#include "api/float_mode.h"

#include <gtest/gtest.h>

#ifdef __x86_64__
TEST(FloatMode, IsTheDefaultInsideAndTheCallersOutside) {
  const unsigned before = _mm_getcsr();
  // Flush to zero, denormals are zero, round down.
  const unsigned callers = (before & ~0x3fu) | 0x8040u | 0x2000u;
  _mm_setcsr(callers);
  {
    const eplb::api::DefaultFloatMode mode;
    EXPECT_EQ(_mm_getcsr() & 0xffc0u, 0x1f80u);
    volatile double tiny = 5e-324;
    EXPECT_GT(tiny * 2, 0.0);
  }
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  EXPECT_EQ(after, callers);
}
#endif
