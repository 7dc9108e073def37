// Memory that starts on a vector's boundary; zero at first, so that padding holds no surprises.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace eplb::cpu {

class Block {
 public:
  void at_least(int64_t bytes) {
    if (bytes <= bytes_) return;
    data_.reset();
    bytes_ = 0;
    data_.reset(::operator new(static_cast<size_t>(bytes), kAlign));
    std::memset(data_.get(), 0, static_cast<size_t>(bytes));
    bytes_ = bytes;
  }
  void* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr std::align_val_t kAlign{64};
  struct Free {
    void operator()(void* p) const { ::operator delete(p, kAlign); }
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

// Lets the first `count` blocks have at least `bytes` each.
inline void grow(std::vector<Block>& blocks, int count, int64_t bytes) {
  if (blocks.size() < static_cast<size_t>(count)) blocks.resize(count);
  for (int i = 0; i < count; ++i) blocks[i].at_least(bytes);
}

}  // namespace eplb::cpu
