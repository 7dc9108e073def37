#include "machines/cpu/ordering.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace eplb::tests {
namespace {

void expect_sorted(const std::vector<uint64_t>& keys) {
  const int n = static_cast<int>(keys.size());
  std::vector<int> expected(n), order(n);
  std::iota(expected.begin(), expected.end(), 0);
  std::stable_sort(expected.begin(), expected.end(),
                   [&](int a, int b) { return keys[a] < keys[b]; });
  const uint64_t least = *std::min_element(keys.begin(), keys.end()),
                 most = *std::max_element(keys.begin(), keys.end());
  std::vector<uint64_t> memory = keys;
  memory.resize(3 * n);
  cpu::sort_indices(memory.data(), n, least, most, order.data());
  EXPECT_EQ(order, expected);
}

TEST(Ordering, IsStableForEveryKindOfKeys) {
  std::mt19937_64 random(1);
  for (const int n : {1, 2, 3, 64, 288, 1023, 1024, 5000}) {
    for (int kind = 0; kind < 7; ++kind) {
      std::vector<uint64_t> keys(n);
      for (int i = 0; i < n; ++i) {
        const uint64_t r = random();
        keys[i] = kind == 0   ? 7                       // all equal
                  : kind == 1 ? r % 5                   // ties
                  : kind == 2 ? r >> 33                 // 31 bits
                  : kind == 3 ? r >> 2                  // 62 bits
                  : kind == 4 ? uint64_t(n - i) * 1000  // descending
                  : kind == 5 ? (i == 0 ? uint64_t{1} << 31
                                        : r % 1000)  // one far from a crowd: insertion gives up
                              : (uint64_t{1} << 40) + r % 100000;  // a narrow range far up
      }
      expect_sorted(keys);
    }
  }
}

}  // namespace
}  // namespace eplb::tests
