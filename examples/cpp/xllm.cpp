// See xllm.h.
#include "xllm.h"

#include <algorithm>

namespace xllm {

using eplb_example::call;

LibeplbPolicy::LibeplbPolicy(int32_t device_experts_num, int32_t device_num, int32_t layer_num,
                             LibeplbLimits limits)
    : places_(device_experts_num),
      devices_(device_num),
      layers_(layer_num),
      limits_(limits),
      in_service_(static_cast<size_t>(layers_ * num_slots()), -1),
      proposed_(in_service_),
      duplicates_(static_cast<size_t>(layers_)) {}

void LibeplbPolicy::initialize_distribution(const torch::Tensor& current) {
  const torch::Tensor experts = current.cpu().to(torch::kInt32).contiguous();
  if (experts.dim() != 3 || experts.size(0) != layers_ || experts.size(1) != devices_ ||
      experts.size(2) != places_)
    throw std::runtime_error("the current distribution must be [" + std::to_string(layers_) + ", " +
                             std::to_string(devices_) + ", " + std::to_string(places_) + "]");
  const int32_t* const first = experts.data_ptr<int32_t>();
  in_service_.assign(first, first + layers_ * num_slots());
  proposed_ = in_service_;
}

std::pair<torch::Tensor, std::vector<bool>> LibeplbPolicy::rebalance_experts(
    torch::Tensor expert_load, torch::Tensor /*physical_expert_load*/) {
  std::vector<bool> changed(static_cast<size_t>(layers_));
  try {
    solve(expert_load.cpu().to(torch::kInt64).contiguous());
    for (int64_t layer = 0; layer < layers_; ++layer) {
      changed[static_cast<size_t>(layer)] = is_proposed(layer);
      if (!is_proposed(layer)) abort_layer(static_cast<int32_t>(layer));
    }
  } catch (const std::exception& error) {
    LOG(ERROR) << "EPLB keeps the placement: " << error.what();
    proposed_ = in_service_;
  }
  // Of its own, since callers keep it.
  torch::Tensor placement = torch::empty({layers_, devices_, places_}, torch::kInt32);
  std::copy(proposed_.begin(), proposed_.end(), placement.data_ptr<int32_t>());
  return {placement, changed};
}

void LibeplbPolicy::solve(const torch::Tensor& loads) {
  if (loads.dim() != 2 || loads.size(0) != layers_)
    throw std::runtime_error("expert_load must be [" + std::to_string(layers_) + ", experts]");
  const int64_t experts = loads.size(1), slots = layers_ * num_slots();
  eplb_problem problem;
  call(eplb_problem_init, &problem, int64_t{sizeof problem});
  problem.num_slots = num_slots();
  problem.num_gpus = devices_;
  eplb_solve_options options;
  call(eplb_solve_options_init, &options, int64_t{sizeof options});
  // More replicas than devices would be two on one.
  options.max_replicas = devices_;
  // The engine knows no empty slots: where there are some, all are filled afresh.
  if (std::find(in_service_.begin(), in_service_.end(), -1) == in_service_.end()) {
    options.strategy = EPLB_STRATEGY_REBALANCE;
    options.target = limits_.target;
    options.max_moves = limits_.max_moves;
  }
  call(eplb_upload_weights, context_.get(), static_cast<const void*>(loads.data_ptr<int64_t>()),
       layers_ * experts, eplb_dtype{EPLB_INT64}, int64_t{1}, layers_, experts);
  call(eplb_upload_placement, context_.get(), static_cast<const void*>(in_service_.data()), slots,
       eplb_dtype{EPLB_INT32}, layers_, num_slots());
  call(eplb_solve, context_.get(), static_cast<const eplb_problem*>(&problem),
       static_cast<const eplb_solve_options*>(&options));
  call(eplb_fetch_map, context_.get(), eplb_map{EPLB_MAP_PHYSICAL_TO_LOGICAL},
       eplb_dtype{EPLB_INT32}, static_cast<void*>(proposed_.data()), slots);
  call(eplb_fetch_map, context_.get(), eplb_map{EPLB_MAP_DUPLICATES}, eplb_dtype{EPLB_INT32},
       static_cast<void*>(duplicates_.data()), layers_);
}

bool LibeplbPolicy::is_proposed(int64_t layer) const {
  const auto first = layer * num_slots(), last = first + num_slots();
  return duplicates_[static_cast<size_t>(layer)] == 0 &&
         !std::equal(proposed_.begin() + first, proposed_.begin() + last,
                     in_service_.begin() + first);
}

void LibeplbPolicy::commit_layer(int32_t layer) {
  const auto first = layer * num_slots(), last = first + num_slots();
  std::copy(proposed_.begin() + first, proposed_.begin() + last, in_service_.begin() + first);
}

void LibeplbPolicy::abort_layer(int32_t layer) {
  const auto first = layer * num_slots(), last = first + num_slots();
  std::copy(in_service_.begin() + first, in_service_.begin() + last, proposed_.begin() + first);
}

}  // namespace xllm
