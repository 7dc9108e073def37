#include "refusals.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace eplb::fuzz {
namespace {

std::atomic<AtAllocation> armed{AtAllocation::kNotInCall};
std::atomic<int64_t> left, refused;
std::atomic<eplb_context*> interrupted;

bool refuse() {
  refused.fetch_add(1, std::memory_order_relaxed);
  return true;
}

bool is_refused(size_t size) {
  const AtAllocation now = armed.load(std::memory_order_relaxed);
  if (now == AtAllocation::kNotInCall) return false;
  if (size > kMostBytes) return refuse();
  if (now == AtAllocation::kNothing) return false;
  const int64_t before = left.fetch_sub(1, std::memory_order_relaxed);
  if (before > 0) return false;
  switch (now) {
    case AtAllocation::kRefuse: return before == 0 && refuse();
    case AtAllocation::kRefuseFromThere: return refuse();
    case AtAllocation::kInterrupt:
      if (before == 0) eplb_context_interrupt(interrupted);
      return false;
    default: return false;
  }
}

void* allocate(size_t size, size_t alignment) {
  if (is_refused(size)) throw std::bad_alloc();
  void* const memory =
      alignment == 0
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void arm_allocations(AtAllocation what, int64_t after, eplb_context* context) {
  refused = 0;
  left = after;
  interrupted = context;
  armed = what;
}

int64_t disarm_allocations() {
  armed = AtAllocation::kNotInCall;
  return refused;
}

}  // namespace eplb::fuzz

void* operator new(size_t size) { return eplb::fuzz::allocate(size, 0); }
// Of a sort, too, whose memory then comes back by the operator delete below.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return eplb::fuzz::is_refused(size) ? nullptr : std::malloc(size);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return eplb::fuzz::allocate(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
