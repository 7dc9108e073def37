// The stages of a chain, each against the plainest reading of its definition.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "solver/strategies/presets.h"
#include "tests/solver/problems.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

using solver::Integer;
using solver::Packing;

// Memory for a chain of n items on m packs, all stages' arrays in it.
struct Room {
  std::vector<char> memory;
  solver::PresetMethod<Integer> workspace;

  Room(int experts, int slots, int gpus) : workspace(problem_of({experts, slots, gpus})) {
    solver::Arena count(nullptr);
    workspace.lay_out(count);
    memory.assign(count.used() + 64, 0x7f);
    void* start = memory.data();
    size_t space = memory.size();
    std::align(64, static_cast<size_t>(count.used()), start, space);
    solver::Arena arena(start);
    workspace.lay_out(arena);
    workspace.packing.items = slots;
    workspace.packing.packs = gpus;
    workspace.packing.slots_per_pack = slots / gpus;
  }
};

std::vector<int> random_weights(std::mt19937& random, int n, int largest) {
  std::vector<int> weights(n);
  for (int& w : weights) w = 1 + static_cast<int>(random() % largest);
  return weights;
}

// Exact: compares q1/c1 with q2/c2 by cross-multiplying.
std::vector<int> counts_by_definition(const std::vector<int>& q, int slots, int most) {
  std::vector<int> count(q.size(), 1);
  for (int extra = slots - static_cast<int>(q.size()); extra > 0; --extra) {
    int best = -1;
    for (size_t e = 0; e < q.size(); ++e) {
      if (count[e] >= most) continue;
      if (best < 0 || int64_t{q[e]} * count[best] > int64_t{q[best]} * count[e])
        best = static_cast<int>(e);
    }
    ++count[best];
  }
  return count;
}

TEST(Counts, EqualTheDefinition) {
  std::mt19937 random(3);
  for (int t = 0; t < 400; ++t) {
    const int experts = 1 + static_cast<int>(random() % 70),
              slots = experts + static_cast<int>(random() % 90);
    const int most = random() % 3 == 0
                         ? (slots + experts - 1) / experts + static_cast<int>(random() % 3)
                         : slots;
    const std::vector<int> q = random_weights(random, experts, t % 2 ? 9 : 7000000);
    Room room(experts, slots, 1);
    ShuffledTeam team(t);
    std::copy(q.begin(), q.end(), room.workspace.node_weight.data);
    solver::count_replicas<Integer>(team, room.workspace.node_weight, experts, slots, most,
                                    room.workspace.pricing, room.workspace.items);
    const int* count = room.workspace.items.count.data;
    EXPECT_EQ(std::vector<int>(count, count + experts), counts_by_definition(q, slots, most))
        << "case " << t;
  }
}

TEST(Counts, NearTiesAreDistinguished) {
  // (2^28 + 1) / 3 and 2^28 / 3 have the same floor; the larger one comes first although its index
  // is higher.
  const std::vector<int> q = {1 << 27, (1 << 27) + 1};
  Room room(2, 7, 1);
  ShuffledTeam team(1);
  std::copy(q.begin(), q.end(), room.workspace.node_weight.data);
  solver::count_replicas<Integer>(team, room.workspace.node_weight, 2, 7, 7, room.workspace.pricing,
                                  room.workspace.items);
  EXPECT_EQ(room.workspace.items.count[0], 3);
  EXPECT_EQ(room.workspace.items.count[1], 4);
}

struct Chain {
  std::vector<int> size, pack;
  std::vector<int64_t> load;
};

Chain chain_of(const Packing& p) {
  return {{p.size.data, p.size.data + p.items},
          {p.pack.data, p.pack.data + p.items},
          {p.load.data, p.load.data + p.packs}};
}

Chain longest_first_by_definition(std::vector<int> size, int packs) {
  std::stable_sort(size.begin(), size.end(), std::greater<>());
  const int places = static_cast<int>(size.size()) / packs;
  Chain chain{size, std::vector<int>(size.size()), std::vector<int64_t>(packs)};
  std::vector<int> used(packs);
  for (size_t i = 0; i < size.size(); ++i) {
    int best = -1;
    for (int g = 0; g < packs; ++g)
      if (used[g] < places && (best < 0 || chain.load[g] < chain.load[best])) best = g;
    chain.pack[i] = best;
    chain.load[best] += size[i];
    ++used[best];
  }
  return chain;
}

// Looks at all pairs, in order, with the best so far: the definition, without windows.
bool swap_by_definition(Chain& chain) {
  const int h =
      static_cast<int>(std::max_element(chain.load.begin(), chain.load.end()) - chain.load.begin());
  int64_t best = 0;
  size_t best_i = 0, best_j = 0;
  for (size_t i = 0; i < chain.size.size(); ++i)
    for (size_t j = 0; j < chain.size.size(); ++j) {
      const int64_t d = chain.size[i] - chain.size[j];
      if (chain.pack[i] != h || chain.pack[j] == h || d <= 0) continue;
      const int64_t score = std::min(d, chain.load[h] - chain.load[chain.pack[j]] - d);
      if (score > best) best = score, best_i = i, best_j = j;
    }
  if (best == 0) return false;
  const int64_t d = chain.size[best_i] - chain.size[best_j];
  chain.load[h] -= d;
  chain.load[chain.pack[best_j]] += d;
  std::swap(chain.pack[best_i], chain.pack[best_j]);
  return true;
}

TEST(Packing, AndSwapsEqualTheDefinition) {
  std::mt19937 random(5);
  int swaps = 0;
  for (int t = 0; t < 300; ++t) {
    const int packs = 2 + static_cast<int>(random() % 20),
              places = 2 + static_cast<int>(random() % 9), items = packs * places;
    const std::vector<int> size = random_weights(random, items, t % 3 == 0 ? 6 : 2000000);
    Room room(items, items, packs);
    Packing& p = room.workspace.packing;
    ShuffledTeam team(t);
    std::copy(size.begin(), size.end(), room.workspace.items.size.data);
    solver::arrange(team, p, room.workspace.items.size, solver::lpt_swap(), {0, 0, 0, 0});
    solver::place_longest_first<Integer>(team, p, [](int) { return 1; });
    Chain expected = longest_first_by_definition(size, packs);
    ASSERT_EQ(chain_of(p).pack, expected.pack);
    for (const bool sorted : {true, false}) {
      SCOPED_TRACE(sorted);
      solver::place_longest_first<Integer>(team, p, [](int) { return 1; });
      expected = longest_first_by_definition(size, packs);
      int steps = 0;
      for (; steps < 50 && swap_by_definition(expected); ++steps) {
      }
      solver::refine(team, p, solver::Exchange::kHeaviestWithAny, 50, sorted);
      ASSERT_EQ(chain_of(p).pack, expected.pack) << "case " << t;
      ASSERT_EQ(chain_of(p).load, expected.load);
      swaps += steps;
    }
  }
  EXPECT_GT(swaps, 1000);
}

}  // namespace
}  // namespace eplb::tests
