// A kernel that fails, the caller's or ours, breaks the device for this process. The library says
// so, and who it may have been; it neither hangs nor aborts, and the CPU goes on. The last group of
// all: nothing on CUDA works after it.
#include "problems.h"

namespace eplb::tests {
namespace {

#ifdef EPLB_EMULATED

bool break_device(cudaStream_t) {
  emulation_fail_next("kernel", 0, cudaErrorIllegalAddress);
  return true;
}

void heal() {
  emulation_fail_next("kernel", 0, 0);
  emulation_heal();
}

#else

constexpr const char* kTrap =
    ".version 7.8\n.target sm_75\n.address_size 64\n.visible .entry eplb_trap() { trap; }\n";

template <class Function> Function driver(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  CUDA(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result));
  return reinterpret_cast<Function>(found);
}

// A kernel without a compiler: the driver assembles it.
bool break_device(cudaStream_t stream) {
  void *module = nullptr, *kernel = nullptr;
  const auto load = driver<int (*)(void**, const void*)>("cuModuleLoadData");
  const auto find = driver<int (*)(void**, void*, const char*)>("cuModuleGetFunction");
  const auto launch =
      driver<int (*)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                     cudaStream_t, void**, void**)>("cuLaunchKernel");
  if (!load || !find || !launch || load(&module, kTrap) != 0 ||
      find(&kernel, module, "eplb_trap") != 0)
    return false;
  return launch(kernel, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr) == 0;
}

void heal() {}

#endif

void a_broken_device_is_an_answer() {
  const Input in = small_input(4, 91);
  const Stream stream;
  Plan want, again;
  if (!solve_on_cpu(in, want)) return;
  {
    const Context context(EPLB_DEVICE_CUDA);
    DeviceCalls device(context, in, stream);
    if (!device.reserve() || !device.upload_and_solve()) return;
    EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
    if (!break_device(stream)) return test_skip("the driver takes no PTX");
    CALL(upload_weights_device)
    (context, device.weights(), in.length(), in->dtype, 1, in->layers, in->experts, stream,
     nullptr);
    CALL(solve_device)(context, &in->problem, &in->options, stream, nullptr);
    REFUSED(EPLB_DEVICE_ERROR, CALL(context_synchronize)(context, ERR), "earlier", "caller");
    EXPECT(EPLB_DEVICE_ERROR, CALL(solve)(context, &in->problem, &in->options, ERR));
  }
  if (solve_on_cpu(in, again)) same_plan(want, again);
  heal();
}

}  // namespace

void broken() { RUN(a_broken_device_is_an_answer); }

}  // namespace eplb::tests
