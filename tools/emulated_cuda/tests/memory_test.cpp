// Memory: whose it is, how much there is, what it holds.
#include "device_test.h"

namespace eplb::tests {
namespace {

class Memory : public DeviceTest {};
using MemoryDeathTest = Memory;

TEST_F(Memory, FreshMemoryIsRubbish) {
  const int64_t bytes = emulation_count("live_bytes"), live = emulation_count("live_allocations");
  const int64_t allocations = emulation_count("allocations");
  std::vector<char> first(1000), second(1000);
  for (std::vector<char>* copy : {&first, &second}) {
    void* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, 1000), cudaSuccess);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
    EXPECT_EQ(emulation_count("live_bytes"), bytes + 1000);
    EXPECT_EQ(emulation_count("live_allocations"), live + 1);
    ASSERT_EQ(cudaMemcpy(copy->data(), memory, 1000, cudaMemcpyDefault), cudaSuccess);
    ASSERT_EQ(cudaFree(memory), cudaSuccess);
  }
  EXPECT_NE(first, second);
  EXPECT_EQ(emulation_count("live_bytes"), bytes);
  EXPECT_EQ(emulation_count("allocations"), allocations + 2);
}

TEST_F(Memory, ThereIsSoMuchAndNoMore) {
  emulation_set_capacity(0, 1 << 20);
  void *fits = nullptr, *too_much = &fits;
  EXPECT_EQ(cudaMalloc(&fits, 800 << 10), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&too_much, 800 << 10), cudaErrorMemoryAllocation);
  EXPECT_EQ(too_much, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(total, 1u << 20);
  EXPECT_EQ(free, (1u << 20) - (800u << 10));
  cudaFree(fits);
  EXPECT_EQ(cudaMalloc(&fits, 800 << 10), cudaSuccess);
  cudaFree(fits);
  emulation_set_capacity(0, 1 << 30);
}

TEST_F(Memory, PointersTellWhoseTheyAre) {
  void *first = nullptr, *second = nullptr, *pinned = nullptr;
  int local = 0;
  cudaMalloc(&first, 100);
  cudaSetDevice(1);
  cudaMalloc(&second, 100);
  cudaMallocHost(&pinned, 100);
  const auto ask = [](const void* address) {
    cudaPointerAttributes attributes;
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, address), cudaSuccess);
    return std::pair(attributes.type, attributes.device);
  };
  EXPECT_EQ(ask(first), std::pair(cudaMemoryTypeDevice, 0));
  EXPECT_EQ(ask(static_cast<char*>(second) + 99), std::pair(cudaMemoryTypeDevice, 1));
  EXPECT_EQ(ask(pinned), std::pair(cudaMemoryTypeHost, 1));
  EXPECT_EQ(ask(&local).first, cudaMemoryTypeUnregistered);
  for (void* memory : {first, second}) EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(pinned), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  cudaGetLastError();
}

TEST_F(Memory, CopiesAreChecked) {
  char local[64] = {};
  void* device = nullptr;
  cudaMalloc(&device, 32);
  EXPECT_EQ(cudaMemcpy(device, local, 33, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(local, device, 32, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(device, 7, 33, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(device, 7, 32, stream), cudaSuccess);
  // Waits: pageable.
  EXPECT_EQ(cudaMemcpyAsync(local, device, 32, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_EQ(local[31], 7);
  cudaFree(device);
  cudaGetLastError();
}

TEST_F(Memory, CallsFailWhenAsked) {
  void* memory = nullptr;
  emulation_fail_next("cudaMalloc", 1, cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  cudaFree(memory);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  cudaFree(memory);
  Pinned<int> out(1);
  emulation_fail_next("launch", 0, cudaErrorLaunchOutOfResources);
  EXPECT_EQ(launch(stream, 1, 32, 0, put, out.data, 5), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  emulation_fail_next("kernel", 0, cudaErrorIllegalAddress);
  EXPECT_EQ(launch(stream, 1, 32, 0, put, out.data, 5), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  EXPECT_EQ(out[0], 0);
  emulation_heal();
  cudaSetDevice(0);
}

#ifdef __SANITIZE_ADDRESS__
__global__ void write_at(char* memory, int i) { memory[i] = 1; }

TEST_F(MemoryDeathTest, TheHostAndOtherDevicesKeepOut) {
  char *own = nullptr, *others = nullptr;
  cudaMalloc(&own, 100);
  cudaSetDevice(1);
  cudaMalloc(&others, 100);
  cudaSetDevice(0);
  const auto write = [&](char* memory, int i) {
    launch(stream, 1, 1, 0, write_at, memory, i);
    cudaStreamSynchronize(stream);
  };
  write(own, 99);
  EXPECT_DEATH(write(own, 100), "AddressSanitizer");
  EXPECT_DEATH(write(others, 0), "AddressSanitizer");
  EXPECT_DEATH(own[0] = 1, "AddressSanitizer");
  cudaFree(own);
  cudaFree(others);
}
#endif

}  // namespace
}  // namespace eplb::tests
