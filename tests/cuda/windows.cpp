// Windows that are balanced apart: kept on the device, and the same bits from it as from the CPU.
#include <cstring>

#include "clusters.h"

namespace eplb::tests {
namespace {

constexpr int64_t kWindows = 4;

// BEST; [T,L,E] lies in memory like [T*L,E].
Input windows_input(uint64_t seed, int64_t windows = kWindows, eplb_dtype dtype = EPLB_FLOAT32) {
  Input in = small_input(3 * windows, seed, dtype);
  in->windows = windows;
  in->layers = 3;
  in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
  in->options.strategy = EPLB_STRATEGY_BEST;
  return in;
}

std::vector<double> imbalance_of(eplb_context* context, const Input& in) {
  std::vector<double> figures(static_cast<size_t>(in->layers * in->windows), -1);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_WINDOW_IMBALANCE, EPLB_FLOAT64, figures.data(),
                                  static_cast<int64_t>(figures.size()), ERR));
  return figures;
}

// What a context has brought, its windows included.
void same_answer(eplb_context* host, eplb_context* context, const Input& in) {
  Plan want, got;
  if (!want.fetch(host, in) || !got.fetch(context, in)) return;
  same_plan(want, got);
  CHECK(report_same(&want->report, &got->report));
  EQUAL(in->windows, got->report.num_windows);
  const std::vector<double> expected = imbalance_of(host, in), brought = imbalance_of(context, in);
  CHECK(std::memcmp(expected.data(), brought.data(), 8 * expected.size()) == 0);
}

struct Cluster {
  Arrays arrays;
  bool upload(eplb_context* context) const {
    return arrays.slots.empty() || arrays.upload(context);
  }
};

void same_on_both(const Input& in, const Cluster& cluster) {
  const Context host(EPLB_DEVICE_CPU), context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Plan want;
  if (!cluster.upload(host) || !cluster.upload(context)) return;
  if (!input_upload_and_solve(host, in) || !want.fetch(host, in)) return;
  if (!input_upload_and_solve(context, in)) return;
  same_answer(host, context, in);
  DeviceCalls device(context, in, stream);
  if (!device.reserve() || !device.upload_and_solve() || !device.maps_are(want)) return;
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  same_answer(host, context, in);
}

void random_windows() {
  for (int i = 0; i < 2 * settings().problems; i++) {
    const uint64_t seed = settings().seed + static_cast<uint64_t>(i);
    Input in = unequal_input(seed, 2);
    in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
    in->options.strategy = EPLB_STRATEGY_BEST;
    in->options.effort = static_cast<eplb_effort>(seed % 2);
    const Cluster cluster{seed % 3 ? Arrays{} : random_arrays(in, seed, seed % 2)};
    test("windows " + std::to_string(seed) + ", " + describe(in),
         [&] { same_on_both(in, cluster); });
  }
}

// Placements for splits; of several windows a device keeps the sum.
void random_splits() {
  for (int i = 0; i < 3 * settings().problems; i++) {
    const uint64_t seed = settings().seed + static_cast<uint64_t>(i);
    Input in = unequal_input(seed);
    if (in->windows > 1 || in->problem.policy == EPLB_POLICY_SOFT) continue;
    in->problem.objective = EPLB_OBJECTIVE_SPLIT;
    in->options.strategy = EPLB_STRATEGY_BEST;
    in->options.effort = static_cast<eplb_effort>(seed % 2);
    in->options.target = seed % 3 ? 1.1 : 0;
    const Cluster cluster{seed % 3 ? Arrays{} : random_arrays(in, seed, seed % 2)};
    test("splits " + std::to_string(seed) + ", " + describe(in),
         [&] { same_on_both(in, cluster); });
  }
}

// Whoever brings weights, a solve of either kind finds their windows.
void host_and_device_calls_mix(eplb_dtype dtype) {
  const Context host(EPLB_DEVICE_CPU), context(EPLB_DEVICE_CUDA);
  const Input first = windows_input(31, kWindows, dtype), second = windows_input(32, 3, dtype);
  const Stream stream;
  DeviceCalls device(context, first, stream), fewer(context, second, stream);
  Plan want;
  if (!device.reserve() || !input_upload_and_solve(host, first) || !want.fetch(host, first)) return;
  if (!input_upload(context, first) || !device.solve() || !device.maps_are(want)) return;
  same_answer(host, context, first);
  if (!device.upload() || !input_solve(context, first)) return;
  same_answer(host, context, first);
  if (!device.solve() || !device.maps_are(want) || !input_upload_and_solve(host, second)) return;
  if (!want.fetch(host, second) || !fewer.upload_and_solve() || !fewer.maps_are(want)) return;
  same_answer(host, context, second);
}

// Without room for them windows are summed, so that a stream has no answer; host calls have one.
void a_reserve_for_the_sum() {
  const Context host(EPLB_DEVICE_CPU), context(EPLB_DEVICE_CUDA);
  const Input in = windows_input(33);
  Input sum = windows_input(33), one = windows_input(33, 1);
  sum->problem.objective = EPLB_OBJECTIVE_SUM;
  const Stream stream;
  DeviceCalls device(context, in, stream), summed(context, sum, stream);
  Plan want, got;
  const auto solve = [&] {
    return CALL(solve_device)(context, &in->problem, &in->options, stream, ERR);
  };
  if (!solve_on_cpu(sum, want) || !DeviceCalls(context, one, stream).reserve()) return;
  if (!device.upload()) return;
  REFUSED(EPLB_INVALID_STATE, solve(), "eplb_context_reserve");
  if (!summed.solve() || !summed.maps_are(want) || !got.fetch(context, sum)) return;
  same_plan(want, got);
  EQUAL(0, got->report.num_windows);
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in->problem, &in->options, ERR),
          "eplb_context_reserve");
  if (!input_upload(context, in)) return;
  REFUSED(EPLB_INVALID_STATE, solve(), "eplb_context_reserve");
  if (input_upload_and_solve(host, in) && input_solve(context, in)) same_answer(host, context, in);
}

void more_windows_than_are_kept() {
  const Context context(EPLB_DEVICE_CUDA);
  Input in = windows_input(34, 65);
  const Stream stream;
  DeviceCalls device(context, in, stream);
  REFUSED(EPLB_UNAVAILABLE,
          CALL(context_reserve)(context, in->dtype, in->windows, in->layers, in->experts,
                                &in->problem, &in->options, ERR),
          "more than 64");
  in->problem.objective = EPLB_OBJECTIVE_SUM;
  Plan want;
  if (!solve_on_cpu(in, want) || !device.reserve() || !device.upload_and_solve()) return;
  device.maps_are(want);
  in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve_device)(context, &in->problem, &in->options, stream, ERR),
          "more than 64");
}

// What a replay leaves is what is brought, however many windows the last call had.
void a_replay_of_other_windows() {
  const Context host(EPLB_DEVICE_CPU), context(EPLB_DEVICE_CUDA);
  const Stream stream;
  const Input many = windows_input(35);
  if (!DeviceCalls(context, many, stream).reserve()) return;
  for (const int64_t windows : {int64_t{1}, int64_t{3}, int64_t{65}}) {
    Input few = windows_input(36, windows);
    if (windows > kWindows) few->problem.objective = EPLB_OBJECTIVE_SUM;
    DeviceCalls device(context, few, stream), last(context, many, stream);
    const Graph graph(stream, cudaStreamCaptureModeRelaxed, [&] { device.upload_and_solve(); });
    if (!last.upload_and_solve() || !input_upload_and_solve(host, many)) return;
    same_answer(host, context, many);
    Plan want, got;
    if (!last.upload_and_solve() || !graph.launch(stream) || !solve_on_cpu(few, want)) return;
    if (!got.fetch(context, few)) return;
    same_plan(want, got);
    EQUAL(windows == 65 ? 0 : windows, got->report.num_windows);
    if (windows < 65 && input_upload_and_solve(host, few)) same_answer(host, context, few);
  }
}

}  // namespace

void windows() {
  random_windows();
  random_splits();
  test("host and device calls mix, windows of floats",
       [] { host_and_device_calls_mix(EPLB_FLOAT32); });
  test("host and device calls mix, windows of integers",
       [] { host_and_device_calls_mix(EPLB_INT64); });
  RUN(a_reserve_for_the_sum);
  RUN(more_windows_than_are_kept);
  RUN(a_replay_of_other_windows);
}

}  // namespace eplb::tests
