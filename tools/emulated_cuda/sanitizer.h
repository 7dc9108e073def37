// What AddressSanitizer has to know: which stack is in use, and which memory may be touched now.
// Nothing without it.
#pragma once

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulated {

inline void forbid([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(memory, bytes);
#endif
}
inline void allow([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(memory, bytes);
#endif
}
// `fake` is where the stack that is left keeps its books; null: it is left for ever.
inline void leave_stack([[maybe_unused]] void** fake, [[maybe_unused]] const void* next,
                        [[maybe_unused]] size_t next_bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(fake, next, next_bytes);
#endif
}
inline void enter_stack([[maybe_unused]] void* fake, [[maybe_unused]] const void** before,
                        [[maybe_unused]] size_t* before_bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake, before, before_bytes);
#endif
}

}  // namespace emulated
