// Figures of placements, whoever made them: the same bits as on the CPU, out of the reserve, and
// without a trace in the plan.
#include <cstring>
#include <vector>

#include "problems.h"

namespace eplb::tests {
namespace {

// What eplb_evaluate answers.
struct Figures {
  eplb_report report{};
  std::vector<double> imbalance, bound;
  std::vector<int64_t> duplicates;

  bool evaluate(eplb_context* context, const Input& in, const std::vector<int64_t>& placement) {
    for (std::vector<double>* figure : {&imbalance, &bound})
      figure->assign(static_cast<size_t>(in->layers), -1);
    duplicates.assign(static_cast<size_t>(in->layers), -1);
    EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
    return EXPECT(EPLB_OK, CALL(evaluate)(context, &in->problem, placement.data(),
                                          static_cast<int64_t>(placement.size()), EPLB_INT64,
                                          &report, imbalance.data(), bound.data(),
                                          duplicates.data(), in->layers, ERR)) != 0;
  }
};

bool same_bits(const std::vector<double>& want, const std::vector<double>& got) {
  return want.size() == got.size() &&
         std::memcmp(want.data(), got.data(), want.size() * sizeof(double)) == 0;
}

void same_figures(const Figures& want, const Figures& got) {
  CHECK(report_same(&want.report, &got.report));
  CHECK(same_bits(want.imbalance, got.imbalance));
  CHECK(same_bits(want.bound, got.bound));
  CHECK(want.duplicates == got.duplicates);
}

std::vector<int64_t> placement_of(const Plan& solved) {
  const int64_t* const first = solved->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL];
  return {first, first + solved->lengths[EPLB_MAP_PHYSICAL_TO_LOGICAL]};
}

// Every expert of a layer once, then the first ones again until the slots are full: duplicates on
// many GPUs. Keeps groups on their nodes only if there is one node.
std::vector<int64_t> round_robin(const Input& in) {
  std::vector<int64_t> placement;
  for (int64_t layer = 0; layer < in->layers; layer++)
    for (int64_t slot = 0; slot < in->problem.num_slots; slot++)
      placement.push_back(slot % in->experts);
  return placement;
}

void judge_on_both(eplb_context* context, const Input& in, const std::vector<int64_t>& placement) {
  const Context host(EPLB_DEVICE_CPU);
  Figures want, got;
  if (!input_upload_tables(context, in)) return;
  if (!CHECK(input_upload(host, in)) || !CHECK(input_upload(context, in))) return;
  if (want.evaluate(host, in, placement) && got.evaluate(context, in, placement))
    same_figures(want, got);
}

void one_problem(eplb_context* context, uint64_t seed) {
  Input in = random_input(seed);
  const eplb_policy policy = in->problem.policy;
  Plan solved;
  Method{EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL}.choose(in, policy);
  if (!solve_on_cpu(in, solved)) return;
  in->problem.policy = policy;
  for (const eplb_bound_kind kind : {EPLB_BOUND_SIMPLE, EPLB_BOUND_THRESHOLD}) {
    in->problem.bound_kind = kind;
    judge_on_both(context, in, placement_of(solved));
  }
  input_drop_tables(in.operator->());
  in->problem.num_nodes = in->problem.num_groups = 1;
  in->problem.policy = EPLB_POLICY_GLOBAL;
  judge_on_both(context, in, round_robin(in));
}

// Too large for the shared memory of a block.
void a_large_problem() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in(input_make(EPLB_FLOAT64, 3, 4096, 8192, 512, 3));
  judge_on_both(context, in, round_robin(in));
}

// Maps and report of a plan, and a caller's placement for a smaller problem, round by round.
void all_figures(eplb_context* context, const Input& in, const Input& other, const Plan& want) {
  Plan got;
  Figures figures;
  if (got.fetch(context, in)) same_plan(want, got);
  CHECK(report_same(&want->report, &got->report));
  figures.evaluate(context, other, round_robin(other));
}

void a_reserved_context_allocates_nothing(bool by_device_calls) {
  const Context context(EPLB_DEVICE_CUDA);
  Input in = small_input(6, 9), other = small_input(6, 9);
  other->problem.num_slots = 16;
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan want;
  if (!solve_on_cpu(in, want) || !device.reserve()) return;
  const Allocations before = allocations();
  for (int round = 0; round < 2; round++) {
    if (by_device_calls ? !device.upload_and_solve() : !input_upload_and_solve(context, in)) return;
    all_figures(context, in, other, want);
  }
  EQUAL(before.count, allocations().count);
  if (kEmulated) EQUAL(before.used_bytes, allocations().used_bytes);
}

// An evaluation that needs more memory than the solve, which works node by node: close bounds take
// the experts of all nodes together.
void a_reserve_holds_what_figures_need() {
  const Context context(EPLB_DEVICE_CUDA);
  Input in(input_make(EPLB_FLOAT32, 2, 2304, 4608, 2304, 8));
  in->options.strategy = EPLB_STRATEGY_GREEDY;
  in->problem.num_nodes = in->problem.num_groups = 16;
  in->problem.policy = EPLB_POLICY_HIERARCHICAL;
  in->problem.bound_kind = EPLB_BOUND_THRESHOLD;
  const Stream stream;
  eplb_report report;
  if (!DeviceCalls(context, in, stream).reserve()) return;
  const int64_t before = allocations().count;
  if (!CHECK(input_upload_and_solve(context, in))) return;
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  EXPECT(EPLB_OK, CALL(fetch_report)(context, &report, ERR));
  EQUAL(before, allocations().count);
}

// The weights and the plan in the reserved memory are still those of the solve. Of many slots: an
// evaluation for which there is more to reserve.
void an_evaluation_leaves_the_plan(int64_t slots) {
  const Context context(EPLB_DEVICE_CUDA);
  Input in = small_input(6, 10), other = small_input(6, 10);
  other->problem.num_slots = slots;
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan want;
  Figures expected, figures;
  const Context host(EPLB_DEVICE_CPU);
  if (!solve_on_cpu(in, want) || !device.reserve() || !device.upload_and_solve()) return;
  if (!CHECK(input_upload(host, in)) || !expected.evaluate(host, other, round_robin(other))) return;
  if (figures.evaluate(context, other, round_robin(other))) same_figures(expected, figures);
  device.maps_are(want);
  if (device.solve()) device.maps_are(want);
}

// [T,L,E] lies in memory like [T*L,E].
Input windows_input(int64_t windows) {
  Input in = small_input(3 * windows, 12);
  in->windows = windows;
  in->layers = 3;
  return in;
}

std::vector<double> windows_of(eplb_context* context, const Input& in, eplb_map map) {
  std::vector<double> figures(static_cast<size_t>(in->layers * in->windows), -1);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_FLOAT64, figures.data(),
                                  static_cast<int64_t>(figures.size()), ERR));
  return figures;
}

// Host calls keep them on the host and have the same figures as on the CPU, with or without a reserve.
void windows_from_the_host(bool reserved) {
  const Context context(EPLB_DEVICE_CUDA), host(EPLB_DEVICE_CPU);
  const Input in = windows_input(5);
  const Stream stream;
  if (reserved && !DeviceCalls(context, in, stream).reserve()) return;
  if (!input_upload_and_solve(host, in) || !input_upload_and_solve(context, in)) return;
  for (const eplb_map map : {EPLB_MAP_WINDOW_BOUND, EPLB_MAP_WINDOW_IMBALANCE})
    CHECK(same_bits(windows_of(host, in, map), windows_of(context, in, map)));
  Plan want, got;
  if (!want.fetch(host, in) || !got.fetch(context, in)) return;
  EQUAL(5, got->report.num_windows);
  CHECK(want->report.windows_mean == got->report.windows_mean &&
        want->report.windows_worst == got->report.windows_worst);
}

// Without a reserve for several they are summed there, so that nothing is known of each; one is the
// sum.
void windows_from_the_device(int64_t windows) {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = windows_input(windows), smaller = windows_input(1);
  const Stream stream;
  DeviceCalls device(context, in, stream);
  Plan got;
  if (!DeviceCalls(context, smaller, stream).reserve() || !device.upload_and_solve()) return;
  std::vector<double> figures(static_cast<size_t>(in.length()));
  const Buffer buffer(8 * in.length());
  int64_t dims[4];
  int32_t rank = 0;
  for (const eplb_map map : {EPLB_MAP_WINDOW_BOUND, EPLB_MAP_WINDOW_IMBALANCE})
    REFUSED(EPLB_UNAVAILABLE,
            CALL(fetch_map_device)(context, map, EPLB_FLOAT64, buffer.data(), in->layers * windows,
                                   stream, ERR),
            "EPLB_MAP_WINDOW_", "eplb_fetch_map");
  const eplb_map map = EPLB_MAP_WINDOW_IMBALANCE;
  if (windows > 1)
    REFUSED(EPLB_UNAVAILABLE, CALL(map_shape)(context, map, &rank, dims, 4, ERR),
            "eplb_context_reserve");
  if (!got.fetch(context, in)) return;
  EQUAL(windows == 1 ? 1 : 0, got->report.num_windows);
  if (windows == 1) {
    const std::vector<double> one = windows_of(context, in, map);
    CHECK(std::memcmp(one.data(), got->doubles[EPLB_MAP_IMBALANCE], 8 * one.size()) == 0);
    return;
  }
  REFUSED(EPLB_UNAVAILABLE,
          CALL(fetch_map)(context, map, EPLB_FLOAT64, figures.data(), in->layers * windows, ERR),
          "eplb_context_reserve");
  REFUSED(EPLB_UNAVAILABLE,
          CALL(evaluate_windows)(context, &in->problem, placement_of(got).data(),
                                 got->lengths[EPLB_MAP_PHYSICAL_TO_LOGICAL], EPLB_INT64,
                                 figures.data(), nullptr, in->layers * windows, ERR),
          "eplb_context_reserve");
}

}  // namespace

void evaluation() {
  const Context context(EPLB_DEVICE_CUDA);
  for (int i = 0; i < settings().problems; i++) {
    const uint64_t seed = settings().seed + static_cast<uint64_t>(i);
    test("figures of random problem " + std::to_string(seed), [&] { one_problem(context, seed); });
  }
  RUN(a_large_problem);
  for (const bool by_device_calls : {false, true})
    test(std::string("a reserved context allocates nothing for figures, ") +
             (by_device_calls ? "device calls" : "host calls"),
         [&] { a_reserved_context_allocates_nothing(by_device_calls); });
  RUN(a_reserve_holds_what_figures_need);
  for (const bool reserved : {false, true})
    test(std::string("windows from the host") + (reserved ? ", reserved" : ""),
         [&] { windows_from_the_host(reserved); });
  for (const int64_t windows : {1, 4})
    test(std::to_string(windows) + " windows from the device",
         [&] { windows_from_the_device(windows); });
  for (const int64_t slots : {20, 20000})
    test("an evaluation of " + std::to_string(slots) + " slots leaves the plan",
         [&] { an_evaluation_leaves_the_plan(slots); });
}

}  // namespace eplb::tests
