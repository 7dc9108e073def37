// How a solve is spread over a device: shared memory of a block, and how many blocks an H200's
// multiprocessor has room for.
#include <gtest/gtest.h>

#include <cstdio>

#include "machines/cuda/kernels/kernels.h"

namespace eplb::cuda {
namespace {

constexpr DeviceLimits kH200{132, 227 << 10};
// The driver takes that of each block.
constexpr int64_t kOfMultiprocessor = 228 << 10, kOfSystem = 1 << 10;

struct Row {
  const char* name;
  solver::Shape shape;
  eplb_strategy strategy;
  eplb_effort effort;
  int chains;          // of a node
  int64_t most_bytes;  // 0: more than a block may have
};

Spread spread_of_row(const Row& row) {
  return spread_of({row.shape, 58, row.strategy, row.effort, 0, false}, kH200);
}

void print(const Row& row, const Spread& spread) {
  const int64_t blocks =
      spread.chains.shared ? kOfMultiprocessor / (spread.chains.bytes + kOfSystem) : 0;
  std::printf("%-28s %3d chains, %7lld bytes of %s memory, %2lld blocks on a multiprocessor\n",
              row.name, spread.node_chains, static_cast<long long>(spread.chains.bytes),
              spread.chains.shared ? "shared" : "global", static_cast<long long>(blocks));
}

TEST(Spread, OfTheSizesThatPeopleHave) {
  const Row rows[] = {
      {"LPT_SWAP 288/32",
       {256, 288, 32, 1, 1, 288, 0},
       EPLB_STRATEGY_LPT_SWAP,
       EPLB_EFFORT_FAST,
       1,
       24 << 10},
      {"NOISE_SPECTRUM 288/32",
       {256, 288, 32, 1, 1, 288, 0},
       EPLB_STRATEGY_NOISE_SPECTRUM,
       EPLB_EFFORT_FAST,
       64,
       24 << 10},
      {"HYBRID_INIT 288/32",
       {256, 288, 32, 1, 1, 288, 0},
       EPLB_STRATEGY_HYBRID_INIT,
       EPLB_EFFORT_FAST,
       97,
       24 << 10},
      {"BEST FAST 288/32",
       {256, 288, 32, 1, 1, 288, 0},
       EPLB_STRATEGY_BEST,
       EPLB_EFFORT_FAST,
       2,
       40 << 10},
      {"BEST NORMAL 320/64",
       {256, 320, 64, 1, 1, 320, 0},
       EPLB_STRATEGY_BEST,
       EPLB_EFFORT_NORMAL,
       3,
       44 << 10},
      {"BEST MAX 384/128",
       {256, 384, 128, 1, 1, 384, 0},
       EPLB_STRATEGY_BEST,
       EPLB_EFFORT_MAX,
       4,
       48 << 10},
      {"BEST NORMAL 288/144",
       {256, 288, 144, 1, 1, 288, 0},
       EPLB_STRATEGY_BEST,
       EPLB_EFFORT_NORMAL,
       1,
       72 << 10},
      {"BEST MAX 80/16",
       {64, 80, 16, 1, 1, 80, 0},
       EPLB_STRATEGY_BEST,
       EPLB_EFFORT_MAX,
       24,
       20 << 10},
      {"BEST NORMAL 24/8, tiny",
       {16, 24, 8, 1, 1, 24, 0},
       EPLB_STRATEGY_BEST,
       EPLB_EFFORT_NORMAL,
       1,
       16 << 10},
      {"BEST FAST 8192/1024",
       {4096, 8192, 1024, 1, 1, 8192, 0},
       EPLB_STRATEGY_BEST,
       EPLB_EFFORT_FAST,
       2,
       0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const Spread spread = spread_of_row(row);
    print(row, spread);
    EXPECT_EQ(spread.node_chains, row.chains);
    EXPECT_EQ(spread.chains.shared, row.most_bytes > 0);
    if (spread.chains.shared) {
      EXPECT_LE(spread.chains.bytes, row.most_bytes);
    }
  }
}

TEST(Spread, OfBounds) {
  const solver::Shape pairs{256, 288, 144, 1, 1, 288, 0}, large{16384, 32768, 1024, 1, 1, 32768, 0};
  for (const bool threshold : {false, true}) {
    const Spread spread =
        spread_of({pairs, 58, EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST, 0, threshold}, kH200);
    EXPECT_TRUE(spread.bounds.shared);
    EXPECT_LE(spread.bounds.bytes, threshold ? 32 << 10 : 16 << 10);
    EXPECT_EQ(spread.bounds.most_blocks, 58);
  }
  EXPECT_FALSE(spread_of({large, 58, EPLB_STRATEGY_GREEDY, EPLB_EFFORT_FAST, 0, false}, kH200)
                   .bounds.shared);
}

// Every chain has a block of its own where that is in shared memory; else blocks take turns.
TEST(Spread, BlocksTakeTurnsOverGlobalMemory) {
  const solver::Shape large{4096, 8192, 1024, 1, 1, 8192, 0}, usual{256, 288, 32, 4, 8, 288, 0};
  EXPECT_EQ(spread_of({large, 3000, EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST, 0, false}, kH200)
                .chains.most_blocks,
            132 * 8);
  EXPECT_EQ(spread_of({usual, 58, EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST, 0, false}, kH200)
                .chains.most_blocks,
            58 * 4 * 2);
  EXPECT_EQ(
      spread_of({usual, 58, EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST, 0, false}, kH200).group_chains,
      1);
}

}  // namespace
}  // namespace eplb::cuda
