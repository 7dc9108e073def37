// Capture, replay, and what may not be done meanwhile.
#include <thread>

#include "device_test.h"

namespace eplb::tests {
namespace {

class Capturing : public DeviceTest {
 protected:
  void TearDown() override {
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
    DeviceTest::TearDown();
  }
  cudaStreamCaptureStatus status() {
    cudaStreamCaptureStatus found = cudaStreamCaptureStatusNone;
    EXPECT_EQ(cudaStreamIsCapturing(stream, &found), cudaSuccess);
    return found;
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, mode), cudaSuccess);
  }
  cudaGraphExec_t end(size_t nodes) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    size_t count = 0;
    EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
    EXPECT_EQ(count, nodes);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return executable;
  }
  void expect_broken() {
    EXPECT_EQ(status(), cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(launch(stream, 1, 32, 0, put, static_cast<int*>(nullptr), 1),
              cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(status(), cudaStreamCaptureStatusNone);
    cudaGetLastError();
  }
};

TEST_F(Capturing, IsReplayedWithWhatIsInMemoryThen) {
  Pinned<int> from(1), out(1);
  int pageable = 1;
  int* device = nullptr;
  cudaMalloc(&device, sizeof(int));
  const int64_t launches = emulation_count("launches"), waits = emulation_count("synchronisations");
  begin();
  EXPECT_EQ(status(), cudaStreamCaptureStatusActive);
  EXPECT_EQ(cudaMemcpyAsync(device, &pageable, sizeof(int), cudaMemcpyHostToDevice, stream),
            cudaSuccess);
  EXPECT_EQ(launch(stream, 1, 32, 0, copy, out.data, static_cast<const int*>(device)), cudaSuccess);
  EXPECT_EQ(emulation_count("pending"), 0);
  cudaGraphExec_t executable = end(2);
  EXPECT_EQ(status(), cudaStreamCaptureStatusNone);
  for (pageable = 3; pageable < 6; ++pageable) {
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    EXPECT_NE(out[0], pageable);
    cudaStreamSynchronize(stream);
    EXPECT_EQ(out[0], pageable);
  }
  EXPECT_EQ(emulation_count("launches"), launches);
  EXPECT_EQ(emulation_count("synchronisations"), waits + 3);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  cudaFree(device);
}

TEST_F(Capturing, SpreadsThroughEvents) {
  cudaStream_t other = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  Pinned<int> a(1), b(1);
  for (const bool joined : {true, false}) {
    begin();
    launch(stream, 1, 32, 0, put, a.data, 5);
    cudaEventRecord(fork, stream);
    cudaStreamWaitEvent(other, fork);
    launch(other, 1, 32, 0, copy, b.data, static_cast<const int*>(a.data));
    cudaEventRecord(join, other);
    if (joined) {
      cudaStreamWaitEvent(stream, join);
      launch(stream, 1, 32, 0, put, a.data, 6);
      cudaGraphExec_t executable = end(3);
      for (int round = 0; round < 5; ++round) cudaGraphLaunch(executable, stream);
      cudaStreamSynchronize(stream);
      EXPECT_EQ(b[0], 5);
      EXPECT_EQ(a[0], 6);
      cudaGraphExecDestroy(executable);
    } else {
      cudaGraph_t graph = nullptr;
      EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnjoined);
    }
    EXPECT_EQ(cudaEventSynchronize(join), cudaErrorCapturedEvent);
  }
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  cudaStreamDestroy(other);
}

TEST_F(Capturing, UnsafeCallsBreakIt) {
  void* memory = nullptr;
  int word = 0, *device = nullptr;
  cudaMalloc(&device, sizeof(int));
  begin();
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorStreamCaptureUnsupported);
  expect_broken();
  begin();
  EXPECT_EQ(cudaFree(device), cudaErrorStreamCaptureUnsupported);
  expect_broken();
  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(cudaMemcpy(device, &word, sizeof word, cudaMemcpyHostToDevice),
            cudaErrorStreamCaptureUnsupported);
  expect_broken();
  begin();
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  expect_broken();
  begin();
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  expect_broken();
  cudaFree(device);
}

TEST_F(Capturing, RelaxedThreadsMayAllocateButNotWaitForIt) {
  void* memory = nullptr;
  begin();
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
  EXPECT_EQ(mode, cudaStreamCaptureModeGlobal);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(status(), cudaStreamCaptureStatusActive);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(status(), cudaStreamCaptureStatusInvalidated);
  cudaThreadExchangeStreamCaptureMode(&mode);
  EXPECT_EQ(mode, cudaStreamCaptureModeRelaxed);
}

TEST_F(Capturing, OtherThreadsAreInTheWayOfGlobalOnes) {
  const auto allocate_elsewhere = [] {
    cudaError_t error = cudaSuccess;
    std::thread([&] {
      void* memory = nullptr;
      cudaSetDevice(0);
      error = cudaMalloc(&memory, 4);
      if (!error) cudaFree(memory);
    }).join();
    return error;
  };
  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(allocate_elsewhere(), cudaSuccess);
  cudaGraphExecDestroy(end(0));
  begin();
  EXPECT_EQ(allocate_elsewhere(), cudaErrorStreamCaptureUnsupported);
  expect_broken();
}

TEST_F(Capturing, WorkFromOutsideStaysOutside) {
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  cudaEventRecord(event, nullptr);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(stream, event), cudaErrorStreamCaptureIsolation);
  expect_broken();
  cudaEventDestroy(event);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
}

TEST_F(Capturing, TheLegacyStreamMayNotMeetABlockingOne) {
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  Pinned<int> out(1);
  cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(launch(nullptr, 1, 32, 0, put, out.data, 5), cudaErrorStreamCaptureImplicit);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  cudaStreamDestroy(blocking);
  cudaGetLastError();
}

}  // namespace
}  // namespace eplb::tests
