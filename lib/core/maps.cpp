#include "core/maps.h"

#include <algorithm>

#include "core/error.h"

namespace eplb {
namespace {

// The X of LOGICAL_TO_PHYSICAL.
int64_t width_of(const Problem& problem) {
  const int64_t cap = problem.options.max_replicas;
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

template <class T, auto kArray> void array_of(const Plan& plan, const Evaluation&, T* out) {
  std::copy((plan.*kArray).begin(), (plan.*kArray).end(), out);
}
template <class T> constexpr auto kWritePhysicalToLogical = array_of<T, &Plan::physical_to_logical>;
template <class T> constexpr auto kWriteReplicaCount = array_of<T, &Plan::replica_count>;
template <class T> constexpr auto kWriteReplicaSlots = array_of<T, &Plan::replica_slots>;
template <class T> void logical_to_physical(const Plan& plan, const Evaluation&, T* out) {
  const int64_t width = width_of(plan.problem);
  const int32_t* slot = plan.replica_slots.data();
  for (const int32_t count : plan.replica_count) {
    T* const end = std::copy(slot, slot + count, out);
    std::fill(end, out + width, T{-1});
    slot += count;
    out += width;
  }
}
void gpu_load(const Plan&, const Evaluation& evaluation, double* out) {
  std::copy(evaluation.gpu_load.begin(), evaluation.gpu_load.end(), out);
}
template <class T, auto kFigure> void figure_of(const Plan&, const Evaluation& evaluation, T* out) {
  for (const LayerFigures& layer : evaluation.layers) *out++ = static_cast<T>(layer.*kFigure);
}
constexpr auto kWriteImbalance = figure_of<double, &LayerFigures::imbalance>;
constexpr auto kWriteBound = figure_of<double, &LayerFigures::bound>;
template <class T> constexpr auto kWriteDuplicates = figure_of<T, &LayerFigures::duplicates>;

#define EPLB_INTEGERS(writer) .write_int32 = writer<int32_t>, .write_int64 = writer<int64_t>

// By the value of its EPLB_MAP_ constant.
constexpr MapEntry kMaps[] = {
    {.name = "PHYSICAL_TO_LOGICAL", .shape = by_slot, EPLB_INTEGERS(kWritePhysicalToLogical)},
    {.name = "LOGICAL_TO_PHYSICAL", .shape = by_replica, EPLB_INTEGERS(logical_to_physical)},
    {.name = "REPLICA_COUNT", .shape = by_expert, EPLB_INTEGERS(kWriteReplicaCount)},
    {.name = "REPLICA_SLOTS", .shape = by_slot, EPLB_INTEGERS(kWriteReplicaSlots)},
    {.name = "GPU_LOAD", .shape = by_gpu, .needs = kLoads, .write_real = gpu_load},
    {.name = "IMBALANCE", .shape = by_layer, .needs = kLoads, .write_real = kWriteImbalance},
    {.name = "BOUND", .shape = by_layer, .needs = kBounds, .write_real = kWriteBound},
    {.name = "DUPLICATES",
     .shape = by_layer,
     .needs = kDuplicates,
     EPLB_INTEGERS(kWriteDuplicates)},
};
#undef EPLB_INTEGERS
constexpr int kLastMap = sizeof kMaps / sizeof *kMaps - 1;
static_assert(kLastMap == EPLB_MAP_DUPLICATES);

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

void write_map(const MapEntry& map, const Plan& plan, const Evaluation& evaluation,
               eplb_dtype dtype, void* buffer) {
  if (map.is_real()) return map.write_real(plan, evaluation, static_cast<double*>(buffer));
  if (dtype == EPLB_INT32) return map.write_int32(plan, evaluation, static_cast<int32_t*>(buffer));
  map.write_int64(plan, evaluation, static_cast<int64_t*>(buffer));
}

}  // namespace eplb
