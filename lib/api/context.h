// What an eplb_context is, and the one way in.
#pragma once

#include <unistd.h>

#include <memory>
#include <mutex>

#include "api/guard.h"
#include "session/session.h"

struct eplb_context {
  eplb::Session session;
  explicit eplb_context(std::unique_ptr<eplb::Machine> machine) : session(std::move(machine)) {}
  pid_t process = getpid();
  std::mutex in_use;  // by one call at a time
};

namespace eplb::api {

template <class Body>
eplb_status with_session(eplb_context* context, eplb_error* err, Body&& body) noexcept {
  return guard(err, [&] {
    if (context == nullptr) fail(EPLB_INVALID_ARGUMENT, "context is NULL");
    if (context->process != getpid())
      fail(EPLB_INVALID_STATE,
           "the context was created before fork by process %lld: create one in this process",
           ll(context->process));
    const std::unique_lock in_use(context->in_use, std::try_to_lock);
    if (!in_use)
      fail(EPLB_INVALID_STATE,
           "the context is in use by another call: one at a time, or a context per thread");
    context->session.forget_interrupt();  // it was meant for an earlier call
    body(context->session);
  });
}

}  // namespace eplb::api
