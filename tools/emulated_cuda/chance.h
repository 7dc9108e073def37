// Chance for everything that a GPU leaves open: which lane, which block, which stream is next; what
// fresh memory holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace emulated {

class Chance {
 public:
  explicit Chance(uint64_t seed) : state_(seed) {}
  uint64_t draw() {  // splitmix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  size_t below(size_t n) { return static_cast<size_t>((draw() >> 32) * n >> 32); }
  bool one_in(size_t n) { return n && below(n) == 0; }
  template <class T> void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }
  void fill(void* memory, size_t bytes) {
    char* at = static_cast<char*>(memory);
    for (; bytes >= 8; at += 8, bytes -= 8) {
      const uint64_t word = draw();
      __builtin_memcpy(at, &word, 8);
    }
    const uint64_t word = draw();
    __builtin_memcpy(at, &word, bytes);
  }

 private:
  uint64_t state_;
};

Chance& chance();  // guarded by the machine's mutex, like all of the emulation's state

}  // namespace emulated
