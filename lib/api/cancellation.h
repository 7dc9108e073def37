// Thread cancellation during a call. Joining the threads of a solve is a cancellation point, and a
// thread that unwinds through frames that must not throw ends the process: so a cancelled thread
// finishes its call first.
#pragma once

#include <pthread.h>

namespace eplb::api {

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

}  // namespace eplb::api
