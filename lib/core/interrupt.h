// How a call that runs is asked to stop.
#pragma once

#include "core/error.h"

namespace eplb {

// Asked from any thread and from signal handlers. What takes long looks at it between its steps and
// leaves the rest undone; then the call fails.
class Interrupt {
 public:
  void ask() { __atomic_store_n(&asked_, 1, __ATOMIC_RELAXED); }
  void forget() { __atomic_store_n(&asked_, 0, __ATOMIC_RELAXED); }
  bool asked() const { return __atomic_load_n(&asked_, __ATOMIC_RELAXED) != 0; }
  void check() const {
    if (asked()) fail(EPLB_INTERRUPTED, "eplb_context_interrupt was called");
  }
  // For stages, which may not use std::atomic, see machines/cpu/target.h.
  const int* flag() const { return &asked_; }

 private:
  int asked_ = 0;
};

}  // namespace eplb
