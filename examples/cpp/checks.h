// What the programs that run the planners check, and the loads that they plan.
#ifndef CHECKS_H
#define CHECKS_H

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace checks {

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

inline void check(bool holds, const std::string& what) {
  if (!holds) fail(what);
}

// Loads [layers][experts] from a CSV file with a row per layer.
inline std::vector<std::vector<double>> read_loads(const char* path) {
  std::ifstream file(path);
  std::vector<std::vector<double>> layers;
  for (std::string line; std::getline(file, line);) {
    std::replace(line.begin(), line.end(), ',', ' ');
    std::istringstream numbers(line);
    layers.emplace_back();
    for (double load; numbers >> load;) layers.back().push_back(load);
    check(numbers.eof() && layers.back().size() == layers.front().size(),
          std::string(path) + " is not a table of numbers");
  }
  check(!layers.empty() && !layers.front().empty(), std::string(path) + " has no loads");
  return layers;
}

// Largest load of a rank over the mean; the placement has the expert of each slot, rank by rank.
inline double imbalance(const std::vector<int>& placement, const std::vector<double>& loads,
                        size_t ranks) {
  std::vector<double> replicas(loads.size()), of_rank(ranks);
  for (int expert : placement) replicas[static_cast<size_t>(expert)] += 1;
  double total = 0;
  for (size_t slot = 0; slot < placement.size(); ++slot) {
    const auto expert = static_cast<size_t>(placement[slot]);
    const double load = loads[expert] / replicas[expert];
    of_rank[slot * ranks / placement.size()] += load;
    total += load;
  }
  if (total == 0) return 1;
  return *std::max_element(of_rank.begin(), of_rank.end()) * static_cast<double>(ranks) / total;
}

// Every slot has an expert, every expert a slot.
inline void check_placement(const std::vector<int>& placement, size_t experts) {
  std::vector<bool> is_there(experts);
  for (int expert : placement) {
    check(expert >= 0 && static_cast<size_t>(expert) < experts, "a slot has no expert");
    is_there[static_cast<size_t>(expert)] = true;
  }
  check(std::find(is_there.begin(), is_there.end(), false) == is_there.end(), "an expert is lost");
}

// What stays on a rank stays in its slot. Returns how many slots change.
inline int check_slots(const std::vector<int>& before, const std::vector<int>& after,
                       size_t places) {
  int changed = 0;
  for (size_t slot = 0; slot < after.size(); ++slot) {
    if (after[slot] == before[slot]) continue;
    ++changed;
    const size_t first = slot / places * places;
    const auto count = [&](const std::vector<int>& placement, int expert) {
      const auto begin = placement.begin() + static_cast<std::ptrdiff_t>(first);
      return std::count(begin, begin + static_cast<std::ptrdiff_t>(places), expert);
    };
    // The new expert was not on this rank, or has more copies there than before.
    check(count(before, after[slot]) < count(after, after[slot]),
          "expert " + std::to_string(after[slot]) + " stays on a rank, but in another slot");
  }
  return changed;
}

}  // namespace checks

#endif
