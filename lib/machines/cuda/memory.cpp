#include "machines/cuda/memory.h"

#include <algorithm>
#include <new>
#include <utility>

#include "machines/cuda/driver.h"

namespace eplb::cuda {
namespace {

constexpr int64_t kFaultBytes = 256;

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

DeviceWeights lay_out_weights(solver::Arena& arena, int64_t layers, int64_t experts, bool whole) {
  DeviceWeights w{};
  w.sums = arena.take<int64_t>(layers * experts).data;
  w.float32_fault = arena.take<FaultCode>(layers).data;
  w.layers = layers;
  w.experts = static_cast<int>(experts);
  w.whole = whole;
  return w;
}

// The three that are fetched lie without a gap.
DevicePlan lay_out_plan(solver::Arena& arena, const SolveTask& task) {
  const int64_t slots = task.layers * task.shape.slots, experts = task.layers * task.shape.experts;
  int32_t* const first = arena.take<int32_t>(2 * slots + experts).data;
  DevicePlan plan{first, nullptr, nullptr, arena.take<int32_t>(slots).data};
  if (first == nullptr) return plan;  // only counted
  plan.replica_slots = first + slots;
  plan.replica_count = first + 2 * slots;
  return plan;
}

}  // namespace

int64_t plan_elements(const SolveTask& task) {
  return task.layers * (2 * int64_t{task.shape.slots} + task.shape.experts);
}

DeviceBlock::DeviceBlock(int64_t bytes) : bytes_(bytes) {
  check(cudaMalloc(&data_, static_cast<size_t>(bytes)), "cudaMalloc");
}
DeviceBlock::~DeviceBlock() {
  if (data_) cudaFree(data_);
}
DeviceBlock::DeviceBlock(DeviceBlock&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
DeviceBlock& DeviceBlock::operator=(DeviceBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}
void DeviceBlock::abandon() {
  data_ = nullptr;
  bytes_ = 0;
}

PinnedBlock::~PinnedBlock() { release(); }
void PinnedBlock::release() {
  if (data_) cudaFreeHost(data_);
  data_ = nullptr;
  bytes_ = 0;
}
void PinnedBlock::at_least(int64_t bytes) {
  if (bytes <= bytes_) return;
  release();
  const cudaError_t error = cudaHostAlloc(&data_, static_cast<size_t>(bytes), cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw std::bad_alloc();
  }
  check(error, "cudaHostAlloc");
  bytes_ = bytes;
}

int64_t RoomSizes::of_weights(int64_t layers, int64_t experts) {
  solver::Arena arena(nullptr);
  lay_out_weights(arena, layers, experts, false);
  return aligned(arena.used());
}

RoomSizes RoomSizes::of(const SolveTask& task, const Spread& spread) {
  solver::Arena plan(nullptr), counters(nullptr), scratch(nullptr);
  lay_out_plan(plan, task);
  SolveRoom().lay_out(counters, scratch, task, spread);
  return {of_weights(task.layers, task.shape.experts), aligned(plan.used()), aligned(counters.used()),
          aligned(scratch.used())};
}

RoomSizes RoomSizes::at_least(const RoomSizes& other) const {
  return {std::max(weights, other.weights), std::max(plan, other.plan), std::max(counters, other.counters),
          std::max(scratch, other.scratch)};
}

Room::Room(const RoomSizes& sizes, cudaStream_t stream) : sizes_(sizes), block_(kFaultBytes + sizes.total()) {
  check(cudaMemsetAsync(block_.data(), 0xff, kFaultBytes, stream), "cudaMemsetAsync");  // kNoFault
  // Weights and plan too: a map that is fetched before its solve, on streams without an order, is nonsense but harmless.
  check(cudaMemsetAsync(at(kFaultBytes), 0, static_cast<size_t>(sizes.counters + sizes.weights + sizes.plan), stream),
        "cudaMemsetAsync");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

DeviceWeights Room::weights(int64_t layers, int experts, bool whole) const {
  solver::Arena arena(at(kFaultBytes + sizes_.counters));
  DeviceWeights w = lay_out_weights(arena, layers, experts, whole);
  w.fault = fault();
  return w;
}

DevicePlan Room::plan(const SolveTask& task) const {
  solver::Arena arena(at(kFaultBytes + sizes_.counters + sizes_.weights));
  return lay_out_plan(arena, task);
}

SolveRoom Room::solve_room(const SolveTask& task, const Spread& spread) const {
  solver::Arena counters(at(kFaultBytes)), scratch(at(kFaultBytes + sizes_.counters + sizes_.weights + sizes_.plan));
  SolveRoom room{};
  room.lay_out(counters, scratch, task, spread);
  return room;
}

}  // namespace eplb::cuda
