// Stands in for eplb_policy.h of xLLM, for the log, and for what the policy uses of torch, so that it
// can be compiled and run without engine and torch. With -DWITH_TORCH the tensors are torch's.
#ifndef XLLM_DECLARATIONS_H
#define XLLM_DECLARATIONS_H

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#ifdef WITH_TORCH
#include <torch/torch.h>
#else
namespace torch {

enum ScalarType { kInt32, kInt64 };

// On the CPU and contiguous.
class Tensor {
 public:
  Tensor() = default;
  Tensor(std::vector<int64_t> sizes, ScalarType type) : sizes_(std::move(sizes)), type_(type) {
    size_t bytes = type == kInt32 ? 4 : 8;
    for (int64_t size : sizes_) bytes *= static_cast<size_t>(size);
    bytes_.reset(new unsigned char[bytes]());
  }
  bool defined() const { return bytes_ != nullptr; }
  int64_t dim() const { return static_cast<int64_t>(sizes_.size()); }
  int64_t size(int64_t dimension) const { return sizes_[static_cast<size_t>(dimension)]; }
  template <typename Number> Number* data_ptr() const {
    return reinterpret_cast<Number*>(bytes_.get());
  }
  Tensor contiguous() const { return *this; }
  Tensor cpu() const { return *this; }
  Tensor to(ScalarType type) const {
    if (type == type_) return *this;
    Tensor converted(sizes_, type);
    int64_t length = 1;
    for (int64_t size : sizes_) length *= size;
    for (int64_t at = 0; at < length; ++at)
      if (type == kInt64)
        converted.data_ptr<int64_t>()[at] = data_ptr<int32_t>()[at];
      else
        converted.data_ptr<int32_t>()[at] = static_cast<int32_t>(data_ptr<int64_t>()[at]);
    return converted;
  }

 private:
  std::vector<int64_t> sizes_;
  ScalarType type_ = kInt64;
  std::shared_ptr<unsigned char[]> bytes_;
};

inline Tensor empty(std::vector<int64_t> sizes, ScalarType type) {
  return Tensor(std::move(sizes), type);
}

}  // namespace torch
#endif

#ifndef LOG
// A line of glog's.
struct LogLine {
  LogLine() = default;
  LogLine(const LogLine&) = delete;
  ~LogLine() { std::cerr << '\n'; }
  std::ostream& stream() { return std::cerr; }
};
#define LOG(severity) LogLine().stream() << #severity << ' '
#endif

namespace xllm {

class IEplbPolicy {
 public:
  virtual ~IEplbPolicy() = default;
  // Loads [layers, experts] and, perhaps, of slots [layers, devices, slots], both int64. Returns the
  // placement, int32 [layers, devices, slots], and which layers it changes.
  virtual std::pair<torch::Tensor, std::vector<bool>> rebalance_experts(
      torch::Tensor expert_load, torch::Tensor physical_expert_load = torch::Tensor()) = 0;
  virtual void initialize_distribution(const torch::Tensor& current) { (void)current; }
  virtual void commit_layer(int32_t layer) { (void)layer; }
  virtual void abort_layer(int32_t layer) { (void)layer; }
  virtual std::string name() const { return "unknown"; }
};

}  // namespace xllm

#endif
