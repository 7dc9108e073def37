// The floating-point mode of a call. Sums and divisions are defined in round-to-nearest without
// flush-to-zero, whatever the caller works in. By hand, because <fenv.h> lives in libm and the
// library needs only libc.
#pragma once

#include <cstdint>

#ifdef __x86_64__
#include <xmmintrin.h>
#endif

namespace eplb::api {

class DefaultFloatMode {
 public:
#if defined(__x86_64__)
  DefaultFloatMode() : before_(_mm_getcsr()) { _mm_setcsr(kDefault); }
  ~DefaultFloatMode() { _mm_setcsr(static_cast<unsigned>(before_)); }
  static constexpr unsigned kDefault = 0x1f80;  // all exceptions masked, to nearest, denormals kept
#elif defined(__aarch64__)
  DefaultFloatMode() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    set(kDefault);
  }
  ~DefaultFloatMode() { set(before_); }
  static constexpr uint64_t kDefault = 0;  // the same
#else
#error "eplb: how does this machine name its floating-point mode?"
#endif
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
#ifdef __aarch64__
  // The compiler moves no access to memory, and so no arithmetic on it, across.
  static void set(uint64_t mode) { asm volatile("msr fpcr, %0" : : "r"(mode) : "memory"); }
#endif

  uint64_t before_;
};

}  // namespace eplb::api
