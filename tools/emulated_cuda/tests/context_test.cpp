// Drivers, devices, contexts.
#include <cstdlib>
#include <thread>

#include "device_test.h"

namespace eplb::tests {
namespace {

template <class Function> Function* entry_point(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  EXPECT_EQ(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result),
            cudaSuccess);
  EXPECT_EQ(result, cudaDriverEntryPointSuccess);
  return reinterpret_cast<Function*>(found);
}
#define ENTRY_POINT(name) entry_point<decltype(name)>(#name)

// Each test in a thread of its own, which has no context yet.
template <class Body> void in_fresh_thread(Body body) { std::thread(body).join(); }

TEST(Context, OneIsMadeBehindTheProgramsBack) {
  in_fresh_thread([] {
    CUcontext current = nullptr;
    void* memory = nullptr;
    const int64_t before = emulation_count("implicit_contexts");
    int count = 0, device = -1, value = 0;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 1), cudaSuccess);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(device, 0);
    EXPECT_EQ(value, 4);
    EXPECT_EQ(emulation_count("implicit_contexts"), before);
    EXPECT_EQ(ENTRY_POINT(cuCtxGetCurrent)(&current), CUDA_SUCCESS);
    EXPECT_EQ(current, nullptr);
    EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
    EXPECT_EQ(emulation_count("implicit_contexts"), before + 1);
    EXPECT_EQ(ENTRY_POINT(cuCtxGetCurrent)(&current), CUDA_SUCCESS);
    EXPECT_NE(current, nullptr);
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
  });
}

TEST(Context, OneThatIsPushedIsUsed) {
  in_fresh_thread([] {
    EXPECT_EQ(ENTRY_POINT(cuInit)(0), CUDA_SUCCESS);
    const int64_t implicit = emulation_count("implicit_contexts"),
                  retained = emulation_count("retained");
    CUcontext context = nullptr, current = nullptr;
    CUdevice device = -1;
    EXPECT_EQ(ENTRY_POINT(cuDeviceGet)(&device, 1), CUDA_SUCCESS);
    EXPECT_EQ(ENTRY_POINT(cuDevicePrimaryCtxRetain)(&context, device), CUDA_SUCCESS);
    EXPECT_EQ(emulation_count("retained"), retained + 1);
    EXPECT_EQ(ENTRY_POINT(cuCtxPushCurrent)(context), CUDA_SUCCESS);
    EXPECT_EQ(ENTRY_POINT(cuCtxGetDevice)(&device), CUDA_SUCCESS);
    EXPECT_EQ(device, 1);
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
    cudaPointerAttributes attributes;
    cudaPointerGetAttributes(&attributes, memory);
    EXPECT_EQ(attributes.device, 1);
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
    EXPECT_EQ(ENTRY_POINT(cuCtxPopCurrent)(&current), CUDA_SUCCESS);
    EXPECT_EQ(current, context);
    EXPECT_EQ(ENTRY_POINT(cuCtxGetCurrent)(&current), CUDA_SUCCESS);
    EXPECT_EQ(current, nullptr);
    EXPECT_EQ(ENTRY_POINT(cuDevicePrimaryCtxRelease)(1), CUDA_SUCCESS);
    EXPECT_EQ(emulation_count("implicit_contexts"), implicit);
    EXPECT_EQ(emulation_count("retained"), retained);
  });
}

TEST(Context, AStreamOfAnotherDeviceTakesNoLaunch) {
  in_fresh_thread([] {
    cudaStream_t stream = nullptr;
    cudaSetDevice(1);
    cudaStreamCreate(&stream);
    cudaSetDevice(0);
    cudaLaunchConfig_t config = {1, 32, 0, stream, nullptr, 0};
    EXPECT_EQ(cudaLaunchKernelEx(&config, put, nullptr, 0), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  });
}

TEST(Context, MachinesWithoutADriver) {
  in_fresh_thread([] {
    int version = -1, count = -7;
    setenv("EMULATED_CUDA", "no_driver", 1);
    EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
    EXPECT_EQ(version, 0);
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    EXPECT_EQ(count, -7);
    setenv("EMULATED_CUDA", "old_driver", 1);
    EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
    EXPECT_EQ(version, 12040);
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    setenv("EMULATED_CUDA", "no_device", 1);
    EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
    EXPECT_EQ(version, 13000);
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    unsetenv("EMULATED_CUDA");
    EXPECT_EQ(cudaGetLastError(), cudaErrorNoDevice);
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_STREQ(cudaGetErrorName(cudaErrorNoDevice), "cudaErrorNoDevice");
    EXPECT_STREQ(cudaGetErrorString(cudaErrorIllegalAddress),
                 "an illegal memory access was encountered");
    EXPECT_EQ(cudaErrorStreamCaptureUnsupported, 900);
  });
}

TEST(Context, DevicesCanBeAskedFor) {
  in_fresh_thread([] {
    cudaDeviceProp properties;
    EXPECT_EQ(cudaGetDeviceProperties(&properties, 2), cudaErrorInvalidDevice);
    emulation_set_multiprocessors(9);
    EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaSuccess);
    emulation_set_multiprocessors(0);
    EXPECT_STREQ(properties.name, "Emulated GPU");
    EXPECT_EQ(properties.multiProcessorCount, 9);
    EXPECT_EQ(properties.sharedMemPerBlockOptin, 227u << 10);
    EXPECT_EQ(emulation_count("nonsense"), -1);
  });
}

}  // namespace
}  // namespace eplb::tests
