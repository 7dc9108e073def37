#include "machines/cuda/copies.h"

#include <cstring>
#include <type_traits>

#include "core/fault.h"

namespace eplb::cuda {
namespace {

void find_faults(const Weights& weights, FaultCode* faults) {
  for (int64_t l = 0; l < weights.layers; ++l) {
    const auto [fault, expert] = beyond_float32(weights, l);
    faults[l] = expert < 0 ? kNoFault : fault_code(l, static_cast<int>(expert), fault);
  }
}

// `known`: one, in staging memory.
void send_windows(const Weights& from, const DeviceWeights& to, int64_t* known,
                  cudaStream_t stream) {
  *known = from.windows == 1 || to.windows ? from.windows : 0;
  to_device(to.windows_known, known, 1, stream);
  if (to.windows == nullptr) return;
  const auto send = [&](const auto& windows) {
    using T = typename std::remove_cvref_t<decltype(windows)>::value_type;
    to_device(static_cast<T*>(to.windows), windows.data(), ssize(windows), stream);
  };
  return from.integer ? send(from.whole_windows) : send(from.real_windows);
}

}  // namespace

int64_t weight_bytes(int64_t layers, int64_t experts) {
  return layers * experts * 8 + layers * int64_t{sizeof(FaultCode)} + int64_t{sizeof(int64_t)};
}

void copy_weights(const Weights& from, const DeviceWeights& to, char* staging,
                  cudaStream_t stream) {
  const int64_t bytes = from.layers * from.experts * 8;
  std::memcpy(staging,
              from.integer ? static_cast<const void*>(from.whole.data()) : from.real.data(),
              static_cast<size_t>(bytes));
  to_device(static_cast<char*>(to.sums), staging, bytes, stream);
  FaultCode* const faults = reinterpret_cast<FaultCode*>(staging + bytes);
  find_faults(from, faults);
  to_device(to.float32_fault, faults, from.layers, stream);
  send_windows(from, to, reinterpret_cast<int64_t*>(faults + from.layers), stream);
}

void copy_weights(const DeviceWeights& from, Weights& to, cudaStream_t stream) {
  const auto bring = [&](auto& sums, auto& windows) {
    using T = typename std::remove_cvref_t<decltype(sums)>::value_type;
    to_host(sums.data(), static_cast<const T*>(from.sums), ssize(sums), stream);
    to_host(windows.data(), static_cast<const T*>(from.windows), ssize(windows), stream);
  };
  return to.integer ? bring(to.whole, to.whole_windows) : bring(to.real, to.real_windows);
}

}  // namespace eplb::cuda
