// Current placements that are changed by few moves: the same bits from the device as from the CPU.
#include <algorithm>
#include <array>
#include <random>

#include "clusters.h"
#include "moves.h"

namespace eplb::tests {
namespace {

using Random = std::mt19937_64;
using Placement = std::vector<int64_t>;

// Of other weights and equal GPUs, with holes.
Placement random_current(Random& random, Input& in) {
  Plan solved;
  const eplb_policy policy = in->problem.policy;
  Method{EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL}.choose(in, policy);
  if (!solve_on_cpu(in, solved)) return {};
  in->problem.policy = policy;
  const int64_t* const first = solved->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL];
  Placement current(first, first + in->layers * in->problem.num_slots);
  const unsigned holes = random() % 3 ? 0 : 8;  // in 64
  for (int64_t& expert : current) expert = random() % 64 < holes ? -1 : in->experts - 1 - expert;
  const int64_t per_gpu = in->problem.num_slots / in->problem.num_gpus;
  if (random() % 4 == 0) std::fill_n(current.begin(), per_gpu, -1);
  return current;
}

void set_limits(Random& random, input* in) {
  auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  eplb_solve_options& options = in->options;
  const int64_t most = std::min<int64_t>(in->problem.num_slots, 40);
  options.strategy = EPLB_STRATEGY_REBALANCE;
  options.effort = static_cast<eplb_effort>(below(2));
  options.max_moves = below(2) ? -1 : below(most);
  options.max_moves_total = below(3) ? -1 : below(most * in->layers);
  options.max_arrivals = std::array{0, 0, 1, 2}[random() % 4];
  options.target = std::array{-1.0, 0.0, 1.0, 1.01, 1.2}[random() % 5];
  options.move_price = std::array{0.0, 0.0, 1e-4, 0.01}[random() % 4];
  options.allow_empty = static_cast<int32_t>(below(2));
}

// A problem whose GPUs may differ.
struct Rebalance {
  Input in;
  Arrays arrays;
  Placement current;

  bool upload(eplb_context* context) const {
    return (arrays.slots.empty() || arrays.upload(context)) &&
           EXPECT(EPLB_OK, CALL(upload_placement)(context, current.data(),
                                                  static_cast<int64_t>(current.size()), EPLB_INT64,
                                                  in->layers, in->problem.num_slots, ERR)) &&
           CHECK(input_upload(context, in));
  }
  eplb_status solve(eplb_context* context) const {
    return CALL(solve)(context, &in->problem, &in->options, ERR);
  }
};

Rebalance random_rebalance(uint64_t seed, eplb_objective objective) {
  Random random(seed);
  Rebalance asked{unequal_input(seed, objective == EPLB_OBJECTIVE_WINDOWS ? 2 : 1), {}, {}};
  asked.current = random_current(random, asked.in);
  set_limits(random, asked.in.operator->());
  asked.in->problem.objective = objective;
  if (seed % 3 == 0) return asked;
  asked.arrays = random_arrays(asked.in, seed, seed % 3 > 1);
  if (asked.in->problem.policy != EPLB_POLICY_GLOBAL) return asked;
  asked.in->problem.num_nodes = 2;
  for (int64_t& node : asked.arrays.nodes) node = static_cast<int64_t>(random() % 2);
  return asked;
}

void through_device_calls(eplb_context* context, const Rebalance& asked, const Plan& want,
                          const Moves& moves) {
  const Stream stream;
  DeviceCalls device(context, asked.in, stream);
  Plan brought;
  if (!device.reserve() || !device.upload()) return;
  if (asked.in->options.max_moves_total >= 0) {
    REFUSED(EPLB_UNAVAILABLE,
            CALL(solve_device)(context, &asked.in->problem, &asked.in->options, stream, ERR),
            "max_moves_total", "eplb_solve");
    return;
  }
  if (!device.solve() || !device.maps_are(want)) return;
  device_maps_are(moves, context, asked.in, stream);
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  if (brought.fetch(context, asked.in)) same_plan(want, brought);
}

void same_on_both(const Rebalance& asked) {
  const Context host(EPLB_DEVICE_CPU), context(EPLB_DEVICE_CUDA);
  Plan want, got;
  if (!asked.upload(host) || !asked.upload(context)) return;
  if (const eplb_status status = asked.solve(host); status != EPLB_OK) {
    EXPECT(EPLB_INVALID_ARGUMENT, status);
    const std::string words = check_last_text();
    REFUSED(status, asked.solve(context), words.c_str());
    return;
  }
  if (!EXPECT(EPLB_OK, asked.solve(context))) return;
  if (!want.fetch(host, asked.in) || !got.fetch(context, asked.in)) return;
  same_plan(want, got);
  CHECK(report_same(&want->report, &got->report));
  const Moves moves = moves_of(host, asked.in);
  CHECK(moves_of(context, asked.in) == moves);
  through_device_calls(context, asked, want, moves);
}

}  // namespace

void rebalances() {
  for (int i = 0; i < 3 * settings().problems; i++)
    for (const eplb_objective objective : {EPLB_OBJECTIVE_SUM, EPLB_OBJECTIVE_WINDOWS}) {
      if (objective == EPLB_OBJECTIVE_WINDOWS && i % 3 > 0) continue;
      const uint64_t seed = settings().seed + static_cast<uint64_t>(i);
      const Rebalance asked = random_rebalance(seed, objective);
      const char* const what = objective == EPLB_OBJECTIVE_SUM ? "" : "windows apart, ";
      test("rebalance " + std::to_string(seed) + ", " + what + describe(asked.in),
           [&] { same_on_both(asked); });
    }
}

}  // namespace eplb::tests
