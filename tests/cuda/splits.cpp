// Splits of tokens on a device: the bits of the CPU, over placements that the host has prepared and
// over those of a stream, in graphs too.
#include <algorithm>

#include "clusters.h"

namespace eplb::tests {
namespace {

constexpr eplb_map kIntMaps[] = {EPLB_MAP_SHARE, EPLB_MAP_SPLIT_TIGHT};
constexpr eplb_map kRealMaps[] = {EPLB_MAP_QUOTA, EPLB_MAP_SPLIT_LOAD, EPLB_MAP_SPLIT_IMBALANCE,
                                  EPLB_MAP_SPLIT_BOUND};
constexpr eplb_map kFirstMap = EPLB_MAP_SHARE;

int64_t length_of(eplb_context* context, eplb_map map) {
  int32_t rank = 0;
  int64_t dims[4] = {};
  EXPECT(EPLB_OK, CALL(map_shape)(context, map, &rank, dims, 4, ERR));
  return dims[0] * dims[1] * dims[2] * dims[3];
}

// All maps of a split, by the value of their constants after the first.
struct Maps {
  std::vector<int64_t> ints[6];
  std::vector<double> reals[6];
};

Maps maps_of(eplb_context* context) {
  Maps maps;
  for (const eplb_map map : kIntMaps) {
    std::vector<int64_t>& out = maps.ints[map - kFirstMap];
    out.assign(static_cast<size_t>(length_of(context, map)), -7);
    EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT64, out.data(),
                                    static_cast<int64_t>(out.size()), ERR));
  }
  for (const eplb_map map : kRealMaps) {
    std::vector<double>& out = maps.reals[map - kFirstMap];
    out.assign(static_cast<size_t>(length_of(context, map)), -7);
    EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_FLOAT64, out.data(),
                                    static_cast<int64_t>(out.size()), ERR));
  }
  return maps;
}

bool same(const Maps& want, const Maps& got) {
  bool all = true;
  for (int i = 0; i < 6; i++)
    all &= CHECK(want.ints[i] == got.ints[i]) && CHECK(want.reals[i] == got.reals[i]);
  return all;
}

bool device_maps_are(const Maps& want, eplb_context* context, cudaStream_t stream) {
  bool all = true;
  auto fetched = [&](eplb_map map, eplb_dtype dtype, int64_t length, const Buffer& buffer) {
    return EXPECT(EPLB_OK, CALL(fetch_map_device)(context, map, dtype, buffer.data(), length,
                                                  stream, ERR)) != 0;
  };
  for (const eplb_map map : kIntMaps) {
    const std::vector<int64_t>& ints = want.ints[map - kFirstMap];
    const auto length = static_cast<int64_t>(ints.size());
    const Buffer buffer(8 * length);
    all &= fetched(map, EPLB_INT64, length, buffer) &&
           CHECK(buffer.read<int64_t>(length, stream) == ints);
    if (!fetched(map, EPLB_INT32, length, buffer)) return false;
    const std::vector<int32_t> narrow = buffer.read<int32_t>(length, stream);
    all &= CHECK(std::equal(narrow.begin(), narrow.end(), ints.begin())) != 0;
  }
  for (const eplb_map map : kRealMaps) {
    const std::vector<double>& reals = want.reals[map - kFirstMap];
    const auto length = static_cast<int64_t>(reals.size());
    const Buffer buffer(8 * length);
    all &= fetched(map, EPLB_FLOAT64, length, buffer) &&
           CHECK(buffer.read<double>(length, stream) == reals);
  }
  return all;
}

using Placement = std::vector<int64_t>;

// Splits over a placement of the caller on a context that has weights.
eplb_status split_over(eplb_context* context, const Input& in, const Placement& placement) {
  return CALL(split)(context, &in->problem, placement.data(),
                     static_cast<int64_t>(placement.size()), EPLB_INT64, nullptr, ERR);
}
eplb_status split_again(eplb_context* context) {
  return CALL(split)(context, nullptr, nullptr, 0, 0, nullptr, ERR);
}
eplb_status split_on(eplb_context* context, cudaStream_t stream) {
  return CALL(split_device)(context, nullptr, nullptr, 0, 0, nullptr, stream, ERR);
}

// What the CPU says of such weights over such a placement.
Maps on_cpu(const Input& in, const Placement& placement) {
  const Context context(EPLB_DEVICE_CPU);
  if (!input_upload_tables(context, in) || !input_upload(context, in) ||
      !EXPECT(EPLB_OK, split_over(context, in, placement)))
    return {};
  return maps_of(context);
}

Placement placement_of(const Plan& solved) {
  const int64_t* const first = solved->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL];
  return {first, first + solved->layers * solved->slots};
}

// A problem with its weights in device memory, and a placement of other weights.
struct Small {
  explicit Small(eplb_dtype dtype = EPLB_INT64) : in(small_input(6, 9, dtype)) {
    const Input other = small_input(6, 10, dtype);
    if (!solve_on_cpu(other, solved)) return;
    placement = placement_of(solved);
    ready = device.reserve() && device.upload();
  }
  bool prepare() {
    return EXPECT(EPLB_OK, CALL(split_prepare)(context, &in->problem, placement.data(),
                                               static_cast<int64_t>(placement.size()), EPLB_INT64,
                                               ERR)) != 0;
  }
  Input in;
  const Context context{EPLB_DEVICE_CUDA};
  const Stream stream;
  DeviceCalls device{context, in, stream};
  Plan solved;
  Placement placement;
  bool ready = false;
};

void of_prepared_placements(eplb_dtype dtype) {
  Small small(dtype);
  if (!small.ready || !small.prepare()) return;
  const Maps want = on_cpu(small.in, small.placement);
  if (!EXPECT(EPLB_OK, split_on(small.context, small.stream))) return;
  device_maps_are(want, small.context, small.stream);
  same(want, maps_of(small.context));  // brought to the host
  EXPECT(EPLB_OK, CALL(context_synchronize)(small.context, ERR));
  // And by a host call, over what the device has.
  EXPECT(EPLB_OK, split_again(small.context));
  same(want, maps_of(small.context));
}

void of_random_problems() {
  for (int i = 0; i < settings().problems; i++) {
    Input in = unequal_input(settings().seed + static_cast<uint64_t>(i));
    if (in->problem.policy == EPLB_POLICY_SOFT) continue;
    const Arrays arrays = random_arrays(in, settings().seed + static_cast<uint64_t>(i), true);
    in->options.strategy = EPLB_STRATEGY_LPT_SWAP;
    in->problem.objective = EPLB_OBJECTIVE_SUM;
    const Context host(EPLB_DEVICE_CPU), context(EPLB_DEVICE_CUDA);
    const Stream stream;
    DeviceCalls device(context, in, stream);
    if (!arrays.upload(host) || !arrays.upload(context)) return;
    if (CALL(solve)(host, &in->problem, &in->options, ERR) != EPLB_OK &&
        !input_upload_and_solve(host, in))
      continue;
    if (!EXPECT(EPLB_OK, CALL(split)(host, &in->problem, nullptr, 0, 0, nullptr, ERR))) return;
    const Maps want = maps_of(host);
    if (!device.reserve() || !device.upload_and_solve()) return;
    // Memory first, then over the plan that is there.
    if (!EXPECT(EPLB_OK, CALL(split_prepare)(context, &in->problem, nullptr, 0, 0, ERR))) return;
    if (!EXPECT(EPLB_OK,
                CALL(split_device)(context, &in->problem, nullptr, 0, 0, nullptr, stream, ERR)))
      return;
    if (!device_maps_are(want, context, stream)) std::printf("  of %s\n", describe(in).c_str());
    same(want, maps_of(context));
    EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  }
}

void from_device_memory(eplb_dtype dtype) {
  Small small;
  const auto length = static_cast<int64_t>(small.placement.size());
  Placement other = small.placement;  // GPUs in reverse order
  const int64_t slots = small.in->problem.num_slots;
  for (auto row = other.begin(); row != other.end(); row += slots) std::reverse(row, row + slots);
  const Maps want = on_cpu(small.in, other);
  const Buffer there(8 * length);
  const std::vector<int32_t> narrow(other.begin(), other.end());
  if (dtype == EPLB_INT32)
    there.write(narrow.data(), 4 * length, small.stream);
  else
    there.write(other.data(), 8 * length, small.stream);
  auto prepare = [&] {
    return CALL(split_prepare_device)(small.context, &small.in->problem, there.data(), length,
                                      dtype, small.stream, ERR);
  };
  REFUSED(EPLB_INVALID_STATE, prepare(), "eplb_split_prepare");
  if (!small.ready || !small.prepare()) return;
  EXPECT(EPLB_OK, prepare());
  EXPECT(EPLB_OK, split_on(small.context, small.stream));
  device_maps_are(want, small.context, small.stream);
  same(want, maps_of(small.context));
  EXPECT(EPLB_OK, split_again(small.context));  // over what the device was given
  same(want, maps_of(small.context));
  EXPECT(EPLB_OK, CALL(context_synchronize)(small.context, ERR));
}

// With other weights, and over another placement that was prepared since.
void replays_follow() {
  Small small;
  if (!small.ready || !small.prepare()) return;
  const int64_t slots = small.in->problem.num_slots, length = slots * small.in->layers;
  const Buffer shares(8 * length);
  const Graph graph(small.stream, cudaStreamCaptureModeRelaxed, [&] {
    small.device.upload();
    EXPECT(EPLB_OK, split_on(small.context, small.stream));
    EXPECT(EPLB_OK, CALL(fetch_map_device)(small.context, EPLB_MAP_SHARE, EPLB_INT64, shares.data(),
                                           length, small.stream, ERR));
  });
  for (uint64_t round = 0; round < 4; round++) {
    const Input now = small_input(6, 40 + round, EPLB_INT64);
    small.device.set_weights(now);
    if (round == 2) {
      std::rotate(small.placement.begin(), small.placement.begin() + slots, small.placement.end());
      if (!small.prepare()) return;
    }
    if (!graph.launch(small.stream)) return;
    const Maps want = on_cpu(now, small.placement);
    CHECK(shares.read<int64_t>(length, small.stream) == want.ints[0]);
    // A call that the library knows of makes it look at what replays have left.
    if (round == 3 && small.device.upload() &&
        EXPECT(EPLB_OK, split_on(small.context, small.stream)))
      same(want, maps_of(small.context));
  }
}

eplb_status fetch_imbalances(eplb_context* context, eplb_map map, double (&imbalances)[6]) {
  return CALL(fetch_map)(context, map, EPLB_FLOAT64, imbalances, 6, ERR);
}

// A host call's answer stays until there are other weights, also where an upload may be replayed.
void answers_of_the_host_last() {
  Small small;
  if (!small.ready || !small.prepare()) return;
  const Graph graph(small.stream, cudaStreamCaptureModeRelaxed, [&] { small.device.upload(); });
  small.device.set_weights(small.in);
  if (!graph.launch(small.stream)) return;
  EXPECT(EPLB_OK, split_again(small.context));
  EXPECT(EPLB_OK, CALL(static_dispatch)(small.context, nullptr, nullptr, 0, 0, nullptr, ERR));
  const Maps want = on_cpu(small.in, small.placement);
  double first[6], now[6];
  EXPECT(EPLB_OK, fetch_imbalances(small.context, EPLB_MAP_DISPATCH_IMBALANCE, first));
  for (int round = 0; round < 2 && graph.launch(small.stream); round++) {
    same(want, maps_of(small.context));
    EXPECT(EPLB_OK, fetch_imbalances(small.context, EPLB_MAP_DISPATCH_IMBALANCE, now));
    CHECK(std::equal(first, first + 6, now));
  }
  small.device.set_weights(small_input(6, 77, EPLB_INT64));
  if (!graph.launch(small.stream)) return;
  REFUSED(EPLB_INVALID_STATE, fetch_imbalances(small.context, EPLB_MAP_SPLIT_IMBALANCE, now),
          "eplb_split");
  REFUSED(EPLB_INVALID_STATE, fetch_imbalances(small.context, EPLB_MAP_DISPATCH_IMBALANCE, now),
          "eplb_static_dispatch");
  REFUSED(EPLB_UNAVAILABLE,
          CALL(fetch_map_device)(small.context, EPLB_MAP_DISPATCH_LOAD, EPLB_FLOAT64, nullptr, 0,
                                 small.stream, ERR),
          "DISPATCH_LOAD", "host");
}

void bad_placements_are_late(bool missing) {
  Small small;
  if (!small.ready || !small.prepare()) return;
  const auto length = static_cast<int64_t>(small.placement.size());
  const int64_t slots = small.in->problem.num_slots;
  Placement bad = small.placement;
  for (const int64_t layer : {4, 2})
    for (int64_t s = layer * slots; s < (layer + 1) * slots; s++)
      if (missing ? bad[s] == 3 : s == layer * slots + 5) bad[s] = missing ? -1 : 99;
  const Buffer there(8 * length);
  there.write(bad.data(), 8 * length, small.stream);
  EXPECT(EPLB_OK, CALL(split_device)(small.context, &small.in->problem, there.data(), length,
                                     EPLB_INT64, nullptr, small.stream, ERR));
  if (missing)
    REFUSED(EPLB_INVALID_PLACEMENT, CALL(context_synchronize)(small.context, ERR),
            "expert 3 of layer 2", "counts as empty");
  else
    REFUSED(EPLB_INVALID_PLACEMENT, CALL(context_synchronize)(small.context, ERR),
            "layer 2, slot 5", "counts as empty");
  EXPECT(EPLB_OK, CALL(context_synchronize)(small.context, ERR));
  const Maps got = maps_of(small.context), good = on_cpu(small.in, small.placement);
  for (int64_t layer = 0; layer < small.in->layers; layer++)
    for (int64_t s = layer * slots; s < (layer + 1) * slots; s++)
      CHECK(got.ints[0][s] == (layer == 2 || layer == 4 ? 0 : good.ints[0][s]));
}

void order_of_calls() {
  Small small;
  const Buffer buffer(8 * static_cast<int64_t>(small.placement.size()));
  auto fetch = [&] {
    return CALL(fetch_map_device)(small.context, EPLB_MAP_SPLIT_BOUND, EPLB_FLOAT64, buffer.data(),
                                  small.in->layers, small.stream, ERR);
  };
  REFUSED(EPLB_INVALID_STATE, split_on(small.context, small.stream), "eplb_split_prepare");
  REFUSED(EPLB_INVALID_STATE, fetch(), "eplb_split_device");
  if (!small.ready || !small.prepare()) return;
  EXPECT(EPLB_OK, split_again(small.context));  // on the host alone
  REFUSED(EPLB_INVALID_STATE, fetch(), "eplb_split_device");
  EXPECT(EPLB_OK, split_on(small.context, small.stream));
  EXPECT(EPLB_OK, fetch());
  small.device.upload();
  REFUSED(EPLB_INVALID_STATE, fetch(), "eplb_split_device");
  EXPECT(EPLB_OK, split_on(small.context, small.stream));
  EXPECT(EPLB_OK, fetch());
  small.device.reserve();
  REFUSED(EPLB_INVALID_STATE, split_on(small.context, small.stream), "eplb_upload_weights_device");
}

// A placement that is wrong has nowhere to be noted.
void without_a_reserve() {
  const Input in = small_input(6, 9, EPLB_INT64);
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Plan solved;
  if (!solve_on_cpu(in, solved) || !input_upload(context, in)) return;
  const Placement placement = placement_of(solved);
  const auto length = static_cast<int64_t>(placement.size());
  const Buffer there(8 * length);
  EXPECT(EPLB_OK,
         CALL(split_prepare)(context, &in->problem, placement.data(), length, EPLB_INT64, ERR));
  REFUSED(EPLB_INVALID_STATE,
          CALL(split_prepare_device)(context, &in->problem, there.data(), length, EPLB_INT64,
                                     stream, ERR),
          "eplb_context_reserve");
}

// What a host call finds there need not be what it was told of.
void a_capture_that_was_never_launched() {
  Small small;
  if (!small.ready || !small.prepare()) return;
  const auto length = static_cast<int64_t>(small.placement.size());
  const int64_t half = length / 2;
  const Input fewer = small_input(3, 9, EPLB_INT64);
  const Buffer there(8 * length);
  EXPECT(EPLB_OK, CALL(split)(small.context, nullptr, nullptr, 0, 0, nullptr, ERR));
  if (!input_upload(small.context, fewer)) return;
  const Graph graph(small.stream, cudaStreamCaptureModeRelaxed, [&] {
    EXPECT(EPLB_OK, CALL(split_prepare_device)(small.context, &small.in->problem, there.data(),
                                               half, EPLB_INT64, small.stream, ERR));
  });
  const eplb_status status = split_again(small.context);  // of memory laid out for six layers
  CHECK(status == EPLB_OK || status == EPLB_INVALID_STATE);
}

void nothing_is_allocated() {
  Small small;
  if (!small.ready || !small.prepare()) return;
  const auto length = static_cast<int64_t>(small.placement.size());
  const Buffer there(8 * length), out(8 * length);
  there.write(small.placement.data(), 8 * length, small.stream);
  small.stream.wait();
  const Allocations before = allocations();
  EXPECT(EPLB_OK, CALL(split_device)(small.context, &small.in->problem, there.data(), length,
                                     EPLB_INT64, nullptr, small.stream, ERR));
  for (const eplb_map map : {EPLB_MAP_SHARE, EPLB_MAP_QUOTA})
    EXPECT(EPLB_OK, CALL(fetch_map_device)(small.context, map,
                                           map == EPLB_MAP_SHARE ? EPLB_INT32 : EPLB_FLOAT64,
                                           out.data(), length, small.stream, ERR));
  CHECK(allocations() == before);
}

}  // namespace

void splits() {
  test("splits: over prepared placements, whole weights",
       [] { of_prepared_placements(EPLB_INT64); });
  test("splits: over prepared placements, floats", [] { of_prepared_placements(EPLB_FLOAT32); });
  test("splits: random problems", of_random_problems);
  test("splits: a placement in device memory, int32", [] { from_device_memory(EPLB_INT32); });
  test("splits: a placement in device memory, int64", [] { from_device_memory(EPLB_INT64); });
  test("splits: replays", replays_follow);
  test("splits: answers of the host last", answers_of_the_host_last);
  test("splits: an id that is none", [] { bad_placements_are_late(false); });
  test("splits: an expert that is missing", [] { bad_placements_are_late(true); });
  test("splits: order of calls", order_of_calls);
  test("splits: without a reserve", without_a_reserve);
  test("splits: a capture that was never launched", a_capture_that_was_never_launched);
  test("splits: nothing is allocated", nothing_is_allocated);
}

}  // namespace eplb::tests
