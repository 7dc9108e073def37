#include "sweep_grid.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

namespace bench {
namespace {

constexpr int kDenseSlots = 64;
constexpr int kMostCopies = 4;  // slots / experts, beyond the dense part

// 2, 3, 4, 6, 8, 12, 16, 24, ... up to `most`: steps of 1.33 and 1.5 whose values divide each other
// often.
std::vector<int> geometric(int most) {
  std::vector<int> values;
  for (int power = 2; power <= most; power *= 2) {
    values.push_back(power);
    if (power * 3 / 2 <= most && power > 1) values.push_back(power * 3 / 2);
  }
  return values;
}

std::vector<int> with(std::vector<int> values, std::initializer_list<int> more) {
  values.insert(values.end(), more);
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// Every number of slots, split over GPUs in every way: this is where single slots decide which code
// runs.
void add_dense(std::set<GridShape>& grid, int most_slots) {
  const std::vector<int> experts =
      with(geometric(kDenseSlots), {5, 7, 10, 14, 20, 23, 25, 28, 40, 56});
  for (int slots = 2; slots <= std::min(kDenseSlots, most_slots); slots++) {
    for (int gpus = 1; gpus <= slots; gpus++) {
      if (slots % gpus != 0) continue;
      grid.insert({slots, slots / gpus, gpus});
      for (int count : experts)
        if (count <= slots && 4 * count >= slots) grid.insert({count, slots / gpus, gpus});
    }
  }
}

// The steps of slots per GPU include both sides of 16, 64 and 1024, those of GPUs both sides of 64.
void add_large(std::set<GridShape>& grid, int most_slots) {
  const std::vector<int> per_gpu = with(geometric(most_slots), {1, 5, 7, 9, 10, 14, 17, 65, 1025});
  const std::vector<int> gpus = with(geometric(most_slots), {5, 7, 65});
  for (int experts : geometric(most_slots)) {
    for (int places : per_gpu) {
      for (int count : gpus) {
        const int64_t slots = int64_t{places} * count;
        if (slots <= kDenseSlots || slots > most_slots) continue;
        if (slots >= experts && slots <= int64_t{kMostCopies} * experts)
          grid.insert({experts, places, count});
      }
    }
  }
}

// Nodes from one to one per GPU, groups from one to one expert each per node.
void add_nodes(std::set<GridShape>& grid, int most_slots) {
  const std::vector<int> counts = with(geometric(most_slots), {1});
  for (int gpus : {4, 12, 48, 64, 96, 384, 3072}) {
    for (int places : {2, 3, 5, 9}) {
      const int slots = gpus * places;
      if (slots > most_slots) continue;
      // Rich in divisors, so that nodes and groups can be stepped.
      std::vector<int> experts;
      for (int count : counts)
        if (count <= slots && 4 * count >= 3 * slots) experts.push_back(count);
      for (int count : experts) {
        for (int nodes : counts) {
          if (gpus % nodes != 0 || nodes > gpus) continue;
          for (int groups : counts) {
            if (groups % nodes != 0 || count % groups != 0 || groups > count) continue;
            if (nodes > 1 || groups == 1) grid.insert({count, places, gpus, nodes, groups});
          }
        }
      }
    }
  }
}

using Values = std::array<int, 5>;

Values values_of(const GridShape& shape) {
  return {shape.experts, shape.slots_per_gpu, shape.gpus, shape.nodes, shape.groups};
}

}  // namespace

std::vector<GridShape> make_grid(int most_slots) {
  std::set<GridShape> grid;
  add_dense(grid, most_slots);
  add_large(grid, most_slots);
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
        if (next->first <= 2 * at->first) steps.push_back({at->second, next->second, kNames[axis]});
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
