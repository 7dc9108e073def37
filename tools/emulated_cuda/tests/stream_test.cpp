// Streams are lazy, and keep no order but the one that was asked for.
#include <set>
#include <thread>

#include "device_test.h"

namespace eplb::tests {
namespace {

class Stream : public DeviceTest {};

TEST_F(Stream, NothingRunsBeforeSomebodyWaits) {
  Pinned<int> out(1);
  const int64_t launches = emulation_count("launches"), waits = emulation_count("synchronisations");
  ASSERT_EQ(launch(stream, 1, 32, 0, put, out.data, 5), cudaSuccess);
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(emulation_count("pending"), 1);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
  EXPECT_EQ(emulation_count("synchronisations"), waits);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(out[0], 5);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  EXPECT_EQ(emulation_count("pending"), 0);
  EXPECT_EQ(emulation_count("launches"), launches + 1);
  EXPECT_EQ(emulation_count("synchronisations"), waits + 1);
}

TEST_F(Stream, ArgumentsAreCopiedAtTheLaunch) {
  Pinned<int> out(1);
  int value = 5;
  launch(stream, 1, 32, 0, put, out.data, value);
  value = 6;
  cudaStreamSynchronize(stream);
  EXPECT_EQ(out[0], 5);
}

TEST_F(Stream, OtherStreamsWaitOnlyForEvents) {
  cudaStream_t other = nullptr;
  cudaEvent_t event = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  Pinned<int> from(1), to(1);
  launch(stream, 1, 32, 0, put, from.data, 5);
  launch(other, 1, 32, 0, copy, to.data, static_cast<const int*>(from.data));
  cudaStreamSynchronize(other);
  EXPECT_EQ(to[0], 0);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamWaitEvent(other, event), cudaSuccess);
  launch(other, 1, 32, 0, copy, to.data, static_cast<const int*>(from.data));
  cudaStreamSynchronize(other);
  EXPECT_EQ(to[0], 5);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(other), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(Stream, TheLegacyStreamWaitsForBlockingOnes) {
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  Pinned<int> from(1), to(1);
  launch(stream, 1, 32, 0, put, to.data, 9);  // not blocking: stays
  launch(blocking, 1, 32, 0, put, from.data, 5);
  launch(nullptr, 1, 32, 0, copy, to.data, static_cast<const int*>(from.data));
  launch(blocking, 1, 32, 0, put, from.data, 6);
  cudaStreamSynchronize(nullptr);
  EXPECT_EQ(to[0], 5);
  EXPECT_EQ(from[0], 5);
  cudaStreamSynchronize(blocking);
  EXPECT_EQ(from[0], 6);
  cudaStreamSynchronize(stream);
  EXPECT_EQ(to[0], 9);
  cudaStreamDestroy(blocking);
}

TEST_F(Stream, UnorderedWorkComesInAnyOrder) {
  std::set<int> seen;
  cudaStream_t other = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  for (int round = 0; round < 50; ++round) {
    Pinned<int> out(1);
    launch(stream, 1, 32, 0, put, out.data, 1);
    launch(other, 1, 32, 0, put, out.data, 2);
    cudaDeviceSynchronize();
    seen.insert(out[0]);
  }
  EXPECT_EQ(seen.size(), 2u);
  cudaStreamDestroy(other);
}

TEST_F(Stream, ProgressComesByChanceToo) {
  emulation_set_progress(2);
  Pinned<int> out(1);
  launch(stream, 1, 32, 0, put, out.data, 5);
  size_t free = 0, total = 0;
  for (int i = 0; i < 1000 && out[0] == 0; ++i) cudaMemGetInfo(&free, &total);
  EXPECT_EQ(out[0], 5);
}

TEST_F(Stream, EventsTellTheTime) {
  cudaEvent_t from = nullptr, to = nullptr;
  cudaEventCreate(&from);
  cudaEventCreate(&to);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, from, to), cudaErrorInvalidResourceHandle);
  cudaEventRecord(from, stream);
  cudaEventRecord(to, stream);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, from, to), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(to), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, from, to), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  cudaEventDestroy(from);
  cudaEventDestroy(to);
}

TEST_F(Stream, WhatRemainsOfADestroyedStreamRuns) {
  cudaStream_t other = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  Pinned<int> out(1);
  launch(other, 1, 32, 0, put, out.data, 5);
  cudaStreamDestroy(other);
  EXPECT_EQ(out[0], 0);
  cudaDeviceSynchronize();
  EXPECT_EQ(out[0], 5);
}

TEST_F(Stream, LaunchesAreChecked) {
  const auto attempt = [&](dim3 grid, dim3 block, size_t shared) {
    const cudaError_t error =
        launch(stream, grid, block, shared, put, static_cast<int*>(nullptr), 0);
    EXPECT_EQ(cudaGetLastError(), error);
    return error;
  };
  EXPECT_EQ(attempt(0, 32, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(attempt(1, 1025, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(attempt(1, 32, (48 << 10) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(put, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(put, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10),
            cudaSuccess);
  EXPECT_EQ(attempt(1, 32, (227 << 10) + 1), cudaErrorInvalidValue);
  Pinned<int> out(1);
  EXPECT_EQ(launch(stream, 1, 32, 227 << 10, put, out.data, 5), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(out[0], 5);
  int blocks = -1;
  EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, put, 32, 100 << 10),
            cudaSuccess);
  EXPECT_EQ(blocks, 2);
  cudaFuncAttributes attributes;
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, put), cudaSuccess);
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 227 << 10);
}

TEST_F(Stream, ThreadsWorkAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      cudaSetDevice(0);
      emulation_set_progress(3);
      cudaStream_t own = nullptr;
      cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking);
      for (int i = 1; i < 200; ++i) {
        Pinned<int> out(1);
        launch(own, 1, 32, 0, put, out.data, i);
        cudaStreamSynchronize(own);
        EXPECT_EQ(out[0], i);
      }
      cudaStreamDestroy(own);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace eplb::tests
