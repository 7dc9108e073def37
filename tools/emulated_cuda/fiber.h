// A stack of its own that code can be left on and come back to, in one thread and without a system
// call.
#pragma once

#include <cstddef>

namespace emulated {

class Fiber {
 public:
  using Body = void (*)(Fiber&);
  static constexpr size_t kStackBytes = size_t{256} << 10;

  Fiber() = default;  // the running thread's own stack
  explicit Fiber(Body body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  void rewind();  // body starts from its beginning, whatever became of it before
  static void change(Fiber& from, Fiber& to, bool for_ever = false);

 private:
  struct Start;

  void* context_ = nullptr;
  Body body_ = nullptr;
  void* mapping_ = nullptr;  // a page that must not be touched, then the stack
  const void* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace emulated
