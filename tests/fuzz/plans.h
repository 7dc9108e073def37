// What holds of the plan of every solve.
#pragma once

#include "figures.h"
#include "subject.h"

namespace eplb::fuzz {

// Fetches the plan that a solve has left, checks that it is one, and remembers it.
void take_plan(Subject& subject, const eplb_problem& problem, const eplb_solve_options& options);

// Fetches every map and the report, and checks them against the placement.
void check_plan(Subject& subject);

// One map of the plan, whose type and shape are known.
void check_map(Subject& subject, eplb_map map);
void check_moves(Subject& subject);

// Compares a report of another size with a whole one; the rest must be as it was.
void check_part(Sized<eplb_report>& part, Sized<eplb_report>& whole);

// How many elements a map has, and its shape.
struct Dims {
  int32_t rank;
  int64_t dims[4];
  int64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
};
Dims dims_of(eplb_map map, const KnownReserve& sizes);
KnownReserve sizes_of(const Known& known);  // of the plan

// Of a map that is fetched: a cap can make larger ones of few experts.
inline constexpr int64_t kMostElements = 1 << 16;

inline bool is_of_moves(eplb_map map) {
  return map >= EPLB_MAP_MOVE_SOURCE && map <= EPLB_MAP_MOVE_COUNT;
}
inline bool is_of_windows(eplb_map map) {
  return map == EPLB_MAP_WINDOW_IMBALANCE || map == EPLB_MAP_WINDOW_BOUND;
}
inline bool is_of_split(eplb_map map) {
  return map >= EPLB_MAP_SHARE && map <= EPLB_MAP_SPLIT_TIGHT;
}
inline bool is_of_dispatch(eplb_map map) {
  return map >= EPLB_MAP_DISPATCH_SLOT && map <= EPLB_MAP_DISPATCH_BOUND;
}
inline bool is_real(eplb_map map) {
  return (map >= EPLB_MAP_GPU_LOAD && map <= EPLB_MAP_BOUND) ||
         (map > EPLB_MAP_MOVE_COUNT && map != EPLB_MAP_SHARE && map != EPLB_MAP_SPLIT_TIGHT &&
          (map < EPLB_MAP_DISPATCH_SLOT || map > EPLB_MAP_DISPATCH_RANKS));
}

}  // namespace eplb::fuzz
