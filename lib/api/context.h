// What an eplb_context is, and the one way in.
#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>

#include "api/guard.h"
#include "session/session.h"

struct eplb_context {
  eplb::Session session;
  explicit eplb_context(std::unique_ptr<eplb::Machine> machine) : session(std::move(machine)) {}
  pid_t process = getpid();
  std::atomic<bool> busy{false};
};

namespace eplb::api {

// Refuses a second thread for as long as it lives.
class Occupied {
 public:
  explicit Occupied(std::atomic<bool>& busy) : busy_(busy) {
    if (busy_.exchange(true, std::memory_order_acquire))
      fail(EPLB_INVALID_STATE,
           "the context is in use by another call: one at a time, or a context per thread");
  }
  ~Occupied() { busy_.store(false, std::memory_order_release); }
  Occupied(const Occupied&) = delete;
  Occupied& operator=(const Occupied&) = delete;

 private:
  std::atomic<bool>& busy_;
};

template <class Body>
eplb_status with_session(eplb_context* context, eplb_error* err, Body&& body) noexcept {
  return guard(err, [&] {
    if (context == nullptr) fail(EPLB_INVALID_ARGUMENT, "context is NULL");
    if (context->process != getpid())
      fail(EPLB_INVALID_STATE,
           "the context was created before fork by process %lld: create one in this process",
           static_cast<long long>(context->process));
    const Occupied occupied(context->busy);
    body(context->session);
  });
}

}  // namespace eplb::api
