#include "fiber.h"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>

#include "sanitizer.h"

namespace emulated {
namespace context = boost::context::detail;

constexpr size_t kGuardBytes = 4096;

struct Fiber::Start {
  // Boost hands over where the other fiber was left and what change() passed: that fiber itself.
  static void run(context::transfer_t arrival) {
    auto** pair = static_cast<Fiber**>(arrival.data);
    Fiber &from = *pair[0], &to = *pair[1];
    from.context_ = arrival.fctx;
    enter_stack(nullptr, &from.stack_, &from.stack_bytes_);
    to.body_(to);
    std::abort();  // a body leaves by change(..., for_ever)
  }
};

Fiber::Fiber(Body body) : body_(body) {
  mapping_ = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED || mprotect(mapping_, kGuardBytes, PROT_NONE) != 0) {
    std::perror("emulated CUDA: no memory for the stack of a lane");
    std::abort();
  }
  stack_ = static_cast<char*>(mapping_) + kGuardBytes;
  stack_bytes_ = kStackBytes;
  rewind();
}

Fiber::~Fiber() {
  if (!mapping_) return;
  allow(stack_, stack_bytes_);
  munmap(mapping_, kGuardBytes + kStackBytes);
}

void Fiber::rewind() {
  allow(stack_, stack_bytes_);
  fake_stack_ = nullptr;
  context_ = context::make_fcontext(static_cast<char*>(const_cast<void*>(stack_)) + stack_bytes_,
                                    stack_bytes_, &Start::run);
}

void Fiber::change(Fiber& from, Fiber& to, bool for_ever) {
  Fiber* pair[] = {&from, &to};
  leave_stack(for_ever ? nullptr : &from.fake_stack_, to.stack_, to.stack_bytes_);
  const context::transfer_t arrival = context::jump_fcontext(to.context_, pair);
  // Somebody, not always `to`, has changed back to `from`.
  Fiber& last = *static_cast<Fiber**>(arrival.data)[0];
  last.context_ = arrival.fctx;
  enter_stack(from.fake_stack_, &last.stack_, &last.stack_bytes_);
}

}  // namespace emulated
