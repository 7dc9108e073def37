// Groups on nodes against all ways there are.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <random>
#include <vector>

#include "solver/layer/group_assignment.h"
#include "solver/packing/pack.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

// The heaviest node of the best way: group g to every node that has room, empty nodes being
// equivalent.
int64_t least_heaviest(const std::vector<int>& size, int places, std::vector<int64_t>& sum,
                       std::vector<int>& used, size_t g) {
  if (g == size.size()) return *std::max_element(sum.begin(), sum.end());
  int64_t least = INT64_MAX;
  for (size_t n = 0; n < sum.size(); ++n) {
    if (used[n] == places) continue;
    const bool empty = used[n] == 0;
    ++used[n];
    sum[n] += size[g];
    least = std::min(least, least_heaviest(size, places, sum, used, g + 1));
    --used[n];
    sum[n] -= size[g];
    if (empty) break;
  }
  return least;
}

// Groups packed longest first, then assigned.
struct Room {
  std::vector<std::byte> memory;
  ShuffledTeam team{7};
  solver::Packing packing;
  solver::GroupWorkspace workspace;
  solver::View<int> slot_of;

  Room(int groups, int nodes) {
    memory.resize(static_cast<size_t>(lay_out(nullptr, groups, nodes)));
    lay_out(memory.data(), groups, nodes);
  }
  int64_t lay_out(void* block, int groups, int nodes) {
    solver::Arena arena(block);
    packing.lay_out(arena, groups, nodes);
    workspace.lay_out(arena, groups, nodes);
    slot_of = arena.take<int>(groups);
    return arena.used();
  }
  solver::AssignedGroups assign(std::vector<int>& size, int nodes) {
    const int groups = static_cast<int>(size.size());
    const solver::View<int> sizes{size.data()};
    solver::pack<solver::Integer>(team, solver::greedy(), packing, groups, nodes, sizes, {},
                                  solver::all_chains(), slot_of);
    return solver::search_groups(team, workspace, sizes, slot_of, groups, nodes,
                                 solver::group_steps(groups));
  }
};

int random_size(std::mt19937& random, int family) {
  switch (family) {
    case 0: return static_cast<int>(random() % 1000);
    case 1: return static_cast<int>(random() % 4);  // ties
    case 2: return static_cast<int>(std::lognormal_distribution<double>(8, 1.5)(random));
    default: return random() % 6 == 0 ? 100000 : static_cast<int>(random() % 100);
  }
}

TEST(Groups, BestWayOfAll) {
  std::mt19937 random(5);
  const std::vector<std::pair<int, int>> shapes = {{4, 2}, {6, 2}, {6, 3},  {8, 2},
                                                   {8, 4}, {9, 3}, {10, 5}, {12, 3}};
  for (int i = 0; i < 400; ++i) {
    const auto [groups, nodes] = shapes[static_cast<size_t>(i) % shapes.size()];
    std::vector<int> size(static_cast<size_t>(groups));
    for (int& s : size) s = random_size(random, i / 8 % 4);
    Room room(groups, nodes);
    const solver::AssignedGroups assigned = room.assign(size, nodes);
    EXPECT_TRUE(assigned.proven);
    std::vector<int64_t> sum(static_cast<size_t>(nodes));
    std::vector<int> used(sum.size());
    EXPECT_EQ(assigned.heaviest, least_heaviest(size, groups / nodes, sum, used, 0))
        << groups << " on " << nodes;
    for (int g = 0; g < groups; ++g) {
      const auto n = static_cast<size_t>(room.slot_of[g] * nodes / groups);
      sum[n] += size[static_cast<size_t>(g)];
      ++used[n];
    }
    EXPECT_EQ(*std::max_element(sum.begin(), sum.end()), assigned.heaviest);
    for (const int count : used) EXPECT_EQ(count, groups / nodes);
  }
}

// Sixteen groups are many ways (two million on four nodes): still all that matter are seen.
TEST(Groups, SixteenAreProven) {
  std::mt19937 random(6);
  for (int i = 0; i < 200; ++i) {
    const int groups = 16, nodes = i % 3 == 0 ? 2 : i % 3 == 1 ? 4 : 8;
    std::vector<int> size(groups);
    for (int& s : size) s = random_size(random, i / 3 % 4);
    EXPECT_TRUE(Room(groups, nodes).assign(size, nodes).proven);
  }
}

}  // namespace
}  // namespace eplb::tests
