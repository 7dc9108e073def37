// A placement policy of xLLM over libeplb.
//
// The engine chooses its policy by an enum: add a value to EplbPolicyKind in
// xllm/core/framework/eplb/eplb_policy.h, its name to eplb_policy_kind_from_string and its case to
// MakeEplbPolicy, add xllm.h and xllm.cpp, include the engine's header below, and link with libeplb.
// Without the engine:
//
//     c++ -std=c++17 xllm.cpp xllm_main.cpp $(pkg-config --cflags --libs eplb)
//
// Each call starts from the placement in service and changes it by few moves. A proposal is in
// service once commit_layer says so. A layer is proposed only if it differs, and if no device would
// hold an expert twice, which the engine cannot serve. All layers are solved in one call.
//
// Errors are logged and propose nothing: a policy that throws would end the engine's loop.
#ifndef XLLM_H
#define XLLM_H

#include "eplb_context.h"
#include "xllm_declarations.h"

namespace xllm {

struct LibeplbLimits {
  // A layer is good enough at this imbalance, and is brought to it with as few moves as possible.
  double target = 1.02;
  int64_t max_moves = -1;  // of a layer; -1: any number
};

class LibeplbPolicy final : public IEplbPolicy {
 public:
  LibeplbPolicy(int32_t device_experts_num, int32_t device_num, int32_t layer_num,
                LibeplbLimits limits = {});

  std::pair<torch::Tensor, std::vector<bool>> rebalance_experts(
      torch::Tensor expert_load, torch::Tensor physical_expert_load = torch::Tensor()) override;
  void initialize_distribution(const torch::Tensor& current) override;
  void commit_layer(int32_t layer) override;
  void abort_layer(int32_t layer) override;
  std::string name() const override { return "libeplb"; }

 private:
  void solve(const torch::Tensor& loads);
  bool is_proposed(int64_t layer) const;
  int64_t num_slots() const { return devices_ * places_; }

  eplb_example::Context context_ = eplb_example::make_context();
  int64_t places_, devices_, layers_;
  LibeplbLimits limits_;
  // [layers, slots]; -1: nothing is known to be there.
  std::vector<int32_t> in_service_, proposed_;
  std::vector<int32_t> duplicates_;  // [layers]
};

}  // namespace xllm

#endif
