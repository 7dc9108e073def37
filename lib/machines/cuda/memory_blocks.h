// Single allocations: of device memory, and of host memory for copies to and from it.
#pragma once

#include <cstdint>

namespace eplb::cuda {

// One allocation. The device must be current.
class DeviceBlock {
 public:
  DeviceBlock() = default;
  explicit DeviceBlock(int64_t bytes);
  ~DeviceBlock();
  DeviceBlock(DeviceBlock&& other) noexcept;
  DeviceBlock(const DeviceBlock&) = delete;
  DeviceBlock& operator=(DeviceBlock&& other) noexcept;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  void abandon();  // forgets it without freeing

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Host memory that a device reads and writes by itself.
class PinnedBlock {
 public:
  PinnedBlock() = default;
  ~PinnedBlock();
  PinnedBlock(const PinnedBlock&) = delete;
  PinnedBlock& operator=(const PinnedBlock&) = delete;

  void at_least(int64_t bytes);
  char* data() const { return static_cast<char*>(data_); }
  int64_t bytes() const { return bytes_; }
  void release();
  void abandon() { data_ = nullptr; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace eplb::cuda
