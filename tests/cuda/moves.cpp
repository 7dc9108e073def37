// How a current placement becomes a plan that a device solved: worked out on the host from what the
// device left, or on the device, from a current placement that the host or the device has uploaded.
#include "moves.h"

#include <algorithm>

#include "problems.h"

namespace eplb::tests {
namespace {

constexpr eplb_map kMoveMaps[] = {EPLB_MAP_MOVE_SOURCE, EPLB_MAP_MOVE_ROUND, EPLB_MAP_MOVE_GROUP,
                                  EPLB_MAP_MOVE_COUNT};

int64_t length_of(const Input& in, eplb_map map) {
  return in->layers * (map == EPLB_MAP_MOVE_COUNT ? 1 : in->problem.num_slots);
}

}  // namespace

Moves moves_of(eplb_context* context, const Input& in) {
  Moves moves;
  for (const eplb_map map : kMoveMaps) {
    std::vector<int64_t> values(static_cast<size_t>(length_of(in, map)), -7);
    EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT64, values.data(),
                                    static_cast<int64_t>(values.size()), ERR));
    moves.push_back(std::move(values));
  }
  return moves;
}

bool device_maps_are(const Moves& want, eplb_context* context, const Input& in,
                     cudaStream_t stream) {
  bool same = true;
  for (size_t i = 0; i < want.size(); i++) {
    const int64_t length = length_of(in, kMoveMaps[i]);
    const Buffer buffer(8 * length);
    auto fetch = [&](eplb_dtype dtype) {
      return EXPECT(EPLB_OK, CALL(fetch_map_device)(context, kMoveMaps[i], dtype, buffer.data(),
                                                    length, stream, ERR));
    };
    same &= fetch(EPLB_INT64) && CHECK(buffer.read<int64_t>(length, stream) == want[i]);
    if (!fetch(EPLB_INT32)) return false;
    const std::vector<int32_t> narrow = buffer.read<int32_t>(length, stream);
    same &= CHECK(std::vector<int64_t>(narrow.begin(), narrow.end()) == want[i]) != 0;
  }
  return same;
}

namespace {

constexpr eplb_transfer_order kOrders[] = {EPLB_TRANSFER_BUFFERED, EPLB_TRANSFER_IN_PLACE,
                                           EPLB_TRANSFER_EXCLUSIVE};

using Placement = std::vector<int64_t>;

Placement placement_of(const Plan& solved) {
  const int64_t* const first = solved->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL];
  return {first, first + solved->layers * solved->slots};
}

Placement some_slots_further(const Plan& solved, size_t slots) {
  Placement current = placement_of(solved);
  std::rotate(current.begin(), current.begin() + static_cast<ptrdiff_t>(slots), current.end());
  current[0] = -1;
  return current;
}

bool upload(eplb_context* context, const Input& in, const Placement& current) {
  return EXPECT(EPLB_OK, CALL(upload_placement)(context, current.data(),
                                                static_cast<int64_t>(current.size()), EPLB_INT64,
                                                in->layers, in->problem.num_slots, ERR)) != 0;
}

// A placement in device memory.
class DevicePlacement {
 public:
  DevicePlacement(const Input& in, const Placement& current, eplb_dtype dtype, cudaStream_t stream)
      : in_(in),
        length_(static_cast<int64_t>(current.size())),
        dtype_(dtype),
        buffer_(8 * length_) {
    write(current, stream);
  }
  void write(const Placement& current, cudaStream_t stream) const {
    const std::vector<int32_t> narrow(current.begin(), current.end());
    if (dtype_ == EPLB_INT32)
      buffer_.write(narrow.data(), 4 * length_, stream);
    else
      buffer_.write(current.data(), 8 * length_, stream);
  }
  eplb_status upload(eplb_context* context, cudaStream_t stream) const {
    return CALL(upload_placement_device)(context, buffer_.data(), length_, dtype_, in_->layers,
                                         in_->problem.num_slots, stream, ERR);
  }

 private:
  const Input& in_;
  int64_t length_;
  eplb_dtype dtype_;
  Buffer buffer_;
};

// What the CPU says of the same problem from a current placement.
Moves moves_on_cpu(const Input& in, const Placement& current) {
  const Context context(EPLB_DEVICE_CPU);
  if (!upload(context, in, current) || !CHECK(input_upload_and_solve(context, in))) return {};
  return moves_of(context, in);
}

// A small problem on both machines, reserved on the device.
struct Small {
  Small() {
    if (solve_on_cpu(in, solved)) device.reserve();
  }
  Input in = small_input(6, 9);
  const Context context{EPLB_DEVICE_CUDA};
  const Stream stream;
  DeviceCalls device{context, in, stream};
  Plan solved;
};

void of_host_calls() {
  const Context context(EPLB_DEVICE_CUDA);
  Input in = small_input(6, 9);
  in->problem.policy = EPLB_POLICY_GLOBAL;
  Plan solved;
  if (CHECK(input_upload_and_solve(context, in)) && solved.fetch(context, in))
    CHECK(moves_hold(context, in, solved));
}

void of_device_calls() {
  Small small;
  const Placement current = some_slots_further(small.solved, 1);
  for (const eplb_transfer_order order : kOrders) {
    small.in->options.transfer_order = order;
    const Moves want = moves_on_cpu(small.in, current);
    if (!upload(small.context, small.in, current) || !small.device.upload_and_solve()) return;
    device_maps_are(want, small.context, small.in, small.stream);
    CHECK(moves_of(small.context, small.in) == want);
    small.device.maps_are(small.solved);
  }
  EXPECT(EPLB_OK, CALL(upload_placement)(small.context, nullptr, 0, 0, 0, 0, ERR));
  if (small.device.solve()) small.device.maps_are(small.solved);
}

// What the host solved is on the device, too.
void of_a_host_solve_on_the_device() {
  Small small;
  const Placement current = some_slots_further(small.solved, 5);
  if (!upload(small.context, small.in, current)) return;
  if (!CHECK(input_upload_and_solve(small.context, small.in))) return;
  device_maps_are(moves_on_cpu(small.in, current), small.context, small.in, small.stream);
}

void from_device_memory(eplb_dtype dtype) {
  Small small;
  const Placement current = some_slots_further(small.solved, 3);
  const DevicePlacement there(small.in, current, dtype, small.stream);
  const Moves want = moves_on_cpu(small.in, current);
  if (!EXPECT(EPLB_OK, there.upload(small.context, small.stream))) return;
  if (!small.device.upload_and_solve()) return;
  device_maps_are(want, small.context, small.in, small.stream);
  CHECK(moves_of(small.context, small.in) == want);
  EXPECT(EPLB_OK, CALL(context_synchronize)(small.context, ERR));
  // A host solve takes it from there.
  if (!EXPECT(EPLB_OK, there.upload(small.context, small.stream))) return;
  if (CHECK(input_upload_and_solve(small.context, small.in)))
    CHECK(moves_of(small.context, small.in) == want);
}

void a_reserve_keeps_it(bool from_device) {
  Small small;
  const Placement current = some_slots_further(small.solved, 7);
  const DevicePlacement there(small.in, current, EPLB_INT64, small.stream);
  if (from_device ? !EXPECT(EPLB_OK, there.upload(small.context, small.stream))
                  : !upload(small.context, small.in, current))
    return;
  if (!small.device.reserve() || !small.device.upload_and_solve()) return;
  device_maps_are(moves_on_cpu(small.in, current), small.context, small.in, small.stream);
}

void replays_follow_it() {
  Small small;
  small.in->options.transfer_order = EPLB_TRANSFER_IN_PLACE;
  const DevicePlacement there(small.in, placement_of(small.solved), EPLB_INT64, small.stream);
  const int64_t length = length_of(small.in, EPLB_MAP_MOVE_ROUND);
  const Buffer rounds(8 * length);
  const Graph graph(small.stream, cudaStreamCaptureModeRelaxed, [&] {
    EXPECT(EPLB_OK, there.upload(small.context, small.stream));
    small.device.upload_and_solve();
    EXPECT(EPLB_OK, CALL(fetch_map_device)(small.context, EPLB_MAP_MOVE_ROUND, EPLB_INT64,
                                           rounds.data(), length, small.stream, ERR));
  });
  for (size_t round = 0; round < 6; round++) {
    const Placement current = some_slots_further(small.solved, 2 * round);
    there.write(current, small.stream);
    if (!graph.launch(small.stream)) return;
    const Moves want = moves_on_cpu(small.in, current);
    CHECK(rounds.read<int64_t>(length, small.stream) == want[1]);
    if (round % 2) CHECK(moves_of(small.context, small.in) == want);
  }
  EXPECT(EPLB_OK, CALL(context_synchronize)(small.context, ERR));
}

// What the search of a rebalance starts from lies in device memory, whoever has uploaded it.
void a_rebalance_starts_from_it(bool from_device) {
  Small small;
  small.in->options.strategy = EPLB_STRATEGY_REBALANCE;
  small.in->options.effort = EPLB_EFFORT_FAST;
  small.in->options.max_moves = 6;
  const Placement current = some_slots_further(small.solved, 3);
  const DevicePlacement there(small.in, current, EPLB_INT64, small.stream);
  const Context cpu(EPLB_DEVICE_CPU);
  Plan want, got;
  if (!upload(cpu, small.in, current) || !CHECK(input_upload_and_solve(cpu, small.in)) ||
      !want.fetch(cpu, small.in) || !small.device.reserve())
    return;
  if (from_device ? !EXPECT(EPLB_OK, there.upload(small.context, small.stream))
                  : !upload(small.context, small.in, current))
    return;
  if (!small.device.upload_and_solve()) return;
  small.device.maps_are(want);
  device_maps_are(moves_of(cpu, small.in), small.context, small.in, small.stream);
  if (CHECK(input_upload_and_solve(small.context, small.in)) && got.fetch(small.context, small.in))
    same_plan(want, got);
}

// An id that no expert can have is found by the upload, one that these weights lack by the solve.
void bad_ids_are_late(int64_t bad) {
  Small small;
  const int64_t slots = small.in->problem.num_slots;
  Placement current = some_slots_further(small.solved, 3), emptied = current;
  for (const int64_t layer : {4, 2}) {
    current[static_cast<size_t>(layer * slots + 5)] = bad;
    std::fill_n(emptied.begin() + layer * slots, slots, -1);
  }
  const DevicePlacement there(small.in, current, EPLB_INT64, small.stream);
  if (!EXPECT(EPLB_OK, there.upload(small.context, small.stream))) return;
  if (!small.device.upload_and_solve()) return;
  device_maps_are(moves_on_cpu(small.in, emptied), small.context, small.in, small.stream);
  small.device.maps_are(small.solved);
  REFUSED(EPLB_INVALID_PLACEMENT, CALL(context_synchronize)(small.context, ERR), "layer 2, slot 5",
          "counts as empty");
  EXPECT(EPLB_OK, CALL(context_synchronize)(small.context, ERR));
  CHECK(moves_of(small.context, small.in) == moves_on_cpu(small.in, emptied));
}

void what_does_not_fit_is_refused() {
  Small small;
  const int64_t slots = small.in->problem.num_slots, layers = small.in->layers;
  const Buffer buffer(64 * slots * layers);
  auto call = [&](const void* from, int64_t length, eplb_dtype dtype, int64_t rows, int64_t width) {
    return CALL(upload_placement_device)(small.context, from, length, dtype, rows, width,
                                         small.stream, ERR);
  };
  REFUSED(EPLB_INVALID_STATE,
          call(buffer.data(), 4 * layers * slots, EPLB_INT64, 4 * layers, slots),
          "eplb_upload_placement_device", "eplb_context_reserve");
  REFUSED(EPLB_INVALID_ARGUMENT, call(buffer.data(), 1, EPLB_INT64, layers, slots),
          "placement_length is 1", "6 * 24 = 144");
  REFUSED(EPLB_INVALID_ARGUMENT, call(buffer.data(), layers * slots, EPLB_FLOAT32, layers, slots),
          "dtype is 0", "EPLB_INT32 or EPLB_INT64");
  REFUSED(EPLB_INVALID_ARGUMENT, call(buffer.data(), 0, EPLB_INT64, 0, slots), "num_layers", "1");
  // Fewer layers fit, but are not those of the problem.
  EXPECT(EPLB_OK, call(buffer.data(), slots, EPLB_INT64, 1, slots));
  if (!small.device.upload()) return;
  REFUSED(
      EPLB_INVALID_ARGUMENT,
      CALL(solve_device)(small.context, &small.in->problem, &small.in->options, small.stream, ERR),
      "1 layers of 24 slots", "6 of 24");
  EXPECT(EPLB_OK, call(nullptr, -3, 77, -3, -3));  // forgotten
  if (!small.device.solve()) return;
  REFUSED(EPLB_INVALID_STATE,
          CALL(fetch_map_device)(small.context, EPLB_MAP_MOVE_COUNT, EPLB_INT64, buffer.data(),
                                 layers, small.stream, ERR),
          "eplb_upload_placement");
  CALL(context_synchronize)(small.context, nullptr);  // what lay in the buffer were no experts
}

// More than shared memory holds.
void of_many_slots() {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Input in(input_make(EPLB_FLOAT32, 2, 4000, 8192, 64, 31));
  in->options.strategy = EPLB_STRATEGY_GREEDY;
  in->problem.num_nodes = 4;
  DeviceCalls device(context, in, stream);
  Plan solved;
  if (!solve_on_cpu(in, solved) || !device.reserve()) return;
  const Placement current = some_slots_further(solved, 4099);
  for (const eplb_transfer_order order : kOrders) {
    in->options.transfer_order = order;
    const DevicePlacement there(in, current, EPLB_INT32, stream);
    if (!EXPECT(EPLB_OK, there.upload(context, stream)) || !device.upload_and_solve()) return;
    device_maps_are(moves_on_cpu(in, current), context, in, stream);
  }
}

}  // namespace

void moves() {
  RUN(of_host_calls);
  RUN(of_device_calls);
  RUN(of_a_host_solve_on_the_device);
  test("from_device_memory, int32", [] { from_device_memory(EPLB_INT32); });
  test("from_device_memory, int64", [] { from_device_memory(EPLB_INT64); });
  test("a_reserve_keeps_it, from the host", [] { a_reserve_keeps_it(false); });
  test("a_reserve_keeps_it, from the device", [] { a_reserve_keeps_it(true); });
  RUN(replays_follow_it);
  test("a_rebalance_starts_from_it, from the host", [] { a_rebalance_starts_from_it(false); });
  test("a_rebalance_starts_from_it, from the device", [] { a_rebalance_starts_from_it(true); });
  test("bad_ids_are_late, no expert", [] { bad_ids_are_late(-2); });
  test("bad_ids_are_late, far too large", [] { bad_ids_are_late(int64_t{1} << 40); });
  test("bad_ids_are_late, not of these weights", [] { bad_ids_are_late(16); });
  RUN(what_does_not_fit_is_refused);
  RUN(of_many_slots);
}

}  // namespace eplb::tests
