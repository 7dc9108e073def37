// The one exception that libeplb throws on purpose, a status and the sentence that goes with it,
// and checks that many arguments share.
#pragma once

#include <cstdarg>
#include <cstdint>
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

using ll = long long;  // what %lld takes

inline void check_least(const char* name, int64_t value, int64_t least) {
  if (value < least)
    fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be at least %lld", name, ll(value), ll(least));
}

// why: what the limit follows from.
inline void check_most(const char* name, int64_t value, int64_t most, const char* why) {
  if (value > most)
    fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be at most %lld (%s)", name, ll(value), ll(most),
         why);
}

// Numbers that are not whole are named in thousandths, to the nearest one: the caller's locale
// decides what a decimal point is. or_none: other values that are allowed.
inline void check_range(const char* name, double value, int64_t least, int64_t most,
                        const char* or_none = "") {
  if (value >= static_cast<double>(least) && value <= static_cast<double>(most)) return;
  constexpr double kMost = 1e15;
  const bool is_nan = value != value;
  double scaled = is_nan ? 0 : value * 1000;
  scaled = scaled < -kMost ? -kMost : scaled > kMost ? kMost : scaled;
  const auto thousandths = static_cast<int64_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  fail(EPLB_INVALID_ARGUMENT, "%s is %s%lld / 1000, must be %s%lld to %lld", name,
       is_nan ? "NaN, " : "", ll(thousandths), or_none, ll(least), ll(most));
}

// Constants from 0 to `last` are known. Larger ones may exist in later versions, negative ones
// never do.
inline void check_constant(const char* name, int32_t value, int32_t last) {
  if (value > last)
    fail(EPLB_UNAVAILABLE, "%s is %d, but this version knows 0 to %d: a later one may know it",
         name, value, last);
  if (value < 0) fail(EPLB_INVALID_ARGUMENT, "%s is %d, must be from 0 to %d", name, value, last);
}

}  // namespace eplb
