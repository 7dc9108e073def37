// How a solve is spread over a device: shared memory of a block, and how many blocks an H200's
// multiprocessor has room for.
#include <gtest/gtest.h>

#include <cstdio>

#include "machines/cuda/kernels/kernels.h"
#include "tests/solver/problems.h"

namespace eplb::cuda {
namespace {

constexpr DeviceLimits kH200{132, 227 << 10};
// The driver takes that of each block.
constexpr int64_t kOfMultiprocessor = 228 << 10, kOfSystem = 1 << 10;

struct Row {
  const char* name;
  tests::Sizes sizes;
  eplb_strategy strategy;
  eplb_effort effort;
  int chains;          // of a node
  int64_t most_bytes;  // 0: more than a block may have
};

Spread spread_of_row(const Row& row) {
  return spread_of(problem_of(row.sizes, tests::options_of(row.strategy, row.effort), 58), kH200);
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
      {"LPT_SWAP 288/32", {256, 288, 32}, EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_FAST, 1, 24 << 10},
      {"NOISE_SPECTRUM 288/32",
       {256, 288, 32},
       EPLB_STRATEGY_NOISE_SPECTRUM,
       EPLB_EFFORT_FAST,
       64,
       24 << 10},
      {"HYBRID_INIT 288/32",
       {256, 288, 32},
       EPLB_STRATEGY_HYBRID_INIT,
       EPLB_EFFORT_FAST,
       97,
       24 << 10},
      {"BEST FAST 288/32", {256, 288, 32}, EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST, 2, 40 << 10},
      {"BEST NORMAL 320/64", {256, 320, 64}, EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL, 3, 44 << 10},
      {"BEST MAX 384/128", {256, 384, 128}, EPLB_STRATEGY_BEST, EPLB_EFFORT_MAX, 4, 48 << 10},
      {"BEST NORMAL 288/144", {256, 288, 144}, EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL, 1, 72 << 10},
      {"BEST MAX 80/16", {64, 80, 16}, EPLB_STRATEGY_BEST, EPLB_EFFORT_MAX, 24, 20 << 10},
      {"BEST NORMAL 24/8, tiny", {16, 24, 8}, EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL, 1, 16 << 10},
      {"BEST FAST 8192/1024", {4096, 8192, 1024}, EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST, 2, 0},
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

TEST(Spread, OfEvaluations) {
  const tests::Sizes pairs{256, 288, 144}, large{16384, 32768, 1024};
  for (const bool threshold : {false, true}) {
    const Spread spread =
        spread_of(problem_of(pairs, tests::options_of(EPLB_STRATEGY_BEST), 58,
                             threshold ? EPLB_BOUND_THRESHOLD : EPLB_BOUND_SIMPLE),
                  kH200);
    EXPECT_TRUE(spread.evaluation.shared);
    EXPECT_LE(spread.evaluation.bytes, threshold ? 32 << 10 : 16 << 10);
    EXPECT_EQ(spread.evaluation.most_blocks, 58);
  }
  EXPECT_FALSE(spread_of(problem_of(large, tests::options_of(EPLB_STRATEGY_GREEDY), 58), kH200)
                   .evaluation.shared);
}

// Every chain has a block of its own where that is in shared memory; else blocks take turns.
TEST(Spread, BlocksTakeTurnsOverGlobalMemory) {
  const tests::Sizes large{4096, 8192, 1024}, usual{256, 288, 32, 4, 8};
  EXPECT_EQ(spread_of(problem_of(large, tests::options_of(EPLB_STRATEGY_BEST), 3000), kH200)
                .chains.most_blocks,
            132 * 8);
  EXPECT_EQ(spread_of(problem_of(usual, tests::options_of(EPLB_STRATEGY_BEST), 58), kH200)
                .chains.most_blocks,
            58 * 4 * 2);
  EXPECT_EQ(
      spread_of(problem_of(usual, tests::options_of(EPLB_STRATEGY_BEST), 58), kH200).group_chains,
      1);
}

}  // namespace
}  // namespace eplb::cuda
