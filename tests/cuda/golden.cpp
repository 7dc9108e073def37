// The golden vectors on a device: through host functions, and from device memory to device memory.
#include "problems.h"
#include "vectors.h"

namespace eplb::tests {
namespace {

// The plan must be the reference's where that says something, and the CPU's to the bit in any case.
void check_plan(const Vector& vector, eplb_context* context, const Method& method,
                const Plan& want) {
  Plan got;
  const auto answer = vector.answers.find({method.strategy, method.effort});
  if (!input_upload_and_solve(context, vector.in) || !invariants_hold(context, vector.in, nullptr))
    return;
  if (!got.fetch(context, vector.in) || !same_plan(want, got)) return;
  if (answer != vector.answers.end()) answer_agrees(answer->second, got);
}

void check_device_plan(const Vector& vector, eplb_context* context, const Plan& want) {
  const Stream stream;
  DeviceCalls device(context, vector.in, stream);
  if (!device.reserve() || !device.upload_and_solve() || !device.maps_are(want)) return;
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  Plan got;
  if (got.fetch(context, vector.in)) same_plan(want, got);
}

void check_answer(Vector& vector, eplb_context* context, const Method& method) {
  Plan want;
  eplb_status status = EPLB_OK;
  vector.in->options.strategy = method.strategy;
  vector.in->options.effort = method.effort;
  if (solve_on_cpu(vector.in, want, &status)) {
    check_plan(vector, context, method, want);
    check_device_plan(vector, context, want);
  } else if (status != EPLB_OK) {  // GREEDY has no float64 and no caps
    const std::string words = check_last_text();
    if (input_upload(context, vector.in))
      REFUSED(status, CALL(solve)(context, &vector.in->problem, &vector.in->options, ERR),
              words.c_str());
  }
}

// "layer 3, expert 17" of "weights[layer 3, expert 17] is NaN".
std::string place_in(const std::string& text) {
  const size_t from = text.find("layer"), to = text.find(']');
  return text.substr(from, to - from);
}

// What only the data can tell comes when asked for, once.
void refused_late(const Vector& vector, eplb_context* context) {
  const Stream stream;
  DeviceCalls device(context, vector.in, stream);
  if (!device.reserve() || !device.upload_and_solve()) return;
  const bool weight = vector.refused == "EPLB_INVALID_WEIGHT";
  const std::string place = weight ? place_in(vector.refusal) : "max_replicas";
  REFUSED(weight ? EPLB_INVALID_WEIGHT : EPLB_INVALID_ARGUMENT,
          CALL(context_synchronize)(context, ERR), place.c_str());
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
}

void check_refusal_of(Vector& vector, eplb_context* context) {
  const input& in = *vector.in.operator->();
  vector.in->options.strategy =
      vector.refused_strategy < 0 ? EPLB_STRATEGY_BEST : vector.refused_strategy;
  eplb_status status = CALL(upload_weights)(context, in.weights, input_length(&in), in.dtype,
                                            in.windows, in.layers, in.experts, ERR);
  if (status == EPLB_OK) status = CALL(solve)(context, &in.problem, &in.options, ERR);
  CHECK(vector.refused == CALL(status_name)(status));
  REFUSED(status, status, vector.refusal.c_str());
  status = CALL(context_reserve)(context, in.dtype, in.windows, in.layers, in.experts, &in.problem,
                                 &in.options, ERR);
  if (status == EPLB_OK) return refused_late(vector, context);
  REFUSED(EPLB_INVALID_ARGUMENT, status, vector.refusal.c_str());  // sizes, which reserve sees
}

// Strategies of many chains take seconds on large vectors where a warp is emulated: --most-slots
// leaves those out.
bool is_asked_for(const Vector& vector, const Method& method) {
  const bool quick = method.strategy <= EPLB_STRATEGY_LPT_SWAP || method.effort == EPLB_EFFORT_FAST;
  return quick || vector.in->problem.num_slots <= settings().most_slots;
}

}  // namespace

void golden() {
  std::vector<Vector> vectors = read_vectors(settings().vectors);
  test("the golden vectors are there", [&] { CHECK(vectors.size() > 50); });
  const Context context(EPLB_DEVICE_CUDA);
  for (Vector& vector : vectors) {
    if (!vector.refused.empty()) {
      test("vector " + vector.name + ", refused", [&] { check_refusal_of(vector, context); });
      continue;
    }
    for (const Method& method : all_methods())
      if (is_asked_for(vector, method))
        test("vector " + vector.name + ", " + method.name(),
             [&] { check_answer(vector, context, method); });
  }
}

}  // namespace eplb::tests
