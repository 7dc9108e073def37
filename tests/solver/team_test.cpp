// What members of a team return, against their definitions in solver/team/team.h: the host's team
// of one lane and 32 shuffled lanes.
#define EPLB_PLAIN_LANES
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "machines/cpu/host_team.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

using solver::HostTeam;

class OneLane : public HostTeam {
 public:
  explicit OneLane(uint32_t) : OneLane(std::vector<int64_t>(workspace_words(kMostKeys))) {}

 private:
  static constexpr int kMostKeys = 400;
  explicit OneLane(std::vector<int64_t>&& memory)
      : HostTeam(View<int64_t>{memory.data()}), memory_(std::move(memory)) {}

  std::vector<int64_t> memory_;
};

template <class T> class TeamMembers : public testing::Test {
 protected:
  // Values with ties.
  std::vector<int> values(int n) {
    std::vector<int> values(static_cast<size_t>(n) + 64);
    for (int& value : values) value = static_cast<int>(random_() % 50);
    return values;
  }

  std::mt19937 random_{1};
  T team_{7};
};
using Teams = testing::Types<OneLane, ShuffledTeam>;
TYPED_TEST_SUITE(TeamMembers, Teams);

TYPED_TEST(TeamMembers, OrderIsAStableSort) {
  for (const int n : {1, 2, 31, 64, 400}) {
    const std::vector<int> key = this->values(n);
    auto key_of = [&](int i) { return static_cast<uint64_t>(key[i]) << 40; };
    std::vector<int> expected(n), order(n);
    std::iota(expected.begin(), expected.end(), 0);
    std::stable_sort(expected.begin(), expected.end(),
                     [&](int a, int b) { return key[a] < key[b]; });
    this->team_.order(n, {order.data()}, key_of);
    EXPECT_EQ(order, expected);
  }
}

TYPED_TEST(TeamMembers, MinMaxGivesTheFirstOfTheLargest) {
  for (const int n : {1, 2, 31, 64, 400}) {
    const std::vector<int> value = this->values(n);
    const auto loads = this->team_.min_max(n, [&](int i) { return value[i]; });
    const auto end = value.begin() + n;
    EXPECT_EQ(loads.min, *std::min_element(value.begin(), end));
    EXPECT_EQ(loads.max, *std::max_element(value.begin(), end));
    EXPECT_EQ(loads.first_max, std::max_element(value.begin(), end) - value.begin());
  }
}

TYPED_TEST(TeamMembers, NearbyComparesWithEveryValue) {
  for (const int n : {1, 6, 16, 17, 36, 120}) {
    for (const int most : {0, 1, 5, 300, 1 << 20, 1 << 29}) {
      std::vector<int> value = this->values(n), scratch(value.size());
      for (int& v : value) v *= 20000 + v;
      const auto nearby = this->team_.nearby(n, {value.data()}, {scratch.data()}, most);
      for (int trial = 0; trial < 300; ++trial) {
        const int i = trial % n, distance = most - static_cast<int>(this->random_() % 3);
        const int x = value[i] + (trial % 5 - 2) * distance + static_cast<int>(trial % 3) - 1;
        int nearest = solver::kNever;
        for (int j = 0; j < n; ++j) nearest = std::min(nearest, std::abs(x - value[j]));
        EXPECT_EQ(nearby.any(x, distance), nearest < distance) << n << " " << most;
      }
    }
  }
}

TYPED_TEST(TeamMembers, RankAmongEqualsCountsThoseBefore) {
  const int n = 200;
  const std::vector<int> value = this->values(n);
  std::vector<int> seen(50), rank(n);
  this->team_.rank_among_equals(n, {seen.data()}, {rank.data()}, [&](int i) { return value[i]; });
  for (int i = 0; i < n; ++i)
    EXPECT_EQ(rank[i], std::count(value.begin(), value.begin() + i, value[i])) << i;
  for (int v = 0; v < 50; ++v) EXPECT_EQ(seen[v], std::count(value.begin(), value.begin() + n, v));
}

// Every run serves different indices while there are open ones, the least key first; where it is
// longer, all that it has served are open again.
template <class T>
void expect_fill_by_definition(T& team, int n, int most_served, const std::vector<int>& amount,
                               int longest_run) {
  const int steps = static_cast<int>(amount.size());
  std::vector<int> run(steps, 1), keys(n), waiting(2 * n), served(n), order;
  for (int step = 0; step < steps; step += run[step])
    run[step] = std::min(1 + step % longest_run, steps - step);
  team.template fill<solver::Integer>(
      n, {keys.data()}, {waiting.data()}, steps, [&](int step) { return amount[step]; },
      [&](int step) { return run[step]; },
      [&](int, int i, int) {
        order.push_back(i);
        return ++served[i] == most_served;
      });
  ASSERT_EQ(order.size(), amount.size());
  std::vector<int64_t> sum(n);
  std::vector<int> count(n);
  for (int step = 0; step < steps; step += run[step]) {
    std::vector<bool> in_run(n);
    std::vector<int64_t> after = sum;
    auto least_open = [&] {
      int least = -1;
      for (int i = 0; i < n; ++i)
        if (count[i] < most_served && !in_run[i] && (least < 0 || sum[i] < sum[least])) least = i;
      return least;
    };
    for (int at = step; at < step + run[step]; ++at) {
      int expected = least_open();
      if (expected < 0) {
        in_run.assign(n, false);
        sum = after;
        expected = least_open();
      }
      ASSERT_EQ(order[at], expected) << at << " of " << n << " by " << most_served;
      in_run[expected] = true;
      ++count[expected];
      after[expected] += amount[at];
    }
    sum = after;
  }
}

TYPED_TEST(TeamMembers, FillServesTheLeastKeyOfARun) {
  for (const int n : {1, 2, 13, 40, 150})
    for (const int most_served : {1, 2, 5})
      for (const int longest_run : {1, 2, 4}) {
        std::vector<int> level(static_cast<size_t>(n) * most_served), steep, ties(level.size(), 7);
        std::iota(level.rbegin(), level.rend(), 1);
        for (size_t i = 0; i < level.size(); ++i)
          steep.push_back(1 + (1 << 20) / static_cast<int>(i + 1));
        const std::vector<int> zeros(level.size());
        std::vector<int> any = this->values(static_cast<int>(level.size()));
        any.resize(level.size());
        for (const auto& amount : {level, steep, ties, zeros, any})
          expect_fill_by_definition(this->team_, n, most_served, amount, longest_run);
      }
}

}  // namespace
}  // namespace eplb::tests
