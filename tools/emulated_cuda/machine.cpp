#include "machine.h"

#include <pthread.h>

#include <cstdlib>
#include <cstring>

#include "chance.h"
#include "emulation.h"

namespace emulated {

Machine& machine() {
  static Machine& machine = *[] {
    pthread_atfork(nullptr, nullptr,
                   [] { emulated::machine().forked = emulated::machine().initialised; });
    return new Machine;  // never destroyed: others' destructors may still call
  }();
  return machine;
}

Thread& this_thread() {
  thread_local Thread thread;
  return thread;
}

Chance& chance() {
  static Chance chance([] {
    const char* seed = std::getenv("EMULATED_CUDA_SEED");
    return seed ? std::strtoull(seed, nullptr, 0) : 1;
  }());
  return chance;
}

static bool environment_says(const char* word) {
  const char* value = std::getenv("EMULATED_CUDA");
  return value && std::strcmp(value, word) == 0;
}

cudaError_t driver_state() {
  if (environment_says("no_driver") || environment_says("old_driver"))
    return cudaErrorInsufficientDriver;
  if (environment_says("no_device")) return cudaErrorNoDevice;
  return cudaSuccess;
}

int multiprocessors() {
  if (machine().multiprocessors) return machine().multiprocessors;
  const char* value = std::getenv("EMULATED_CUDA_SMS");
  return value ? std::atoi(value) : 4;
}

Device& current_device() {
  Thread& thread = this_thread();
  return thread.contexts.empty() ? machine().devices[0] : *thread.contexts.back()->device;
}

cudaError_t fail_if_asked(const char* call) {
  const auto found = machine().failures.find(call);
  if (found == machine().failures.end() || found->second.after-- > 0) return cudaSuccess;
  const cudaError_t error = found->second.error;
  machine().failures.erase(found);
  return error;
}

cudaError_t enter(const char* call, Needs needs) {
  Machine& m = machine();
  ++m.counts["calls"];
  if (needs == Needs::kNothing) return fail_if_asked(call);
  if (m.forked) return cudaErrorInitializationError;
  if (const cudaError_t state = driver_state()) return state;
  m.initialised = true;
  if (needs == Needs::kDriver) return fail_if_asked(call);
  Thread& thread = this_thread();
  if (thread.contexts.empty()) {
    ++m.counts["implicit_contexts"];
    m.devices[0].primary.of_runtime = true;
    thread.contexts.push_back(&m.devices[0].primary);
  }
  if (!thread.contexts.back()->active()) return cudaErrorContextIsDestroyed;
  if (current_device().broken) return current_device().broken;
  if (m.progress && m.progress > 0) make_progress();
  if (current_device().broken) return current_device().broken;
  return fail_if_asked(call);
}

cudaError_t leave(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) this_thread().last_error = error;
  return error;
}

}  // namespace emulated

using emulated::machine;

extern "C" {

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
#define X(name, number, text) \
  case cudaError##name:       \
    return "cudaError" #name;
#include "include/emulated/errors.inc"
#undef X
  }
  return "unrecognized error code";
}

// There is no profiler to start or stop.
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
#define X(name, number, text) \
  case cudaError##name:       \
    return text;
#include "include/emulated/errors.inc"
#undef X
  }
  return "unrecognized error code";
}

// A broken context's error stays: reading does not clear it.
cudaError_t cudaPeekAtLastError() {
  std::lock_guard lock(machine().mutex);
  if (emulated::driver_state() == cudaSuccess && !emulated::this_thread().contexts.empty())
    if (const cudaError_t broken = emulated::current_device().broken) return broken;
  return emulated::this_thread().last_error;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  emulated::this_thread().last_error = cudaSuccess;
  return error;
}

void emulation_seed(uint64_t seed) {
  std::lock_guard lock(machine().mutex);
  emulated::chance() = emulated::Chance(seed);
}

void emulation_set_capacity(int32_t device, uint64_t bytes) {
  std::lock_guard lock(machine().mutex);
  machine().devices[device].capacity = bytes;
}

void emulation_set_multiprocessors(int32_t count) {
  std::lock_guard lock(machine().mutex);
  machine().multiprocessors = count;
}

void emulation_set_progress(int32_t one_in) {
  std::lock_guard lock(machine().mutex);
  machine().progress = one_in;
}

int64_t emulation_count(const char* name) {
  emulated::Machine& m = machine();
  std::lock_guard lock(m.mutex);
  const std::string_view wanted(name);
  if (wanted == "pending") return static_cast<int64_t>(emulated::count_pending());
  if (wanted == "live_allocations") return static_cast<int64_t>(m.memory.size());
  if (wanted == "streams") return static_cast<int64_t>(m.streams.size());
  if (wanted == "events") return static_cast<int64_t>(m.events.size());
  if (wanted == "graphs") return static_cast<int64_t>(m.graphs.size() + m.executables.size());
  if (wanted == "retained") return m.devices[0].primary.retained + m.devices[1].primary.retained;
  if (wanted == "live_bytes") {
    int64_t bytes = 0;
    for (const auto& [begin, allocation] : m.memory)
      bytes += static_cast<int64_t>(allocation.bytes);
    return bytes;
  }
  for (const char* known :
       {"allocations", "frees", "synchronisations", "launches", "calls", "implicit_contexts"})
    if (wanted == known) return m.counts[known];
  return -1;
}

void emulation_fail_next(const char* call, int32_t after, int32_t error) {
  std::lock_guard lock(machine().mutex);
  if (error == 0)
    machine().failures.erase(call);
  else
    machine().failures[call] = {after, static_cast<cudaError_t>(error)};
}

void emulation_heal() {
  std::lock_guard lock(machine().mutex);
  for (emulated::Device& device : machine().devices) device.broken = cudaSuccess;
  machine().failures.clear();
  emulated::this_thread().last_error = cudaSuccess;
  emulated::this_thread().contexts.clear();
}

}  // extern "C"
