// The one exception that libeplb throws on purpose: a status and the sentence that goes with it.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <exception>

#include "eplb.h"

namespace eplb {

class Error : public std::exception {
 public:
  Error(eplb_status status, const char* format, va_list arguments) : status_(status) {
    std::vsnprintf(text_, sizeof text_, format, arguments);
  }
  eplb_status status() const { return status_; }
  const char* what() const noexcept override { return text_; }

 private:
  eplb_status status_;
  // Not allocated: an error may report that memory is exhausted.
  char text_[sizeof(eplb_error::text)] = {};
};

// Only %d, %lld, %s and the like: floating-point conversions would follow the caller's locale.
[[noreturn]] __attribute__((format(printf, 2, 3))) inline void fail(eplb_status status,
                                                                    const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Error error(status, format, arguments);
  va_end(arguments);
  throw error;
}

}  // namespace eplb
