// Memory of a device, and of the host for copies to and from it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "machines/cuda/device_layers.h"

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

// What a solve needs of each kind of memory, in bytes.
struct RoomSizes {
  int64_t weights = 0, plan = 0, counters = 0, scratch = 0;

  static int64_t of_weights(int64_t layers, int64_t experts);
  static RoomSizes of(const SolveTask& task, const Spread& spread);
  int64_t total() const { return weights + plan + counters + scratch; }
  bool hold(const RoomSizes& other) const {
    return other.weights <= weights && other.plan <= plan && other.counters <= counters && other.scratch <= scratch;
  }
  RoomSizes at_least(const RoomSizes& other) const;
};

// Where everything is. The kinds begin at places that do not depend on the task: weights stay where they are when another
// problem is solved of them.
class Room {
 public:
  Room() = default;
  Room(const RoomSizes& sizes, cudaStream_t stream);  // ready when it returns

  const RoomSizes& sizes() const { return sizes_; }
  DeviceWeights weights(int64_t layers, int experts, bool whole) const;
  DevicePlan plan(const SolveTask& task) const;
  SolveRoom solve_room(const SolveTask& task, const Spread& spread) const;
  FaultCode* fault() const { return static_cast<FaultCode*>(block_.data()); }
  int64_t bytes() const { return block_.bytes(); }
  void abandon() { block_.abandon(); }

 private:
  char* at(int64_t offset) const { return static_cast<char*>(block_.data()) + offset; }

  RoomSizes sizes_;
  DeviceBlock block_;
};

int64_t plan_elements(const SolveTask& task);  // of the maps that are fetched: they lie one behind the other

}  // namespace eplb::cuda
