// The same bits from the device as from the CPU: random problems, and measured weights.
#include <algorithm>
#include <array>
#include <filesystem>
#include <random>

#include "bench/trace.h"
#include "problems.h"

namespace eplb::tests {
namespace {

// What GREEDY refuses on one machine, it must refuse on the other with the same words.
void both_refuse(eplb_context* context, const Input& in, eplb_status status) {
  const std::string words = check_last_text();
  if (!CHECK(input_upload(context, in))) return;
  REFUSED(status, CALL(solve)(context, &in->problem, &in->options, ERR), words.c_str());
}

void through_host_calls(eplb_context* context, const Input& in, const Plan& want) {
  Plan got;
  if (input_upload_and_solve(context, in) && got.fetch(context, in)) same_plan(want, got);
}

void through_device_calls(eplb_context* context, const Input& in, const Plan& want) {
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan got;
  if (!device.reserve() || !device.upload_and_solve() || !device.maps_are(want)) return;
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  if (got.fetch(context, in)) same_plan(want, got);
}

void same_on_both(eplb_context* context, const Input& in, bool by_device_calls) {
  Plan want;
  eplb_status status = EPLB_OK;
  if (!solve_on_cpu(in, want, &status)) {
    if (status != EPLB_OK) both_refuse(context, in, status);
    return;
  }
  if (!input_upload_tables(context, in)) return;
  through_host_calls(context, in, want);
  if (by_device_calls) through_device_calls(context, in, want);
}

struct Shape {
  int64_t slots, gpus, nodes, groups;
};

std::vector<Shape> shapes_for(int64_t experts) {
  if (experts == 256)
    return {{288, 32, 1, 1},  {320, 64, 1, 1},  {288, 72, 1, 1},
            {384, 128, 1, 1}, {288, 144, 1, 1}, {288, 32, 4, 8}};
  return {{experts + experts / 4, experts / 4, 1, 1}, {experts + experts / 4, experts / 4, 2, 4}};
}

Input input_of_trace(const bench::Trace& trace, Shape shape) {
  const int64_t layers = std::min(trace.layers, settings().trace_layers);
  Input in(input_make(EPLB_FLOAT32, layers, trace.experts, shape.slots, shape.gpus, 1));
  std::copy_n(trace.weights.begin(), in.length(), in.weights<float>());
  in->problem.num_nodes = shape.nodes;
  in->problem.num_groups = shape.groups;
  in->problem.policy = EPLB_POLICY_AUTO;
  return in;
}

void one_trace(const bench::Trace& trace, eplb_context* context) {
  for (const Shape& shape : shapes_for(trace.experts)) {
    Input in = input_of_trace(trace, shape);
    for (const Method& method : all_methods()) {
      in->options.strategy = method.strategy;
      in->options.effort = method.effort;
      test("trace " + trace.name + ", " + describe(in) + ", " + method.name(),
           [&] { same_on_both(context, in, method.strategy == EPLB_STRATEGY_BEST); });
    }
  }
}

// Too large for the shared memory of a block, and for a grid with a block for each chain.
void large_problem(const Method& method, int64_t nodes) {
  Input in(input_make(EPLB_FLOAT32, 2, 2048, 2560, 512, 7));
  in->problem.num_nodes = nodes;
  in->problem.num_groups = 2 * nodes;
  in->options.strategy = method.strategy;
  in->options.effort = method.effort;
  const Context context(EPLB_DEVICE_CUDA);
  same_on_both(context, in, true);
}

}  // namespace

void large() {
  for (const Method& method : {Method{EPLB_STRATEGY_GREEDY, EPLB_EFFORT_NORMAL},
                               {EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL},
                               {EPLB_STRATEGY_RANDOM_RESTARTS, EPLB_EFFORT_NORMAL},
                               {EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST}})
    for (const int64_t nodes : {1, 2})
      test("2560 slots on 512 GPUs, " + std::to_string(nodes) + " nodes, " + method.name(),
           [&] { large_problem(method, nodes); });
}

// Weights that are nearly equal, on few slots, at the largest effort: more chains than rules for
// counts, so that the rules come to their fall back and to noise.
void tiny() {
  const Context context(EPLB_DEVICE_CUDA);
  for (int i = 0; i < 2 * settings().problems; i++) {
    const uint64_t seed = settings().seed + static_cast<uint64_t>(i);
    std::mt19937_64 random(seed);
    const auto below = [&](uint64_t n) { return static_cast<int64_t>(random() % n); };
    const int64_t gpus = 2 + below(4), per_gpu = 3 + below(3), slots = gpus * per_gpu;
    Input in(input_make(EPLB_FLOAT32, 1, std::max<int64_t>(2, per_gpu + below(slots - per_gpu + 1)),
                        slots, gpus, 1));
    const uint64_t spread = std::array{30, 300, 3000}[below(3)];
    for (int64_t e = 0; e < in->experts; e++)
      in.weights<float>()[e] = static_cast<float>(1000 + below(spread));
    in->options.strategy = EPLB_STRATEGY_BEST;
    in->options.effort = EPLB_EFFORT_MAX;
    in->options.seed = seed;
    test("tiny problem " + std::to_string(seed) + ", " + describe(in),
         [&] { same_on_both(context, in, false); });
  }
}

void parity() {
  const Context context(EPLB_DEVICE_CUDA);
  for (int i = 0; i < settings().problems; i++) {
    const uint64_t seed = settings().seed + static_cast<uint64_t>(i);
    Input in = random_input(seed);
    const eplb_policy policy = in->problem.policy;
    for (const Method& method : all_methods()) {
      method.choose(in, policy);
      test("random problem " + std::to_string(seed) + " (--only parity --problems 1 --seed " +
               std::to_string(seed) + "), " + describe(in) + ", " + method.name(),
           [&] {
             same_on_both(context, in, (seed + static_cast<uint64_t>(method.strategy)) % 3 == 0);
           });
    }
  }
}

void traces() {
  std::vector<std::string> files;
  if (!settings().data.empty())
    for (const auto& entry : std::filesystem::directory_iterator(settings().data))
      if (entry.path().extension() == ".csv") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty())
    test("traces", [] { test_skip("no folder with CSV files was given as --data"); });
  const Context context(EPLB_DEVICE_CUDA);
  for (const std::string& file : files) one_trace(bench::read_trace(file), context);
}

}  // namespace eplb::tests
