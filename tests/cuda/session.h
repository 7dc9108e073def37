// Contexts, inputs and plans that own themselves, and the device calls of one problem.
#pragma once

#include "machine.h"

namespace eplb::tests {

class Context {
 public:
  explicit Context(eplb_device_kind kind, int32_t index = 0);
  ~Context() { CALL(context_destroy)(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  operator eplb_context*() const { return context_; }

 private:
  eplb_context* context_ = nullptr;
};

class Input {
 public:
  explicit Input(const input& in) : in_(in) {}
  ~Input() { input_free(&in_); }
  Input(Input&& other) noexcept : in_(std::exchange(other.in_, {})) {}
  Input& operator=(Input&& other) noexcept {
    std::swap(in_, other.in_);
    return *this;
  }
  Input copy() const;

  input* operator->() { return &in_; }
  const input* operator->() const { return &in_; }
  operator const input*() const { return &in_; }
  int64_t length() const { return input_length(&in_); }
  int64_t bytes() const { return length() * static_cast<int64_t>(input_element_size(in_.dtype)); }
  int64_t width() const;  // the X of LOGICAL_TO_PHYSICAL
  template <class T> T* weights() { return static_cast<T*>(in_.weights); }
  void zero_layer(int64_t layer);  // in all windows

 private:
  input in_;
};

class Plan {
 public:
  Plan() = default;
  ~Plan() { plan_free(&plan_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // Through host functions; frees what was there.
  bool fetch(eplb_context* context, const Input& in);
  const plan* operator->() const { return &plan_; }
  operator const plan*() const { return &plan_; }

 private:
  plan plan_{};
};

// Which maps of two plans must agree: where a layer was solved as zeros, its loads may still be
// those of its weights.
enum class Maps { kAll, kInts };

inline bool is_host_only(eplb_map map) {
  return map == EPLB_MAP_OFF_HOME || map == EPLB_MAP_OFF_HOME_BOUND;
}

// Whether two plans agree bit for bit; the first difference of a map is a failed check with its
// place and values.
bool same_plan(const plan* want, const plan* got, Maps maps = Maps::kAll);

// What the CPU answers; false if that is a refusal, which `status` then is.
bool solve_on_cpu(const Input& in, Plan& out, eplb_status* status = nullptr);

// One problem on a context whose memory it reserves, its weights in device memory.
class DeviceCalls {
 public:
  DeviceCalls(eplb_context* context, const Input& in, cudaStream_t stream);

  bool reserve();
  void set_weights(const Input& in);  // in the same buffer
  bool upload();
  bool solve();
  bool upload_and_solve() { return upload() && solve(); }
  eplb_status fetch(eplb_map map, eplb_dtype dtype, const Buffer& buffer);
  // All maps into device memory, as both int types, and whether they are the plan's; those that
  // only the host works out are refused.
  bool maps_are(const plan* want, Maps maps = Maps::kAll);
  const void* weights() const { return weights_.data(); }
  bool is_refused(eplb_map map, const Buffer& buffer);
  int64_t map_length(eplb_map map) const;
  int64_t largest_map_bytes() const;

 private:
  bool map_is(const plan* want, eplb_map map, eplb_dtype dtype, const Buffer& buffer);

  eplb_context* context_;
  const Input& in_;
  cudaStream_t stream_;
  Buffer weights_;
};

}  // namespace eplb::tests
