#include "core/plan.h"

#include <algorithm>

#include "core/bound.h"
#include "core/error.h"
#include "core/report.h"

namespace eplb {
namespace {

constexpr const char* kMapNames[] = {
    "PHYSICAL_TO_LOGICAL", "LOGICAL_TO_PHYSICAL", "REPLICA_COUNT", "REPLICA_SLOTS", "GPU_LOAD", "IMBALANCE", "BOUND",
    "DUPLICATES"};

bool is_real(eplb_map map) { return map == EPLB_MAP_GPU_LOAD || map == EPLB_MAP_IMBALANCE || map == EPLB_MAP_BOUND; }

template <class T> void copy_out(const std::vector<int32_t>& from, void* buffer) {
  std::copy(from.begin(), from.end(), static_cast<T*>(buffer));
}

template <class T> void write_logical_to_physical(const Plan& plan, int64_t width, T* out) {
  const int32_t* slot = plan.replica_slots.data();
  for (const int32_t count : plan.replica_count) {
    T* end = std::copy(slot, slot + count, out);
    std::fill(end, out + width, T{-1});
    slot += count;
    out += width;
  }
}

template <class T> void write_duplicates(const Plan& plan, T* out) {
  DuplicateCounter counter(plan.problem);
  for (int64_t l = 0; l < plan.layers; ++l)
    out[l] = static_cast<T>(counter.count(&plan.physical_to_logical[l * plan.problem.slots]));
}

template <class T> void write_integers(const Plan& plan, eplb_map map, void* buffer, const MapShape& shape) {
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL: return copy_out<T>(plan.physical_to_logical, buffer);
    case EPLB_MAP_REPLICA_COUNT: return copy_out<T>(plan.replica_count, buffer);
    case EPLB_MAP_REPLICA_SLOTS: return copy_out<T>(plan.replica_slots, buffer);
    case EPLB_MAP_LOGICAL_TO_PHYSICAL: return write_logical_to_physical(plan, shape.dims[2], static_cast<T*>(buffer));
    default: return write_duplicates(plan, static_cast<T*>(buffer));
  }
}

void write_bounds(const Weights& weights, const Plan& plan, double* out) {
  LayerBounds bounds(plan.problem);
  for (int64_t l = 0; l < plan.layers; ++l) out[l] = bounds.of(weights, l).load;
}

void write_reals(const Weights& weights, const Plan& plan, eplb_map map, double* out) {
  if (map == EPLB_MAP_BOUND) return write_bounds(weights, plan, out);
  LayerScorer scorer(plan.problem);
  for (int64_t l = 0; l < plan.layers; ++l) {
    const int32_t* placement = &plan.physical_to_logical[l * plan.problem.slots];
    const LayerScore score = scorer.score(weights, l, placement);
    if (map == EPLB_MAP_IMBALANCE)
      out[l] = score.imbalance;
    else
      std::copy(scorer.loads().begin(), scorer.loads().end(), out + l * plan.problem.gpus);
  }
}

}  // namespace

void Plan::resize(const Problem& new_problem, const Options& new_options, int64_t new_layers) {
  problem = new_problem;
  options = new_options;
  layers = new_layers;
  physical_to_logical.resize(layers * problem.slots);
  replica_count.resize(layers * problem.experts);
  replica_slots.resize(layers * problem.slots);
}

void Plan::reserve(const Plan& other) {
  physical_to_logical.reserve(other.physical_to_logical.size());
  replica_count.reserve(other.replica_count.size());
  replica_slots.reserve(other.replica_slots.size());
}

int64_t Plan::bytes() const {
  return static_cast<int64_t>((physical_to_logical.capacity() + replica_count.capacity() + replica_slots.capacity()) *
                              sizeof(int32_t));
}

MapShape map_shape(eplb_map map, int64_t layers, const Problem& problem, const Options& options) {
  const int64_t width = options.max_replicas > 0 ? options.max_replicas : problem.slots - problem.experts + 1;
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL:
    case EPLB_MAP_REPLICA_SLOTS: return {2, {layers, problem.slots, 1, 1}};
    case EPLB_MAP_LOGICAL_TO_PHYSICAL: return {3, {layers, problem.experts, width, 1}};
    case EPLB_MAP_REPLICA_COUNT: return {2, {layers, problem.experts, 1, 1}};
    case EPLB_MAP_GPU_LOAD: return {2, {layers, problem.gpus, 1, 1}};
    case EPLB_MAP_IMBALANCE:
    case EPLB_MAP_BOUND:
    case EPLB_MAP_DUPLICATES: return {1, {layers, 1, 1, 1}};
    default:
      fail(EPLB_INVALID_ARGUMENT, "map is %d, must be an EPLB_MAP_ constant (%d to %d)", map,
           EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_MAP_DUPLICATES);
  }
}

void check_map_buffer(eplb_map map, eplb_dtype dtype, const void* buffer, int64_t length, const MapShape& shape) {
  const bool fits = is_real(map) ? dtype == EPLB_FLOAT64 : dtype == EPLB_INT32 || dtype == EPLB_INT64;
  if (!fits)
    fail(EPLB_INVALID_ARGUMENT, "dtype is %d, must be %s for EPLB_MAP_%s", dtype,
         is_real(map) ? "EPLB_FLOAT64" : "EPLB_INT32 or EPLB_INT64", kMapNames[map]);
  if (buffer == nullptr) fail(EPLB_INVALID_ARGUMENT, "buffer is NULL");
  if (length != shape.elements())
    fail(EPLB_INVALID_ARGUMENT, "length is %lld, must be %lld for EPLB_MAP_%s: the product of its dims",
         static_cast<long long>(length), static_cast<long long>(shape.elements()), kMapNames[map]);
}

bool is_consistent(const Plan& plan) {
  const int64_t slots = plan.problem.slots, experts = plan.problem.experts;
  std::vector<bool> seen(slots);
  for (int64_t l = 0; l < plan.layers; ++l) {
    const int32_t *placement = &plan.physical_to_logical[l * slots], *slot = &plan.replica_slots[l * slots];
    const int32_t* const end = slot + slots;
    seen.assign(slots, false);
    for (int64_t e = 0; e < experts; ++e) {
      const int32_t count = plan.replica_count[l * experts + e];
      if (count < 1 || count > end - slot) return false;
      for (const int32_t* const own = slot + count; slot < own; ++slot) {
        if (*slot < 0 || *slot >= slots || seen[*slot] || placement[*slot] != e) return false;
        seen[*slot] = true;
      }
    }
    if (slot != end) return false;
  }
  return true;
}

void write_map(const Weights& weights, const Plan& plan, eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) {
  const MapShape shape = map_shape(map, plan.layers, plan.problem, plan.options);
  check_map_buffer(map, dtype, buffer, length, shape);
  if (is_real(map)) return write_reals(weights, plan, map, static_cast<double*>(buffer));
  if (dtype == EPLB_INT32) return write_integers<int32_t>(plan, map, buffer, shape);
  write_integers<int64_t>(plan, map, buffer, shape);
}

}  // namespace eplb
