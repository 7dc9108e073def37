// Single allocations: of device memory, and of host memory for copies to and from it.
#pragma once

#include <cstdint>
#include <memory>

namespace eplb::cuda {

// One allocation. The device must be current.
class DeviceBlock {
 public:
  DeviceBlock() = default;
  explicit DeviceBlock(int64_t bytes);

  void* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }
  void abandon() { static_cast<void>(data_.release()); }  // forgets it without freeing

 private:
  struct Free {
    void operator()(void* data) const;
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

// Host memory that a device reads and writes by itself.
class PinnedBlock {
 public:
  void at_least(int64_t bytes);
  char* data() const { return static_cast<char*>(data_.get()); }
  int64_t bytes() const { return bytes_; }
  void release();
  void abandon() { static_cast<void>(data_.release()); }

 private:
  struct Free {
    void operator()(void* data) const;
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

}  // namespace eplb::cuda
