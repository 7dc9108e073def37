// A solved placement and the shapes of what can be fetched of it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/problem.h"
#include "core/weights.h"

namespace eplb {

struct Plan {
  Problem problem{};
  Options options{};
  int64_t layers = 0;
  std::vector<int32_t> physical_to_logical;  // [L,S]
  std::vector<int32_t> replica_count;        // [L,E]
  std::vector<int32_t> replica_slots;        // [L,S]: the slots of expert 0 in replica order, of expert 1, ...
  double microseconds = 0;

  void resize(const Problem& problem, const Options& options, int64_t layers);
  void reserve(const Plan& other);  // room for as much, keeping what is there
  int64_t bytes() const;
};

struct MapShape {
  int rank;
  std::array<int64_t, 4> dims;
  int64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

// Throws InvalidArgument for a map that this version does not know.
MapShape map_shape(eplb_map map, int64_t layers, const Problem& problem, const Options& options);

// Throws InvalidArgument unless a buffer of this type and length is one for the map.
void check_map_buffer(eplb_map map, eplb_dtype dtype, const void* buffer, int64_t length, const MapShape& shape);

// Are these maps a plan: ids and slots in range, every expert with a replica, counts and both maps the same story? Of maps that
// come from elsewhere: the others are made so.
bool is_consistent(const Plan& plan);

// Writes a map to the caller's buffer after checking its type and length.
void write_map(const Weights& weights, const Plan& plan, eplb_map map, eplb_dtype dtype, void* buffer, int64_t length);

}  // namespace eplb
