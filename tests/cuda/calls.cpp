// The device calls: they wait for nothing, allocate nothing, stay within the reserve, and mix with
// host calls.
#include "problems.h"

namespace eplb::tests {
namespace {

Input input_for(const Method& method, int64_t layers = 6) {
  Input in = small_input(layers, 11);
  in->options.strategy = method.strategy;
  in->options.effort = method.effort;
  return in;
}

// Every call once; the stream must still be held after each.
void all_calls_once(DeviceCalls& device, const Buffer& buffer, const HeldStream& hold) {
  device.upload();
  CHECK(hold.is_held());
  device.solve();
  CHECK(hold.is_held());
  for (const eplb_map map : plan_maps) {
    if (is_host_only(map)) {
      device.is_refused(map, buffer);
    } else {
      const eplb_status status =
          device.fetch(map, map_is_int(map) ? EPLB_INT64 : EPLB_FLOAT64, buffer);
      EXPECT(EPLB_OK, status);
    }
    CHECK(hold.is_held());
  }
}

Input windows_apart() {
  Input in = input_for({EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL});  // read as three windows
  in->windows = 3;
  in->layers /= 3;
  in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
  return in;
}

void they_neither_wait_nor_allocate(const Input& in) {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  DeviceCalls device(context, in, stream);
  const Buffer buffer(device.largest_map_bytes());
  Plan want;
  if (!device.reserve() || !solve_on_cpu(in, want)) return;
  for (int round = 0; round < 3 && !test_has_failed(); round++) {
    const Allocations before = allocations();
    HeldStream hold(stream);
    all_calls_once(device, buffer, hold);
    hold.let_go();
    const Allocations after = allocations();
    EQUAL(before.count, after.count);
    // A real driver may set something aside for the first work of a new stream.
    if (kEmulated || round > 0) EQUAL(before.used_bytes, after.used_bytes);
  }
  device.maps_are(want);
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

void nothing_works_before_its_turn() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(3, 1);
  const Stream stream;
  DeviceCalls device(context, in, stream);
  const Buffer out(device.largest_map_bytes());
  const auto fetch = [&] { return device.fetch(EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, out); };
  const auto solve = [&] {
    return CALL(solve_device)(context, &in->problem, &in->options, stream, ERR);
  };
  const Buffer weights(in.bytes());
  int64_t dims[4];
  int32_t rank = 0;
  REFUSED(EPLB_INVALID_STATE, CALL(map_shape)(context, EPLB_MAP_GPU_LOAD, &rank, dims, 4, ERR),
          "eplb_");
  REFUSED(EPLB_INVALID_STATE,
          CALL(upload_weights_device)(context, weights.data(), in.length(), in->dtype, 1,
                                      in->layers, in->experts, stream, ERR),
          "eplb_context_reserve");
  REFUSED(EPLB_INVALID_STATE, solve(), "eplb_");
  REFUSED(EPLB_INVALID_STATE, fetch(), "eplb_");
  if (!device.reserve()) return;
  EXPECT(EPLB_OK, CALL(map_shape)(context, EPLB_MAP_GPU_LOAD, &rank, dims, 4, ERR));
  EQUAL(2, rank);
  EQUAL(in->layers, dims[0]);
  EQUAL(in->problem.num_gpus, dims[1]);
  REFUSED(EPLB_INVALID_STATE, solve(), "eplb_upload_weights_device");
  REFUSED(EPLB_INVALID_STATE, fetch(), "eplb_solve_device");
  if (!device.upload()) return;
  REFUSED(EPLB_INVALID_STATE, fetch(), "eplb_solve_device");
  if (!device.solve()) return;
  EXPECT(EPLB_OK, fetch());
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

// Whatever is larger than what was reserved is refused, and what was there stays.
void the_reserve_is_the_limit() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(6, 2), longer = small_input(600, 2);
  const Stream stream;
  DeviceCalls device(context, in, stream);
  const Buffer weights(longer.bytes());
  Plan want;
  if (!device.reserve() || !device.upload_and_solve() || !solve_on_cpu(in, want)) return;
  REFUSED(EPLB_INVALID_STATE,
          CALL(upload_weights_device)(context, weights.data(), longer.length(), longer->dtype, 1,
                                      longer->layers, longer->experts, stream, ERR),
          "eplb_context_reserve");
  eplb_problem larger = in->problem;
  larger.num_slots *= 16;
  REFUSED(EPLB_INVALID_STATE, CALL(solve_device)(context, &larger, &in->options, stream, ERR),
          "eplb_context_reserve");
  device.maps_are(want);
}

void less_than_the_reserve_is_fine() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input whole = input_for({EPLB_STRATEGY_HYBRID_INIT, EPLB_EFFORT_NORMAL}, 9);
  const Stream stream;
  DeviceCalls reserved(context, whole, stream);
  if (!reserved.reserve()) return;
  for (const int64_t layers : {1, 9, 4}) {
    const Input in = input_for({EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL}, layers);
    DeviceCalls device(context, in, stream);
    Plan want;
    if (solve_on_cpu(in, want) && device.upload_and_solve()) device.maps_are(want);
  }
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

void wrong_arguments_are_named() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(3, 3);
  const Stream stream;
  DeviceCalls device(context, in, stream);
  const Buffer out(device.largest_map_bytes()), weights(in.bytes());
  if (!device.reserve() || !device.upload_and_solve()) return;
  const int64_t length = device.map_length(EPLB_MAP_REPLICA_COUNT);
  const auto fetch = [&](eplb_dtype dtype, void* buffer, int64_t n) {
    return CALL(fetch_map_device)(context, EPLB_MAP_REPLICA_COUNT, dtype, buffer, n, stream, ERR);
  };
  REFUSED(EPLB_INVALID_ARGUMENT, fetch(EPLB_INT32, nullptr, length), "buffer");
  REFUSED(EPLB_INVALID_ARGUMENT, fetch(EPLB_INT32, out.data(), length - 1), "length");
  REFUSED(EPLB_INVALID_ARGUMENT, fetch(EPLB_FLOAT64, out.data(), length), "dtype");
  const auto upload = [&](const void* from, int64_t n, eplb_dtype dtype) {
    return CALL(upload_weights_device)(context, from, n, dtype, 1, in->layers, in->experts, stream,
                                       ERR);
  };
  REFUSED(EPLB_INVALID_ARGUMENT, upload(nullptr, in.length(), in->dtype), "weights");
  REFUSED(EPLB_INVALID_ARGUMENT, upload(weights.data(), in.length() + 1, in->dtype),
          "weights_length");
  REFUSED(EPLB_INVALID_ARGUMENT, upload(weights.data(), in.length(), 9), "dtype");
  eplb_problem odd = in->problem;
  odd.num_slots++;
  REFUSED(EPLB_INVALID_ARGUMENT, CALL(solve_device)(context, &odd, &in->options, stream, ERR),
          "num_slots");
  Plan want;
  if (solve_on_cpu(in, want)) device.maps_are(want);
}

void host_and_device_calls_mix() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input first = small_input(5, 4), second = small_input(5, 5);
  const Stream stream;
  DeviceCalls device(context, first, stream);
  Plan want_first, want_second, got;
  if (!device.reserve() || !solve_on_cpu(first, want_first) || !solve_on_cpu(second, want_second))
    return;
  // weights from the host, solved on the device's side
  if (!input_upload(context, second) || !device.solve() || !device.maps_are(want_second)) return;
  if (got.fetch(context, second)) same_plan(want_second, got);
  // weights from the device, solved by a host call, and fetched on both sides
  if (!device.upload() || !input_solve(context, first) || !device.maps_are(want_first)) return;
  if (got.fetch(context, first)) same_plan(want_first, got);
  // a host call waits for the device calls before it
  device.set_weights(second);
  if (device.upload_and_solve() && got.fetch(context, second)) same_plan(want_second, got);
}

void one_upload_serves_many_solves() {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Input in = input_for({EPLB_STRATEGY_HYBRID_INIT, EPLB_EFFORT_NORMAL});
  in->options.max_replicas = 5;
  DeviceCalls device(context, in, stream);
  if (!device.reserve() || !device.upload()) return;
  for (const eplb_strategy strategy :
       {EPLB_STRATEGY_LPT_SWAP, EPLB_STRATEGY_L2_SWAP, EPLB_STRATEGY_RANDOM_RESTARTS}) {
    in->options.strategy = strategy;
    in->options.seed++;
    Plan want;
    if (solve_on_cpu(in, want) && device.solve()) device.maps_are(want);
  }
}

void windows_and_dtypes() {
  for (const eplb_dtype dtype : {EPLB_FLOAT32, EPLB_FLOAT64, EPLB_INT32, EPLB_INT64}) {
    const Context context(EPLB_DEVICE_CUDA);
    Input in = small_input(9, 6, dtype);  // read as three windows of three layers
    in->windows = in->layers = 3;
    const Stream stream;
    DeviceCalls device(context, in, stream);
    Plan want;
    if (solve_on_cpu(in, want) && device.reserve() && device.upload_and_solve())
      device.maps_are(want);
  }
}

void the_default_stream_will_do() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(4, 7);
  DeviceCalls device(context, in, nullptr);
  Plan want;
  if (solve_on_cpu(in, want) && device.reserve() && device.upload_and_solve())
    device.maps_are(want);
}

void order_between_streams_is_the_callers() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(4, 8);
  const Stream first, second;
  DeviceCalls uploads(context, in, first), solves(context, in, second);
  Plan want;
  cudaEvent_t uploaded = nullptr;
  if (!solve_on_cpu(in, want) || !uploads.reserve()) return;
  CUDA(cudaEventCreateWithFlags(&uploaded, cudaEventDisableTiming));
  for (int round = 0; round < settings().rounds; round++) {
    uploads.upload();
    CUDA(cudaEventRecord(uploaded, first));
    CUDA(cudaStreamWaitEvent(second, uploaded, 0));
    solves.solve();
    second.wait();
  }
  solves.maps_are(want);
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  cudaEventDestroy(uploaded);
}

}  // namespace

void calls() {
  for (const Method& method : all_methods())
    test("device calls neither wait nor allocate, " + method.name(),
         [&] { they_neither_wait_nor_allocate(input_for(method)); });
  test("device calls neither wait nor allocate, windows apart",
       [] { they_neither_wait_nor_allocate(windows_apart()); });
  RUN(nothing_works_before_its_turn);
  RUN(the_reserve_is_the_limit);
  RUN(less_than_the_reserve_is_fine);
  RUN(wrong_arguments_are_named);
  RUN(host_and_device_calls_mix);
  RUN(one_upload_serves_many_solves);
  RUN(windows_and_dtypes);
  RUN(the_default_stream_will_do);
  RUN(order_between_streams_is_the_callers);
}

}  // namespace eplb::tests
