// The border: nothing that happens inside leaves as an exception, the caller's floating-point mode
// is put back, and the calling thread is not cancelled on the way.
#pragma once

#include <pthread.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>

#include "api/float_mode.h"
#include "core/error.h"

namespace eplb::api {

// Thread cancellation during a call. Joining the threads of a solve is a cancellation point, and a
// thread that unwinds through frames that must not throw ends the process: so a cancelled thread
// finishes its call first.
class NoCancellation {
 public:
  NoCancellation() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancellation() {
    int ours;
    pthread_setcancelstate(before_, &ours);
  }
  NoCancellation(const NoCancellation&) = delete;
  NoCancellation& operator=(const NoCancellation&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

inline eplb_status answer(eplb_error* err, eplb_status status, const char* text) noexcept {
  if (err) {
    std::memset(err, 0, sizeof *err);
    err->code = status;
    std::snprintf(err->text, sizeof err->text, "%s", text);
  }
  return status;
}

// Runs a body; its exceptions become a status and a text.
template <class Body> eplb_status guard(eplb_error* err, Body&& body) noexcept {
  const NoCancellation whole;
  try {
    const DefaultFloatMode mode;
    body();
    return answer(err, EPLB_OK, "");
  } catch (const Error& error) {
    return answer(err, error.status(), error.what());
  } catch (const std::bad_alloc&) {
    return answer(err, EPLB_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {
    return answer(err, EPLB_OUT_OF_MEMORY,
                  "out of memory: more elements than a container can hold");
  } catch (const std::exception& error) {
    return answer(err, EPLB_INTERNAL_ERROR, error.what());
  } catch (...) {
    return answer(err, EPLB_INTERNAL_ERROR, "an unknown exception");
  }
}

}  // namespace eplb::api
