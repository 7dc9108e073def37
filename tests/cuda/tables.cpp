// Prices and weights of windows on a device: they come before a reserve, together with a cluster or
// apart from it, and have the same answers as on the CPU.
#include <array>

#include "clusters.h"

namespace eplb::tests {
namespace {

constexpr int64_t kWindows = 3;

// 16 experts in 24 slots on 4 GPUs of 2 nodes, which 5 groups do not divide.
Input tables_input(uint64_t seed) {
  Input in(input_make(EPLB_FLOAT32, 2 * kWindows, 16, 24, 4, seed));
  in->windows = kWindows;
  in->layers = 2;
  in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
  in->problem.policy = EPLB_POLICY_SOFT;
  in->problem.num_nodes = 2;
  in->problem.num_groups = 5;
  in->options.effort = EPLB_EFFORT_FAST;
  return in;
}

Input with_tables(uint64_t seed, std::array<double, kWindows> weights) {
  Input in = tables_input(seed);
  input_set_prices(in.operator->(), seed % 2 ? 16 : 5, seed);
  in->window_weights = static_cast<double*>(std::calloc(kWindows, sizeof(double)));
  std::copy(weights.begin(), weights.end(), in->window_weights);
  return in;
}

// On a context that has its tables already, by host calls and by those of a stream.
void answers_are(eplb_context* context, const Input& in, const Plan& want) {
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan got, brought;
  const Input weights = [&] {
    Input bare = in.copy();
    input_drop_tables(bare.operator->());
    return bare;
  }();
  if (!device.reserve() || !device.upload_and_solve() || !device.maps_are(want)) return;
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  if (brought.fetch(context, in)) same_plan(want, brought);
  if (input_upload_and_solve(context, weights) && got.fetch(context, in)) same_plan(want, got);
  CHECK(report_same(&want->report, &got->report));
}

bool solve_on_host(const Input& in, const Arrays* arrays, Plan& want) {
  const Context host(EPLB_DEVICE_CPU);
  return (arrays == nullptr || arrays->upload(host)) && input_upload_and_solve(host, in) &&
         want.fetch(host, in);
}

// Each discards the plan and takes the place of the one before; without any, all is as it was.
void others_and_none() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input first = with_tables(41, {1, 0.25, 4}), second = with_tables(42, {0, 2, 1});
  const Input none = tables_input(41);
  const Buffer buffer(8 * 2 * 24);
  Plan want_first, want_second, want_none;
  if (!solve_on_cpu(first, want_first) || !solve_on_cpu(second, want_second)) return;
  if (!solve_on_cpu(none, want_none)) return;
  CHECK(want_first->fingerprint != want_none->fingerprint);
  if (!input_upload_tables(context, first)) return;
  answers_are(context, first, want_first);
  const Stream stream;
  for (const bool prices : {true, false}) {
    const eplb_status status =
        prices ? CALL(upload_prices)(context, second->prices, 10, 2, 5, ERR)
               : CALL(upload_window_weights)(context, second->window_weights, kWindows, ERR);
    EXPECT(EPLB_OK, status);
    REFUSED(EPLB_INVALID_STATE,
            CALL(fetch_map_device)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, buffer.data(),
                                   48, stream, ERR),
            "eplb_solve_device");
  }
  answers_are(context, second, want_second);
  if (!input_upload_tables(context, none)) return;
  answers_are(context, none, want_none);
}

// What a context had before one of them came stays.
void a_cluster_stays() {
  const Input in = with_tables(43, {2, 1, 1});
  const Arrays arrays{{6, 5, 6, 4}, {1, 0, 0, 1}, {1, 0.5, 1, 0.75}};
  Plan want;
  if (!solve_on_host(in, &arrays, want)) return;
  for (const bool cluster_first : {true, false}) {
    const Context context(EPLB_DEVICE_CUDA);
    if (cluster_first && !arrays.upload(context)) return;
    if (!input_upload_tables(context, in)) return;
    if (!cluster_first && !arrays.upload(context)) return;
    answers_are(context, in, want);
  }
}

void a_rebalance() {
  Input in = with_tables(44, {1, 3, 0});
  in->options.strategy = EPLB_STRATEGY_REBALANCE;
  in->options.max_moves = 9;
  std::vector<int64_t> current;
  for (int64_t slot = 0; slot < 48; slot++) current.push_back(slot % 24 % 16);
  const Context host(EPLB_DEVICE_CPU), context(EPLB_DEVICE_CUDA);
  for (eplb_context* each : {static_cast<eplb_context*>(host), static_cast<eplb_context*>(context)})
    EXPECT(EPLB_OK, CALL(upload_placement)(each, current.data(), 48, EPLB_INT64, 2, 24, ERR));
  Plan want;
  if (!input_upload_and_solve(host, in) || !want.fetch(host, in)) return;
  if (input_upload_tables(context, in)) answers_are(context, in, want);
}

// A failed upload leaves plan and tables on the device, too.
void a_failed_upload() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = with_tables(45, {1, 2, 3});
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan want;
  const double bad[2] = {1, -1};
  if (!solve_on_cpu(in, want) || !input_upload_tables(context, in) || !device.reserve()) return;
  if (!device.upload_and_solve()) return;
  REFUSED(EPLB_INVALID_ARGUMENT, CALL(upload_prices)(context, bad, 2, 2, 1, ERR), "negative");
  REFUSED(EPLB_INVALID_ARGUMENT, CALL(upload_window_weights)(context, bad, 2, ERR), "negative");
  if (device.maps_are(want) && device.solve()) device.maps_are(want);
}

}  // namespace

void tables() {
  RUN(others_and_none);
  RUN(a_cluster_stays);
  RUN(a_rebalance);
  RUN(a_failed_upload);
}

}  // namespace eplb::tests
