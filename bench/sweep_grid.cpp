#include "sweep_grid.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

namespace bench {
namespace {

constexpr int kDenseSlots = 64;
constexpr int kLargestStep = 4;
constexpr int kFewCopies = 4;       // slots / experts up to which experts are stepped finely
constexpr int kFewNodeSlots = 300;  // up to which nodes and groups are stepped finely

// 2, 2 * factor, 2 * factor^2, ... up to `most`.
std::vector<int> powers(int most, int factor) {
  std::vector<int> values;
  for (int power = 2; power <= most; power *= factor) values.push_back(power);
  return values;
}

// 2, 3, 4, 6, 8, 12, 16, 24, ... up to `most`: steps of 1.33 and 1.5 whose values divide each other
// often.
std::vector<int> geometric(int most) {
  std::vector<int> values;
  for (int power : powers(most, 2)) {
    values.push_back(power);
    if (power * 3 / 2 <= most && power > 2) values.push_back(power * 3 / 2);
  }
  values.push_back(3);
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<int> with(std::vector<int> values, std::initializer_list<int> more, int most) {
  for (int value : more)
    if (value <= most) values.push_back(value);
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// Every number of slots, split over GPUs in every way: this is where single slots decide which code
// runs.
void add_dense(std::set<GridShape>& grid, int most_slots) {
  const int most = std::min(kDenseSlots, most_slots);
  const std::vector<int> experts =
      with(geometric(most), {5, 7, 10, 14, 20, 23, 25, 28, 40, 56}, most);
  for (int slots = 2; slots <= most; slots++) {
    for (int gpus = 1; gpus <= slots; gpus++) {
      if (slots % gpus != 0) continue;
      grid.insert({slots, slots / gpus, gpus});
      for (int count : experts)
        if (count <= slots && kFewCopies * count >= slots) grid.insert({count, slots / gpus, gpus});
    }
  }
}

// Experts in steps of `factor`; of 4 where each has many copies.
std::vector<int> experts_of(int64_t slots, int factor) {
  const int most = static_cast<int>(slots);
  std::vector<int> experts = powers(most, 4);
  for (int count : powers(most, factor))
    if (int64_t{count} * kFewCopies >= slots) experts.push_back(count);
  return with(std::move(experts), {}, most);
}

// The steps of slots per GPU include both sides of 4, 16, 64 and 1024, those of GPUs both sides of
// 64: there the search changes its moves.
void add_large(std::set<GridShape>& grid, int most_slots, int factor) {
  const std::vector<int> per_gpu =
      with(powers(most_slots, 2), {1, 3, 5, 9, 17, 65, 1025}, most_slots);
  const std::vector<int> gpus =
      with(powers(most_slots, factor), {1, 3, 5, 48, 64, 65, 80}, most_slots);
  for (int places : per_gpu) {
    for (int count : gpus) {
      const int64_t slots = int64_t{places} * count;
      if (slots <= kDenseSlots || slots > most_slots) continue;
      for (int experts : experts_of(slots, factor)) grid.insert({experts, places, count});
    }
  }
}

void add_groups(std::set<GridShape>& grid, const GridShape& flat, const std::vector<int>& counts) {
  for (int nodes : counts) {
    if (flat.gpus % nodes != 0 || flat.experts % nodes != 0) continue;
    for (int groups : counts)
      if (groups % nodes == 0 && flat.experts % groups == 0 && (nodes > 1 || groups == 1))
        grid.insert({flat.experts, flat.slots_per_gpu, flat.gpus, nodes, groups});
  }
}

// Nodes from one to one per GPU, groups from one to one expert each per node. Experts, GPUs, nodes
// and groups are rich in divisors, so that each can be stepped.
void add_nodes(std::set<GridShape>& grid, int most_slots) {
  for (int gpus : {4, 12, 32, 96, 384, 3072, 8192}) {
    for (int places : {2, 3, 5, 9}) {
      const int slots = gpus * places;
      if (slots > most_slots) continue;
      const bool few = slots <= kFewNodeSlots;
      const std::vector<int> counts =
          with(few ? geometric(most_slots) : powers(most_slots, 4), {1, 3}, most_slots);
      for (int experts : geometric(slots))
        if (4 * experts >= 3 * slots) add_groups(grid, {experts, places, gpus}, counts);
    }
  }
}

using Values = std::array<int, 5>;

Values values_of(const GridShape& shape) {
  return {shape.experts, shape.slots_per_gpu, shape.gpus, shape.nodes, shape.groups};
}

}  // namespace

std::vector<GridShape> make_grid(int most_slots, int factor) {
  std::set<GridShape> grid;
  add_dense(grid, most_slots);
  add_large(grid, most_slots, factor);
  add_nodes(grid, most_slots);
  std::vector<GridShape> sorted(grid.begin(), grid.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const GridShape& a, const GridShape& b) { return a.slots() < b.slots(); });
  return sorted;
}

std::vector<Step> neighbours(const std::vector<GridShape>& grid) {
  constexpr std::array<const char*, 5> kNames = {"experts", "slots per GPU", "GPUs", "nodes",
                                                 "groups"};
  std::vector<Step> steps;
  for (size_t axis = 0; axis < kNames.size(); axis++) {
    std::map<Values, std::map<int, size_t>> lines;  // all but one parameter -> that one -> index
    for (size_t i = 0; i < grid.size(); i++) {
      Values rest = values_of(grid[i]);
      const int value = std::exchange(rest[axis], 0);
      lines[rest][value] = i;
    }
    for (const auto& [rest, line] : lines) {
      for (auto at = line.begin(), next = std::next(at); next != line.end(); at = next++)
        if (next->first <= kLargestStep * at->first)
          steps.push_back({at->second, next->second, kNames[axis]});
    }
  }
  return steps;
}

std::string to_string(const GridShape& shape) {
  std::string text = std::to_string(shape.experts) + " -> " + std::to_string(shape.slots()) + "/" +
                     std::to_string(shape.gpus);
  if (shape.nodes > 1)
    text += ", " + std::to_string(shape.groups) + " groups on " + std::to_string(shape.nodes) +
            " nodes";
  return text;
}

}  // namespace bench
