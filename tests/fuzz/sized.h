// A struct of eplb.h as a caller of another version has it: shorter or longer, in memory that ends
// where it does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bytes.h"
#include "eplb.h"

namespace eplb::fuzz {

// Its size in version 1.0, or in the one that it came with.
template <class T> struct Least;
template <> struct Least<eplb_context_options> { static constexpr int64_t kSize = 24; };
template <> struct Least<eplb_problem> { static constexpr int64_t kSize = 48; };
template <> struct Least<eplb_solve_options> { static constexpr int64_t kSize = 32; };
template <> struct Least<eplb_split_options> { static constexpr int64_t kSize = 16; };
template <> struct Least<eplb_static_dispatch_options> { static constexpr int64_t kSize = 32; };
template <> struct Least<eplb_report> { static constexpr int64_t kSize = 104; };
template <> struct Least<eplb_backend> { static constexpr int64_t kSize = 32; };

inline constexpr int64_t kLargestStruct = 65536;

template <class T> int64_t draw_size(Bytes& bytes) {
  constexpr auto kOwn = static_cast<int64_t>(sizeof(T));
  constexpr int64_t kOthers[] = {Least<T>::kSize,     kOwn + 8, kLargestStruct,    0, -1,
                                 Least<T>::kSize - 1, kOwn - 4, kLargestStruct + 1};
  return bytes.one_in(12) ? bytes.pick(kOthers) : kOwn;
}

template <class T> class Sized {
 public:
  // Holds `value` as far as it goes; bytes that this version does not know are `beyond`.
  Sized(int64_t size, const T& value, uint8_t beyond = 0) : size_(size) {
    const int64_t most = std::clamp<int64_t>(size, 8, kLargestStruct);
    bytes_.assign(static_cast<size_t>(most), std::byte{beyond});
    bytes_.shrink_to_fit();
    std::memcpy(bytes_.data(), &value, std::min(bytes_.size(), sizeof(T)));
    std::memcpy(bytes_.data(), &size, sizeof size);
  }
  T* get() { return reinterpret_cast<T*>(bytes_.data()); }
  std::byte* data() { return bytes_.data(); }
  size_t bytes() const { return bytes_.size(); }

  // May the library read it?
  bool is_legal() const {
    if (size_ < Least<T>::kSize || size_ > kLargestStruct) return false;
    return std::all_of(bytes_.begin() + static_cast<ptrdiff_t>(std::min(bytes_.size(), sizeof(T))),
                       bytes_.end(), [](std::byte byte) { return byte == std::byte{0}; });
  }
  // What the library sees: what the caller lacks has its default.
  T seen(const T& defaults) const {
    T value = defaults;
    std::memcpy(&value, bytes_.data(), std::min(bytes_.size(), sizeof(T)));
    value.struct_size = sizeof(T);
    return value;
  }

 private:
  int64_t size_;
  std::vector<std::byte> bytes_;
};

}  // namespace eplb::fuzz
