#include "core/maps.h"

#include <algorithm>

#include "core/error.h"
#include "core/weights.h"

namespace eplb {
namespace {

// The X of LOGICAL_TO_PHYSICAL.
int64_t width_of(const Problem& problem) {
  const int64_t cap = problem.limits.max_replicas;
  return cap > 0 ? cap : problem.cluster.slots - problem.experts + 1;
}

MapShape by_slot(const Problem& problem) {
  return {2, {problem.layers, problem.cluster.slots, 1, 1}};
}
MapShape by_expert(const Problem& problem) { return {2, {problem.layers, problem.experts, 1, 1}}; }
MapShape by_replica(const Problem& problem) {
  return {3, {problem.layers, problem.experts, width_of(problem), 1}};
}
MapShape by_gpu(const Problem& problem) {
  return {2, {problem.layers, problem.cluster.gpus, 1, 1}};
}
MapShape by_layer(const Problem& problem) { return {1, {problem.layers, 1, 1, 1}}; }
MapShape by_window(const Problem& problem) {
  check_windows_are_kept(problem.windows);
  return {2, {problem.layers, problem.windows, 1, 1}};
}

MapShape by_rank(const Problem& problem) {
  return {3, {problem.layers, problem.dispatch.ranks, problem.experts, 1}};
}

template <class T, auto kPart, auto kArray> void array_of(const Answer& answer, T* out) {
  const auto& array = (answer.*kPart)->*kArray;
  std::copy(array.begin(), array.end(), out);
}
template <class T, auto kPart, auto kFigure> void figure_of(const Answer& answer, T* out) {
  for (const auto& layer : (answer.*kPart)->layers) *out++ = static_cast<T>(layer.*kFigure);
}
template <class T> void logical_to_physical(const Answer& answer, T* out) {
  const Problem& problem = answer.plan->problem;
  const int64_t width = width_of(problem);
  const int32_t* count = answer.plan->replica_count.data();
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    const int32_t* slot = answer.plan->replica_slots.data() + layer * problem.cluster.slots;
    for (int e = 0; e < problem.experts; ++e, slot += *count++, out += width)
      std::fill(std::copy(slot, slot + *count, out), out + width, T{-1});
  }
}

#define EPLB_INTEGERS(writer, ...)                           \
  .write_int32 = writer<int32_t __VA_OPT__(, ) __VA_ARGS__>, \
  .write_int64 = writer<int64_t __VA_OPT__(, ) __VA_ARGS__>
#define EPLB_PLAN_ARRAY(name) EPLB_INTEGERS(array_of, &Answer::plan, &Plan::name)
#define EPLB_TRANSFERS_ARRAY(name) EPLB_INTEGERS(array_of, &Answer::transfers, &Transfers::name)
#define EPLB_SPLIT(parts, shape_of) .shape = shape_of, .needs_of_split = parts
#define EPLB_DISPATCH(shape_of) .shape = shape_of, .needs_dispatch = true
#define EPLB_DISPATCH_ARRAY(name) EPLB_INTEGERS(array_of, &Answer::dispatch, &StaticDispatch::name)
#define EPLB_REALS(writer, part, name) .write_real = writer<double, &Answer::part, &name>

// By the value of its EPLB_MAP_ constant.
constexpr MapEntry kMaps[] = {
    {.name = "PHYSICAL_TO_LOGICAL", .shape = by_slot, EPLB_PLAN_ARRAY(physical_to_logical)},
    {.name = "LOGICAL_TO_PHYSICAL", .shape = by_replica, EPLB_INTEGERS(logical_to_physical)},
    {.name = "REPLICA_COUNT", .shape = by_expert, EPLB_PLAN_ARRAY(replica_count)},
    {.name = "REPLICA_SLOTS", .shape = by_slot, EPLB_PLAN_ARRAY(replica_slots)},
    {.name = "GPU_LOAD",
     .shape = by_gpu,
     .needs = kLoads,
     EPLB_REALS(array_of, evaluation, Evaluation::gpu_load)},
    {.name = "IMBALANCE",
     .shape = by_layer,
     .needs = kLoads,
     EPLB_REALS(figure_of, evaluation, LayerFigures::imbalance)},
    {.name = "BOUND",
     .shape = by_layer,
     .needs = kBounds,
     EPLB_REALS(figure_of, evaluation, LayerFigures::bound)},
    {.name = "DUPLICATES",
     .shape = by_layer,
     .needs = kDuplicates,
     EPLB_INTEGERS(figure_of, &Answer::evaluation, &LayerFigures::duplicates)},
    {.name = "MOVE_SOURCE",
     .shape = by_slot,
     .needs_transfers = true,
     EPLB_TRANSFERS_ARRAY(source)},
    {.name = "MOVE_ROUND", .shape = by_slot, .needs_transfers = true, EPLB_TRANSFERS_ARRAY(round)},
    {.name = "MOVE_GROUP", .shape = by_slot, .needs_transfers = true, EPLB_TRANSFERS_ARRAY(group)},
    {.name = "MOVE_COUNT",
     .shape = by_layer,
     .needs_transfers = true,
     EPLB_INTEGERS(figure_of, &Answer::transfers, &LayerMoves::moves)},
    {.name = "WINDOW_IMBALANCE",
     .shape = by_window,
     .needs_of_windows = kLoads,
     EPLB_REALS(figure_of, windows, LayerFigures::imbalance)},
    {.name = "WINDOW_BOUND",
     .shape = by_window,
     .needs_of_windows = kBounds,
     EPLB_REALS(figure_of, windows, LayerFigures::bound)},
    {.name = "OFF_HOME",
     .shape = by_layer,
     .needs = kHomes,
     EPLB_REALS(figure_of, evaluation, LayerFigures::off_home)},
    {.name = "OFF_HOME_BOUND",
     .shape = by_layer,
     .needs = kHomes,
     EPLB_REALS(figure_of, evaluation, LayerFigures::off_home_bound)},
    {.name = "SHARE",
     EPLB_SPLIT(kSplitShares, by_slot),
     EPLB_INTEGERS(array_of, &Answer::split_evaluation, &SplitEvaluation::share)},
    {.name = "QUOTA",
     EPLB_SPLIT(kSplitLoads, by_slot),
     EPLB_REALS(array_of, split_evaluation, SplitEvaluation::quota)},
    {.name = "SPLIT_LOAD",
     EPLB_SPLIT(kSplitLoads, by_gpu),
     EPLB_REALS(array_of, split_evaluation, SplitEvaluation::load)},
    {.name = "SPLIT_IMBALANCE",
     EPLB_SPLIT(kSplitLoads, by_layer),
     EPLB_REALS(figure_of, split_evaluation, SplitFigures::imbalance)},
    {.name = "SPLIT_BOUND",
     EPLB_SPLIT(kSplitLoads, by_layer),
     EPLB_REALS(figure_of, split_evaluation, SplitFigures::bound)},
    {.name = "SPLIT_TIGHT",
     EPLB_SPLIT(kSplitItself, by_gpu),
     EPLB_INTEGERS(array_of, &Answer::split, &Split::tight)},
    {.name = "DISPATCH_SLOT", EPLB_DISPATCH(by_rank), EPLB_DISPATCH_ARRAY(table)},
    {.name = "DISPATCH_PLACEMENT", EPLB_DISPATCH(by_slot), EPLB_DISPATCH_ARRAY(placement)},
    {.name = "DISPATCH_RANKS", EPLB_DISPATCH(by_slot), EPLB_DISPATCH_ARRAY(units)},
    {.name = "DISPATCH_LOAD",
     EPLB_DISPATCH(by_gpu),
     EPLB_REALS(array_of, dispatch, StaticDispatch::load)},
    {.name = "DISPATCH_IMBALANCE",
     EPLB_DISPATCH(by_layer),
     EPLB_REALS(figure_of, dispatch, SplitFigures::imbalance)},
    {.name = "DISPATCH_BOUND",
     EPLB_DISPATCH(by_layer),
     EPLB_REALS(figure_of, dispatch, SplitFigures::bound)},
};
#undef EPLB_INTEGERS
#undef EPLB_PLAN_ARRAY
#undef EPLB_TRANSFERS_ARRAY
#undef EPLB_REALS
#undef EPLB_SPLIT
#undef EPLB_DISPATCH
#undef EPLB_DISPATCH_ARRAY
constexpr int kLastMap = sizeof kMaps / sizeof *kMaps - 1;
static_assert(kLastMap == EPLB_MAP_DISPATCH_BOUND);

}  // namespace

const MapEntry& map_entry(eplb_map map) {
  check_constant("map", map, kLastMap);
  return kMaps[map];
}

void check_map_buffer(const MapEntry& map, eplb_dtype dtype, const void* buffer, int64_t length,
                      const MapShape& shape) {
  const bool fits =
      map.is_real() ? dtype == EPLB_FLOAT64 : dtype == EPLB_INT32 || dtype == EPLB_INT64;
  if (!fits)
    fail(EPLB_INVALID_ARGUMENT, "dtype is %d, must be %s for EPLB_MAP_%s", dtype,
         map.is_real() ? "EPLB_FLOAT64" : "EPLB_INT32 or EPLB_INT64", map.name);
  if (buffer == nullptr) fail(EPLB_INVALID_ARGUMENT, "buffer is NULL");
  if (length != shape.elements())
    fail(EPLB_INVALID_ARGUMENT,
         "length is %lld, must be %lld for EPLB_MAP_%s: the product of its dims", ll(length),
         ll(shape.elements()), map.name);
}

void write_map(const MapEntry& map, const Answer& answer, eplb_dtype dtype, void* buffer) {
  if (map.is_real()) return map.write_real(answer, static_cast<double*>(buffer));
  if (dtype == EPLB_INT32) return map.write_int32(answer, static_cast<int32_t*>(buffer));
  map.write_int64(answer, static_cast<int64_t*>(buffer));
}

}  // namespace eplb
