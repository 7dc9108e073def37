// Structs that grow at the end: what an older or newer caller hands over, seen as today's.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace eplb::api {

// Sizes of version 1.0: no caller can have less.
inline constexpr int64_t kContextOptionsSize = 24, kProblemSize = 48, kSolveOptionsSize = 32,
                         kReportSize = 104, kBackendSize = 32;
inline constexpr int64_t kLargestStruct = 65536;

inline void check_struct_size(const char* name, int64_t size, int64_t least) {
  if (size < least || size > kLargestStruct)
    fail(EPLB_INVALID_ARGUMENT,
         "%s.struct_size is %lld, must be %lld to %lld: fill it with its _init function", name,
         static_cast<long long>(size), static_cast<long long>(least),
         static_cast<long long>(kLargestStruct));
}

// Fills a caller's struct of `size` bytes with `defaults`; bytes this version does not know become
// zero.
template <class T>
void init_struct(T* out, int64_t size, int64_t least, const char* name, T defaults) {
  if (out == nullptr) fail(EPLB_INVALID_ARGUMENT, "%s is NULL", name);
  check_struct_size(name, size, least);
  std::memset(static_cast<void*>(out), 0, static_cast<size_t>(size));
  defaults.struct_size = size;
  std::memcpy(static_cast<void*>(out), &defaults,
              size < int64_t{sizeof(T)} ? static_cast<size_t>(size) : sizeof(T));
}

// Reads a caller's struct; what it is too short for keeps its default.
template <class T> T read_struct(const T* in, int64_t least, const char* name, T defaults) {
  check_struct_size(name, in->struct_size, least);
  const int64_t size = in->struct_size, known = sizeof(T);
  const char* bytes = reinterpret_cast<const char*>(in);
  for (int64_t i = known; i < size; ++i)
    if (bytes[i] != 0)
      fail(EPLB_INVALID_ARGUMENT,
           "%s has a non-zero byte at %lld: this library knows its first %lld bytes, the caller is "
           "newer and asks for "
           "more",
           name, static_cast<long long>(i), static_cast<long long>(known));
  std::memcpy(static_cast<void*>(&defaults), in, static_cast<size_t>(size < known ? size : known));
  return defaults;
}

// Writes as much of `value` as the caller's struct holds.
template <class T> void write_struct(T* out, T value) {
  value.struct_size = out->struct_size;
  const int64_t size = out->struct_size, known = sizeof(T);
  std::memcpy(static_cast<void*>(out), &value, static_cast<size_t>(size < known ? size : known));
}

}  // namespace eplb::api
