// What only the data can tell, and only on the device: the layer is solved as zeros, and the next
// synchronize or report says so, once.
#include <limits>

#include "problems.h"

namespace eplb::tests {
namespace {

constexpr int64_t kLayers = 6, kBad = 2, kAlsoBad = 4, kExpert = 7;

struct Fault {
  const char* name;
  eplb_dtype dtype;
  int64_t windows;
  void (*spoil)(Input& in, int64_t index, int64_t window_stride);
  std::string place;
};

std::string at(int64_t layer, int64_t expert) {
  return "layer " + std::to_string(layer) + ", expert " + std::to_string(expert);
}

std::vector<Fault> faults() {
  using Real = std::numeric_limits<double>;
  const std::string place = at(kBad, kExpert);
  return {
      {"NaN", EPLB_FLOAT32, 1,
       [](Input& in, int64_t i, int64_t) {
         in.weights<float>()[i] = std::numeric_limits<float>::quiet_NaN();
       },
       place},
      {"infinite", EPLB_FLOAT64, 1,
       [](Input& in, int64_t i, int64_t) { in.weights<double>()[i] = Real::infinity(); }, place},
      {"minus infinity", EPLB_FLOAT32, 2,
       [](Input& in, int64_t i, int64_t) {
         in.weights<float>()[i] = -std::numeric_limits<float>::infinity();
       },
       place},
      {"negative", EPLB_FLOAT64, 1,
       [](Input& in, int64_t i, int64_t) { in.weights<double>()[i] = -1e-300; }, place},
      {"negative int32", EPLB_INT32, 1,
       [](Input& in, int64_t i, int64_t) { in.weights<int32_t>()[i] = -1; }, place},
      {"negative int64", EPLB_INT64, 2,
       [](Input& in, int64_t i, int64_t stride) { in.weights<int64_t>()[i + stride] = -5; }, place},
      {"sum over windows", EPLB_FLOAT64, 2,
       [](Input& in, int64_t i, int64_t stride) {
         in.weights<double>()[i] = in.weights<double>()[i + stride] = Real::max();
       },
       place},
      {"sum over windows of int64", EPLB_INT64, 2,
       [](Input& in, int64_t i, int64_t stride) {
         in.weights<int64_t>()[i] = in.weights<int64_t>()[i + stride] = INT64_MAX;
       },
       place},
      {"sum of the layer", EPLB_FLOAT64, 1,
       [](Input& in, int64_t i, int64_t) {
         in.weights<double>()[i] = in.weights<double>()[i - 1] = Real::max();
       },
       "layer " + std::to_string(kBad)},
  };
}

Input good_input(eplb_dtype dtype, int64_t windows, const Method& method) {
  Input in = small_input(windows * kLayers, 21, dtype);
  in->windows = windows;
  in->layers = kLayers;
  in->options.strategy = method.strategy;
  in->options.effort = method.effort;
  if (method.strategy == EPLB_STRATEGY_BEST) in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
  return in;
}

Input spoilt(const Fault& fault, const Input& good) {
  Input in = good.copy();
  for (const int64_t layer : {kAlsoBad, kBad})
    fault.spoil(in, layer * in->experts + kExpert, in->layers * in->experts);
  return in;
}

// The first call that may tell does so, the second has nothing to tell.
void reported_once(eplb_context* context, bool by_report, eplb_status status,
                   const std::string& place) {
  eplb_report report;
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  const auto call = [&] {
    return by_report ? CALL(fetch_report)(context, &report, ERR)
                     : CALL(context_synchronize)(context, ERR);
  };
  REFUSED(status, call(), place.c_str());
  EXPECT(EPLB_OK, call());
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

void one_fault(const Fault& fault, const Method& method, bool by_report) {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  const Input good = good_input(fault.dtype, fault.windows, method), bad = spoilt(fault, good);
  Input zeroed = good.copy();
  zeroed.zero_layer(kBad);
  zeroed.zero_layer(kAlsoBad);
  DeviceCalls device(context, bad, stream);
  Plan want, want_good, got;
  if (!solve_on_cpu(zeroed, want) || !solve_on_cpu(good, want_good)) return;
  if (!device.reserve() || !device.upload_and_solve() || !device.maps_are(want)) return;
  reported_once(context, by_report, EPLB_INVALID_WEIGHT, fault.place);
  if (got.fetch(context, bad)) same_plan(want, got);
  device.set_weights(good);  // and nothing of it stays behind
  if (!device.upload_and_solve() || !device.maps_are(want_good)) return;
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

// Other strategies can hold what GREEDY cannot. Weights that the host has sent are looked at as
// closely.
void greedy_beyond_float32(bool sent_by_host) {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Input in = good_input(EPLB_FLOAT64, 1, {EPLB_STRATEGY_GREEDY, EPLB_EFFORT_NORMAL});
  in.weights<double>()[kBad * in->experts + kExpert] = 1e300;
  Input zeroed = in.copy();
  zeroed.zero_layer(kBad);
  DeviceCalls device(context, in, stream);
  Plan want, want_best;
  if (!solve_on_cpu(zeroed, want) || !device.reserve()) return;
  if (sent_by_host ? !input_upload(context, in) : !device.upload()) return;
  if (!device.solve()) return;
  device.maps_are(want, Maps::kInts);
  reported_once(context, false, EPLB_INVALID_WEIGHT, at(kBad, kExpert));
  in->options.strategy = EPLB_STRATEGY_LPT_SWAP;
  if (!solve_on_cpu(in, want_best) || !device.solve()) return;
  device.maps_are(want_best);
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

void greedy_beyond_its_cap() {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Input in(input_make(EPLB_FLOAT32, 3, 8, 12, 4, 1));
  in->options.strategy = EPLB_STRATEGY_GREEDY;
  in->options.max_replicas = 2;
  // Layer 1, expert 0.
  for (int64_t i = 0; i < in.length(); i++) in.weights<float>()[i] = i == in->experts ? 100 : 1;
  Input zeroed = in.copy();
  zeroed.zero_layer(1);
  DeviceCalls device(context, in, stream);
  Plan want;
  if (!solve_on_cpu(zeroed, want) || !device.reserve() || !device.upload_and_solve()) return;
  device.maps_are(want, Maps::kInts);
  reported_once(context, true, EPLB_INVALID_ARGUMENT, "max_replicas");
}

// A host call looks first: it refuses, and what was there stays.
void host_calls_refuse_at_once() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input good = good_input(EPLB_FLOAT32, 1, {EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL});
  const Input bad = spoilt(faults().front(), good);
  Plan before, after;
  if (!input_upload_and_solve(context, good) || !before.fetch(context, good)) return;
  REFUSED(EPLB_INVALID_WEIGHT,
          CALL(upload_weights)(context, bad->weights, bad.length(), bad->dtype, 1, bad->layers,
                               bad->experts, ERR),
          at(kBad, kExpert).c_str(), "NaN");
  if (after.fetch(context, good)) same_plan(before, after);
}

void minus_zero_is_no_fault() {
  const Context context(EPLB_DEVICE_CUDA);
  const Stream stream;
  Input in = good_input(EPLB_FLOAT32, 1, {EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST});
  in.weights<float>()[kExpert] = -0.0F;
  DeviceCalls device(context, in, stream);
  Plan want;
  if (solve_on_cpu(in, want) && device.reserve() && device.upload_and_solve())
    device.maps_are(want);
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

}  // namespace

void late() {
  bool by_report = false;
  for (const Fault& fault : faults())
    for (const Method& method : {Method{EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL},
                                 {EPLB_STRATEGY_GREEDY, EPLB_EFFORT_NORMAL},
                                 {EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST}}) {
      by_report = !by_report;
      test(std::string("a bad weight on the device: ") + fault.name + ", " + method.name(),
           [&] { one_fault(fault, method, by_report); });
    }
  test("greedy_beyond_float32", [] { greedy_beyond_float32(false); });
  test("greedy_beyond_float32, sent by the host", [] { greedy_beyond_float32(true); });
  RUN(greedy_beyond_its_cap);
  RUN(host_calls_refuse_at_once);
  RUN(minus_zero_is_no_fault);
}

}  // namespace eplb::tests
