// What can be fetched of a plan, a split or a static dispatch: one table, a row for each map with
// its name, shape, needs and writer.
#pragma once

#include <array>
#include <cstdint>

#include "core/evaluation.h"
#include "core/plan.h"
#include "core/split.h"
#include "core/static_dispatch.h"
#include "core/transfers.h"

namespace eplb {

struct MapShape {
  int rank;
  std::array<int64_t, 4> dims;
  int64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

// What maps are written from.
struct Answer {
  const Plan* plan = nullptr;
  const Evaluation* evaluation = nullptr;
  const WindowFigures* windows = nullptr;
  const Transfers* transfers = nullptr;
  const Split* split = nullptr;
  const SplitEvaluation* split_evaluation = nullptr;
  const StaticDispatch* dispatch = nullptr;
};

struct MapEntry {
  const char* name;                           // after EPLB_MAP_
  MapShape (*shape)(const Problem& problem);  // throws Unavailable if the problem has no such map
  EvaluationParts needs = 0;                  // what the writer reads of an evaluation
  EvaluationParts needs_of_windows = 0;       // what it reads of the figures of windows
  bool needs_transfers = false;               // does it read them?
  SplitParts needs_of_split = 0;              // what it reads of a split, of which the map is then
  bool needs_dispatch = false;                // does it read that? The map is then of it
  // Either the first two, for maps of integers, or the last.
  void (*write_int32)(const Answer& answer, int32_t* out) = nullptr;
  void (*write_int64)(const Answer& answer, int64_t* out) = nullptr;
  void (*write_real)(const Answer& answer, double* out) = nullptr;

  bool is_real() const { return write_real != nullptr; }
};

// Throws Unavailable for a map above those that this version knows, InvalidArgument for one below.
const MapEntry& map_entry(eplb_map map);

// Throws InvalidArgument unless a buffer of this type and length is one for a map of this shape.
void check_map_buffer(const MapEntry& map, eplb_dtype dtype, const void* buffer, int64_t length,
                      const MapShape& shape);

// Writes a map to a buffer that was checked. What the map needs is known.
void write_map(const MapEntry& map, const Answer& answer, eplb_dtype dtype, void* buffer);

}  // namespace eplb
