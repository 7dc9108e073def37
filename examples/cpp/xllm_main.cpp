// Runs the policy as xLLM's manager does, on measured loads, and checks all that the engine needs.
//
//     ./a.out DEVICES SLOTS_PER_DEVICE WINDOW.csv WINDOW.csv ...
//
// Of each window's proposals, the last one is aborted, and the others are committed. The program
// prints, for each window, the imbalance before and after, and how many slots and layers change.
#include "checks.h"
#include "xllm.h"

namespace {

using checks::check;
using Loads = std::vector<std::vector<double>>;

torch::Tensor loads_of(const Loads& window) {
  const auto experts = window[0].size();
  torch::Tensor loads = torch::empty(
      {static_cast<int64_t>(window.size()), static_cast<int64_t>(experts)}, torch::kInt64);
  int64_t* next = loads.data_ptr<int64_t>();
  for (const auto& layer : window)
    for (double load : layer) *next++ = static_cast<int64_t>(load);
  return loads;
}

struct Model {
  size_t layers, experts, devices, places;

  size_t slots() const { return devices * places; }
  torch::Tensor identity() const {
    torch::Tensor placement = torch::empty(
        {static_cast<int64_t>(layers), static_cast<int64_t>(devices), static_cast<int64_t>(places)},
        torch::kInt32);
    for (size_t at = 0; at < layers * slots(); ++at)
      placement.data_ptr<int32_t>()[at] = static_cast<int32_t>(at % slots() % experts);
    return placement;
  }
  std::vector<int> layer_of(const torch::Tensor& placement, size_t layer) const {
    const int32_t* const first = placement.data_ptr<int32_t>() + layer * slots();
    return {first, first + slots()};
  }
  void check_layer(const std::vector<int>& placement) const {
    checks::check_placement(placement, experts);
    for (auto device = placement.begin(); device != placement.end();
         device += static_cast<std::ptrdiff_t>(places)) {
      std::vector<int> held(device, device + static_cast<std::ptrdiff_t>(places));
      std::sort(held.begin(), held.end());
      check(std::adjacent_find(held.begin(), held.end()) == held.end(),
            "a device holds an expert twice");
    }
  }
  xllm::LibeplbPolicy policy(xllm::LibeplbLimits limits = {}) const {
    return xllm::LibeplbPolicy(static_cast<int32_t>(places), static_cast<int32_t>(devices),
                               static_cast<int32_t>(layers), limits);
  }
};

// The manager's view of one policy.
struct Manager {
  Model model;
  std::unique_ptr<xllm::IEplbPolicy> policy;
  std::vector<std::vector<int>> in_service = {};

  void run(const std::vector<Loads>& windows) {
    policy->initialize_distribution(model.identity());
    for (size_t layer = 0; layer < model.layers; ++layer)
      in_service.push_back(model.layer_of(model.identity(), layer));
    torch::Tensor earlier;
    for (const Loads& window : windows) {
      const auto [placement, changed] = policy->rebalance_experts(loads_of(window));
      if (earlier.defined())
        check(earlier.data_ptr<int32_t>() != placement.data_ptr<int32_t>(), "an answer was reused");
      earlier = placement;
      publish(window, placement, changed);
    }
  }
  void publish(const Loads& window, const torch::Tensor& placement,
               const std::vector<bool>& changed) {
    const auto last = std::find(changed.rbegin(), changed.rend(), true);
    double before = 0, after = 0;
    int slots = 0;
    for (size_t layer = 0; layer < model.layers; ++layer) {
      const std::vector<int> planned = model.layer_of(placement, layer);
      model.check_layer(planned);
      check(changed[layer] == (planned != in_service[layer]), "a flag is wrong");
      slots += checks::check_slots(in_service[layer], planned, model.places);
      before += checks::imbalance(in_service[layer], window[layer], model.devices);
      after += checks::imbalance(planned, window[layer], model.devices);
      if (!changed[layer]) continue;
      if (layer + 1 == static_cast<size_t>(changed.rend() - last)) {
        policy->abort_layer(static_cast<int32_t>(layer));
      } else {
        policy->commit_layer(static_cast<int32_t>(layer));
        in_service[layer] = planned;
      }
    }
    std::printf("imbalance %.4f -> %.4f, %d slots of %d layers change\n",
                before / static_cast<double>(model.layers),
                after / static_cast<double>(model.layers), slots,
                static_cast<int>(std::count(changed.begin(), changed.end(), true)));
  }
};

void check_nothing_changes(xllm::IEplbPolicy& policy, const torch::Tensor& loads,
                           const Model& model, const char* why) {
  const auto [placement, changed] = policy.rebalance_experts(loads);
  check(std::count(changed.begin(), changed.end(), true) == 0, why);
  for (size_t layer = 0; layer < model.layers; ++layer)
    check(model.layer_of(placement, layer) == model.layer_of(model.identity(), layer), why);
}

void check_the_unusual(const Model& model, const Loads& window) {
  xllm::LibeplbPolicy policy = model.policy();
  policy.initialize_distribution(model.identity());
  Loads other = window;
  for (auto& layer : other) std::fill(layer.begin(), layer.end(), 0);
  check_nothing_changes(policy, loads_of(other), model, "layers without load have changed");
  other[1][2] = -1;
  check_nothing_changes(policy, loads_of(other), model, "a negative load was not refused");
  other.pop_back();
  check_nothing_changes(policy, loads_of(other), model, "a missing layer was not refused");

  try {
    policy.initialize_distribution(loads_of(other));
    checks::fail("a distribution of another shape was not refused");
  } catch (const std::runtime_error&) {
  }

  // Without a placement to start from.
  xllm::LibeplbPolicy fresh = model.policy();
  const auto [placement, changed] = fresh.rebalance_experts(loads_of(window));
  for (size_t layer = 0; layer < model.layers; ++layer) {
    check(changed[layer], "a first placement must be published");
    model.check_layer(model.layer_of(placement, layer));
  }

  // Limits are kept.
  xllm::LibeplbPolicy careful = model.policy({0, 2});
  careful.initialize_distribution(model.identity());
  const auto few = careful.rebalance_experts(loads_of(window)).first;
  for (size_t layer = 0; layer < model.layers; ++layer) {
    const auto before = model.layer_of(model.identity(), layer);
    check(checks::check_slots(before, model.layer_of(few, layer), model.places) <= 2,
          "more than two moves");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) checks::fail("usage: DEVICES SLOTS_PER_DEVICE WINDOW.csv ...");
  std::vector<Loads> windows;
  for (int at = 3; at < argc; ++at) windows.push_back(checks::read_loads(argv[at]));
  const Model model = {windows[0].size(), windows[0][0].size(),
                       static_cast<size_t>(std::atoi(argv[1])),
                       static_cast<size_t>(std::atoi(argv[2]))};
  Manager{model, std::make_unique<xllm::LibeplbPolicy>(model.policy())}.run(windows);
  check_the_unusual(model, windows[0]);
  std::printf("all checks hold\n");
}
