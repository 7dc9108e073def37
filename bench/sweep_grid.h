// The shapes that the sweep solves, and which of them are neighbours.
#pragma once

#include <string>
#include <vector>

#include "subject.h"

namespace bench {

struct GridShape {
  int experts = 0;
  int slots_per_gpu = 0;
  int gpus = 0;
  int nodes = 1;
  int groups = 1;

  int slots() const { return slots_per_gpu * gpus; }
  Shape shape() const { return {slots(), gpus, nodes, groups}; }
  auto operator<=>(const GridShape&) const = default;
};

// Two shapes of the grid, by index, that differ by one step of one parameter.
struct Step {
  size_t from, to;
  const char* parameter;
};

// Up to 64 slots every shape of one node; beyond, steps of about `factor` up to `most_slots`, and
// shapes with nodes and groups. Ascending by slots.
std::vector<GridShape> make_grid(int most_slots, int factor);

// A step is taken between values that follow each other in the grid, all else equal, at most a
// factor of 4 apart.
std::vector<Step> neighbours(const std::vector<GridShape>& grid);

std::string to_string(const GridShape& shape);

}  // namespace bench
