// GPUs that are not all equal: the same bits from the device as from the CPU.
#include "clusters.h"

#include <random>

namespace eplb::tests {

bool Arrays::upload(eplb_context* context) const {
  return EXPECT(EPLB_OK, CALL(upload_cluster)(
                             context, slots.data(), speeds.empty() ? nullptr : speeds.data(),
                             nodes.data(), static_cast<int64_t>(slots.size()), ERR)) != 0;
}

namespace {

// On nodes of any kind.
Arrays any_arrays(const Input& in, uint64_t seed, bool with_speeds) {
  std::mt19937_64 random(seed);
  const int64_t gpus = in->problem.num_gpus, places = in->problem.num_slots / gpus;
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  Arrays arrays;
  int64_t room = 0;
  for (int64_t g = 0; g < gpus; g++) {
    arrays.slots.push_back(below(3) ? places : below(places + 1));
    arrays.nodes.push_back(below(in->problem.num_nodes));
    if (with_speeds) arrays.speeds.push_back(1.0 / static_cast<double>(1 + below(3)));
    room += arrays.slots.back();
  }
  for (int64_t g = 0; room < in->experts; g++) {
    room += places - arrays.slots[g];
    arrays.slots[g] = places;
  }
  return arrays;
}

}  // namespace

Arrays random_arrays(const Input& in, uint64_t seed, bool with_speeds) {
  if (in->problem.policy == EPLB_POLICY_SOFT) return any_arrays(in, seed, with_speeds);
  std::mt19937_64 random(seed);
  const int64_t gpus = in->problem.num_gpus, nodes = in->problem.num_nodes, each = gpus / nodes;
  const int64_t places = in->problem.num_slots / gpus;
  Arrays arrays;
  for (int64_t room = 0; room < in->experts / nodes;) {
    room = 0;
    arrays.slots.clear();
    for (int64_t g = 0; g < each; g++) {
      arrays.slots.push_back(random() % 3 ? places : static_cast<int64_t>(random()) % (places + 1));
      if (arrays.slots.back() < 0) arrays.slots.back() = 0;
      room += arrays.slots.back();
    }
  }
  for (int64_t g = each; g < gpus; g++) arrays.slots.push_back(arrays.slots[g - each]);
  for (int64_t g = 0; g < gpus; g++) {
    arrays.nodes.push_back(g / each);
    if (with_speeds)
      arrays.speeds.push_back(g < each ? 1.0 / static_cast<double>(1 + random() % 3)
                                       : arrays.speeds[g - each]);
  }
  return arrays;
}

Input unequal_input(uint64_t seed, int64_t least_windows) {
  Input in = random_input(seed, least_windows);
  in->options.max_replicas = 0;
  if (in->problem.policy == EPLB_POLICY_SOFT) return in;
  const bool apart = in->problem.num_groups % in->problem.num_nodes == 0 &&
                     in->problem.num_gpus % in->problem.num_nodes == 0 &&
                     in->experts % in->problem.num_groups == 0 && seed % 2;
  if (!apart) in->problem.num_nodes = in->problem.num_groups = 1;
  in->problem.policy = apart ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
  return in;
}

namespace {

// What the CPU answers.
bool solve_on_host(const Input& in, const Arrays& arrays, Plan& want) {
  const Context host(EPLB_DEVICE_CPU);
  return arrays.upload(host) && input_upload_and_solve(host, in) && want.fetch(host, in);
}

void same_on_both(const Input& in, const Arrays& arrays) {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Plan want, got;
  if (!solve_on_host(in, arrays, want) || !arrays.upload(context)) return;
  if (!CHECK(input_upload_and_solve(context, in)) || !got.fetch(context, in)) return;
  same_plan(want, got);
  CHECK(report_same(&want->report, &got->report));
  DeviceCalls device(context, in, stream);
  if (!device.reserve() || !device.upload_and_solve() || !device.maps_are(want)) return;
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  Plan brought;
  if (brought.fetch(context, in)) same_plan(want, brought);
}

void random_clusters() {
  for (int i = 0; i < settings().problems; i++) {
    const uint64_t seed = settings().seed + static_cast<uint64_t>(i);
    Input in = unequal_input(seed);
    const bool with_speeds = seed % 3 > 0;
    const eplb_policy policy = in->problem.policy;
    const Arrays arrays = random_arrays(in, seed, with_speeds);
    for (const Method& method : all_methods()) {
      if (method.strategy == EPLB_STRATEGY_GREEDY && with_speeds) continue;
      if (method.strategy == EPLB_STRATEGY_GREEDY && in->dtype == EPLB_FLOAT64) continue;
      method.choose(in, policy);
      test("cluster " + std::to_string(seed) + ", " + describe(in) + ", " + method.name(),
           [&] { same_on_both(in, arrays); });
    }
  }
}

// What was reserved for equal GPUs may be too small; another cluster discards the plan.
void another_cluster() {
  const Context context(EPLB_DEVICE_CUDA);
  Input in = small_input(3, 11);
  in->problem.policy = EPLB_POLICY_GLOBAL;
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan equal, unequal;
  const Arrays arrays{{6, 6, 0, 6}, {0, 0, 0, 0}, {1, 1, 1, 0.5}};
  if (!solve_on_cpu(in, equal) || !solve_on_host(in, arrays, unequal)) return;
  if (!device.reserve() || !device.upload_and_solve() || !device.maps_are(equal)) return;
  if (!arrays.upload(context)) return;
  const Buffer buffer(device.largest_map_bytes());
  REFUSED(EPLB_INVALID_STATE, device.fetch(EPLB_MAP_REPLICA_COUNT, EPLB_INT64, buffer),
          "eplb_solve_device");
  if (device.reserve() && device.upload_and_solve()) device.maps_are(unequal);
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, nullptr, nullptr, nullptr, 0, ERR));
  if (device.reserve() && device.upload_and_solve()) device.maps_are(equal);
}

}  // namespace

void clusters() {
  random_clusters();
  RUN(another_cluster);
}

}  // namespace eplb::tests
