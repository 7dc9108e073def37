// How a current placement becomes a plan that a device solved: worked out on the host, from what
// the device left.
#include <vector>

#include "problems.h"

namespace eplb::tests {
namespace {

std::vector<int64_t> one_slot_further(const Plan& solved) {
  const int64_t* const placement = solved->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL];
  std::vector<int64_t> current(placement, placement + solved->layers * solved->slots);
  for (size_t i = 0; i + 1 < current.size(); i++) std::swap(current[i], current[i + 1]);
  current[0] = -1;
  return current;
}

std::vector<int32_t> rounds_of(eplb_context* context, const Plan& solved) {
  std::vector<int32_t> rounds(static_cast<size_t>(solved->layers * solved->slots), -7);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_MOVE_ROUND, EPLB_INT32, rounds.data(),
                                  static_cast<int64_t>(rounds.size()), ERR));
  return rounds;
}

bool upload(eplb_context* context, const Plan& solved, const std::vector<int64_t>& current) {
  return EXPECT(EPLB_OK, CALL(upload_placement)(context, current.data(),
                                                static_cast<int64_t>(current.size()), EPLB_INT64,
                                                solved->layers, solved->slots, ERR)) != 0;
}

void of_host_calls() {
  const Context context(EPLB_DEVICE_CUDA);
  Input in = small_input(6, 9);
  in->problem.policy = EPLB_POLICY_GLOBAL;
  Plan solved;
  if (CHECK(input_upload_and_solve(context, in)) && solved.fetch(context, in))
    CHECK(moves_hold(context, in, solved));
}

void of_device_calls() {
  const Context context(EPLB_DEVICE_CUDA), host(EPLB_DEVICE_CPU);
  const Input in = small_input(6, 9);
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan solved;
  if (!solve_on_cpu(in, solved) || !device.reserve()) return;
  const std::vector<int64_t> current = one_slot_further(solved);
  for (eplb_context* each : {static_cast<eplb_context*>(context), static_cast<eplb_context*>(host)})
    if (!upload(each, solved, current)) return;
  if (!CHECK(input_upload_and_solve(host, in)) || !device.upload_and_solve()) return;
  CHECK(rounds_of(host, solved) == rounds_of(context, solved));
  device.maps_are(solved);
  const Buffer buffer(static_cast<int64_t>(current.size() * sizeof(int64_t)));
  REFUSED(EPLB_UNAVAILABLE,
          CALL(fetch_map_device)(context, EPLB_MAP_MOVE_SOURCE, EPLB_INT64, buffer.data(),
                                 static_cast<int64_t>(current.size()), stream, ERR),
          "MOVE_SOURCE", "eplb_fetch_map");
  EXPECT(EPLB_OK, CALL(upload_placement)(context, nullptr, 0, 0, 0, 0, ERR));
  if (device.solve()) device.maps_are(solved);
}

}  // namespace

void moves() {
  RUN(of_host_calls);
  RUN(of_device_calls);
}

}  // namespace eplb::tests
