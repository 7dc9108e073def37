// The fuzzer's input, taken apart: every choice is a byte or two of it, and zeros follow its end.
// A zero is the plainest choice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace eplb::fuzz {

// Numbers for arrays, whose elements would take too many bytes of an input (splitmix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t x = state_ += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }
  int64_t from(int64_t least, int64_t most) { return least + below(most - least + 1); }
  bool one_in(int64_t n) { return below(n) == 0; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

class Bytes {
 public:
  explicit Bytes(std::span<const uint8_t> data) : data_(data) {}

  bool empty() const { return data_.empty(); }
  uint8_t byte() {
    if (data_.empty()) return 0;
    const uint8_t first = data_.front();
    data_ = data_.subspan(1);
    return first;
  }
  int64_t below(int64_t n) {
    uint64_t value = byte();
    if (n > 256) value = value << 8 | byte();
    return static_cast<int64_t>(value % static_cast<uint64_t>(n));
  }
  int64_t from(int64_t least, int64_t most) { return least + below(most - least + 1); }
  bool one_in(int n) { return byte() % n == n - 1; }
  template <class T, size_t N> T pick(const T (&list)[N]) { return list[below(N)]; }
  Random random() {
    const uint64_t high = byte();
    return Random(high << 8 | byte());
  }

 private:
  std::span<const uint8_t> data_;
};

}  // namespace eplb::fuzz
