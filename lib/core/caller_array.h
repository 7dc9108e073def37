// Reading arrays of the caller, which another thread may write at the same time, by mistake: what
// is checked must be what is used. So they are copied first, and the copy is checked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace eplb {

template <class T> std::vector<T> copy_of(const T* from, int64_t length) {
  return {from, from + length};
}

// For long arrays: use(const T* values, int64_t n, int64_t at) for pieces that were copied.
template <class T> void read_pieces(const T* from, int64_t length, auto use) {
  constexpr int64_t kPiece = 1024;
  T values[kPiece];
  for (int64_t at = 0; at < length; at += kPiece) {
    const int64_t n = std::min(kPiece, length - at);
    std::memcpy(values, from + at, static_cast<size_t>(n) * sizeof(T));
    use(static_cast<const T*>(values), n, at);
  }
}

}  // namespace eplb
