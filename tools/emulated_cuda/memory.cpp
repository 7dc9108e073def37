// Device memory is host memory of exactly the size asked for, full of rubbish. Under
// AddressSanitizer nobody may touch it but kernels of its device and copies.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "chance.h"
#include "machine.h"
#include "sanitizer.h"

namespace emulated {

const Allocation* find_allocation(const void* address, uintptr_t* begin) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  auto next = machine().memory.upper_bound(at);
  if (next == machine().memory.begin()) return nullptr;
  --next;
  if (at >= next->first + next->second.bytes) return nullptr;
  if (begin) *begin = next->first;
  return &next->second;
}

void open_memory(const Device* device) {
  for (const auto& [begin, allocation] : machine().memory)
    if (!allocation.pinned && (!device || allocation.device == device))
      allow(reinterpret_cast<void*>(begin), allocation.bytes);
}

void close_memory() {
  for (const auto& [begin, allocation] : machine().memory)
    if (!allocation.pinned) forbid(reinterpret_cast<void*>(begin), allocation.bytes);
}

namespace {

cudaError_t allocate(void** memory, size_t bytes, Device& device, bool pinned) {
  ++machine().counts["allocations"];
  if (!memory) return cudaErrorInvalidValue;
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  const size_t rounded = (bytes + 511) / 512 * 512;
  if (!pinned &&
      (rounded < bytes || rounded > device.capacity - std::min(device.used, device.capacity)))
    return cudaErrorMemoryAllocation;
  void* block = nullptr;
  if (posix_memalign(&block, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  chance().fill(block, bytes);
  if (!pinned) {
    device.used += rounded;
    forbid(block, bytes);
  }
  machine().memory[reinterpret_cast<uintptr_t>(block)] = {bytes, &device, pinned};
  *memory = block;
  return cudaSuccess;
}

cudaError_t release(void* memory, bool pinned) {
  ++machine().counts["frees"];
  const auto found = machine().memory.find(reinterpret_cast<uintptr_t>(memory));
  if (found == machine().memory.end() || found->second.pinned != pinned)
    return cudaErrorInvalidValue;
  allow(memory, found->second.bytes);
  if (!pinned) found->second.device->used -= (found->second.bytes + 511) / 512 * 512;
  chance().fill(memory, found->second.bytes);
  machine().memory.erase(found);
  std::free(memory);
  return cudaSuccess;
}

// Freeing waits for the device.
cudaError_t free_now(void* memory, bool pinned) {
  if (const cudaError_t error = refuse_unsafe()) return error;
  if (!memory) return cudaSuccess;
  ++machine().counts["synchronisations"];
  const Allocation* allocation = find_allocation(memory);
  if (!allocation) return cudaErrorInvalidValue;
  finish_device(*allocation->device);
  return release(memory, pinned);
}

bool inside(const void* memory, size_t bytes, const Allocation* allocation, uintptr_t begin) {
  return !allocation || reinterpret_cast<uintptr_t>(memory) + bytes <= begin + allocation->bytes;
}

// Which sides are on a device, and does that fit the kind? Both ends must lie in their allocations.
cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                       bool& pageable_to, bool& pageable_from) {
  uintptr_t to_begin = 0, from_begin = 0;
  const Allocation* target = find_allocation(to, &to_begin);
  const Allocation* source = find_allocation(from, &from_begin);
  const bool to_device = target && !target->pinned, from_device = source && !source->pinned;
  pageable_to = !target;
  pageable_from = !source;
  if (!to || !from || !inside(to, bytes, target, to_begin) ||
      !inside(from, bytes, source, from_begin))
    return cudaErrorInvalidValue;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
    return cudaErrorInvalidMemcpyDirection;
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return wants_to == to_device && wants_from == from_device ? cudaSuccess : cudaErrorInvalidValue;
}

Work copy_work(void* to, const void* from, size_t bytes) {
  return [=] {
    open_memory(nullptr);
    std::memmove(to, from, bytes);
    close_memory();
    return cudaSuccess;
  };
}

Work set_work(void* memory, int value, size_t bytes) {
  return [=] {
    open_memory(nullptr);
    std::memset(memory, value, bytes);
    close_memory();
    return cudaSuccess;
  };
}

cudaError_t check_set(const void* memory, size_t bytes) {
  uintptr_t begin = 0;
  const Allocation* allocation = find_allocation(memory, &begin);
  return allocation && inside(memory, bytes, allocation, begin) ? cudaSuccess
                                                                : cudaErrorInvalidValue;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return call("cudaMalloc", Needs::kContext, [=](Machine&) {
    if (const cudaError_t error = refuse_unsafe()) return error;
    return allocate(memory, bytes, current_device(), false);
  });
}

cudaError_t cudaFree(void* memory) {
  return call("cudaFree", Needs::kContext, [=](Machine&) { return free_now(memory, false); });
}

// Real at once, as the pool may do; freed where the stream gets to it.
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream) {
  return call("cudaMallocAsync", Needs::kContext, [=](Machine&) {
    CUstream_st* s = find_stream(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) return cudaErrorNotSupported;
    return allocate(memory, bytes, *s->device, false);
  });
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  return call("cudaFreeAsync", Needs::kContext, [=](Machine&) {
    CUstream_st* s = find_stream(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) return cudaErrorNotSupported;
    if (!find_allocation(memory)) return cudaErrorInvalidValue;
    return submit(*s, [=] { return release(memory, false); });
  });
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return call("cudaHostAlloc", Needs::kContext, [=](Machine&) {
    if (const cudaError_t error = refuse_unsafe()) return error;
    return allocate(memory, bytes, current_device(), true);
  });
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return call("cudaMallocHost", Needs::kContext, [=](Machine&) {
    if (const cudaError_t error = refuse_unsafe()) return error;
    return allocate(memory, bytes, current_device(), true);
  });
}

cudaError_t cudaFreeHost(void* memory) {
  return call("cudaFreeHost", Needs::kContext, [=](Machine&) { return free_now(memory, true); });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return call("cudaMemGetInfo", Needs::kContext, [=](Machine&) {
    const Device& device = current_device();
    *free = device.capacity - std::min(device.used, device.capacity);
    *total = device.capacity;
    return cudaSuccess;
  });
}

// Between places on a device the host does not wait.
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", Needs::kContext, [=](Machine& m) {
    bool pageable_to = false, pageable_from = false;
    if (const cudaError_t error = refuse_unsafe()) return error;
    if (bytes == 0) return cudaSuccess;
    if (const cudaError_t error = check_copy(to, from, bytes, kind, pageable_to, pageable_from))
      return error;
    CUstream_st& stream = current_device().legacy;
    if (const cudaError_t error = submit(stream, copy_work(to, from, bytes))) return error;
    const Allocation *target = find_allocation(to), *source = find_allocation(from);
    if (target && !target->pinned && source && !source->pinned) return cudaSuccess;
    ++m.counts["synchronisations"];
    finish(stream);
    return current_device().broken;
  });
}

// Pageable memory makes the host wait for the stream, except in a capture.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call("cudaMemcpyAsync", Needs::kContext, [=](Machine& m) {
    bool pageable_to = false, pageable_from = false;
    CUstream_st* s = find_stream(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (bytes == 0) return cudaSuccess;
    if (const cudaError_t error = check_copy(to, from, bytes, kind, pageable_to, pageable_from))
      return error;
    const bool capturing = s->capture != nullptr;
    if (const cudaError_t error = submit(*s, copy_work(to, from, bytes))) return error;
    if (capturing || !(pageable_to || pageable_from)) return cudaSuccess;
    ++m.counts["synchronisations"];
    finish(*s);
    return s->device->broken;
  });
}

cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  return call("cudaMemset", Needs::kContext, [=](Machine&) {
    if (const cudaError_t error = refuse_unsafe()) return error;
    if (bytes == 0) return cudaSuccess;
    if (const cudaError_t error = check_set(memory, bytes)) return error;
    return submit(current_device().legacy, set_work(memory, value, bytes));
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", Needs::kContext, [=](Machine&) {
    CUstream_st* s = find_stream(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (bytes == 0) return cudaSuccess;
    if (const cudaError_t error = check_set(memory, bytes)) return error;
    return submit(*s, set_work(memory, value, bytes));
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  return call("cudaPointerGetAttributes", Needs::kContext, [=](Machine&) {
    *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, nullptr, {}};
    if (const Allocation* found = find_allocation(address)) {
      attributes->type = found->pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
      attributes->device = found->device->number;
      attributes->devicePointer = const_cast<void*>(address);
      if (found->pinned) attributes->hostPointer = const_cast<void*>(address);
    }
    return cudaSuccess;
  });
}

}  // extern "C"
