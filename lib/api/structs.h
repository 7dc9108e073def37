// Structs that grow at the end: what an older or newer caller hands over, seen as today's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace eplb::api {

inline constexpr int64_t kLargestStruct = 65536;

template <class T> struct GrowingStruct {
  const char* name;
  int64_t least;  // its size in version 1.0: no caller can have less
  T defaults;

  void check_size(int64_t size) const {
    if (size < least || size > kLargestStruct)
      fail(EPLB_INVALID_ARGUMENT,
           "%s.struct_size is %lld, must be %lld to %lld: fill it with its _init function", name,
           ll(size), ll(least), ll(kLargestStruct));
  }
};

// Fills a caller's struct of `size` bytes with the defaults; bytes this version does not know
// become zero.
template <class T> void init_struct(T* out, int64_t size, const GrowingStruct<T>& known) {
  if (out == nullptr) fail(EPLB_INVALID_ARGUMENT, "%s is NULL", known.name);
  known.check_size(size);
  std::memset(static_cast<void*>(out), 0, static_cast<size_t>(size));
  T defaults = known.defaults;
  defaults.struct_size = size;
  std::memcpy(static_cast<void*>(out), &defaults, std::min(static_cast<size_t>(size), sizeof(T)));
}

// Reads a caller's struct; what it is too short for keeps its default.
template <class T> T read_struct(const T* in, const GrowingStruct<T>& known) {
  if (in == nullptr) fail(EPLB_INVALID_ARGUMENT, "%s is NULL", known.name);
  known.check_size(in->struct_size);
  const auto size = static_cast<size_t>(in->struct_size);
  const char* bytes = reinterpret_cast<const char*>(in);
  for (size_t i = sizeof(T); i < size; ++i)
    if (bytes[i] != 0)
      fail(EPLB_INVALID_ARGUMENT,
           "%s has a non-zero byte at %zu: this library knows its first %zu bytes, the caller is "
           "newer and asks for more",
           known.name, i, sizeof(T));
  T read = known.defaults;
  std::memcpy(static_cast<void*>(&read), in, std::min(size, sizeof(T)));
  return read;
}

// Writes as much of `value` as the caller's struct holds.
template <class T> void write_struct(T* out, T value) {
  value.struct_size = out->struct_size;
  std::memcpy(static_cast<void*>(out), &value,
              std::min(static_cast<size_t>(out->struct_size), sizeof(T)));
}

}  // namespace eplb::api
