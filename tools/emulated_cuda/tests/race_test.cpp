// The watch for races: it sees what it should, and nothing else.
#include "device_test.h"
#include "race_kernel.h"

namespace eplb::tests {
namespace {

class Race : public DeviceTest {
 protected:
  void run(Way way) {
    int* out = nullptr;
    ASSERT_EQ(cudaMalloc(&out, 32 * sizeof(int)), cudaSuccess);
    ASSERT_EQ(launch(stream, dim3(4), dim3(32), 32 * sizeof(int), exchange, way, out), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    ASSERT_EQ(cudaFree(out), cudaSuccess);
  }
};

TEST_F(Race, IsNotSeenWhereThereIsNone) {
  run(kBarrier);
  run(kAlone);
}

TEST_F(Race, IsSeenWithoutABarrier) { EXPECT_DEATH(run(kShuffle), "a race, no barrier between"); }

TEST_F(Race, IsSeenWhereReadingComesFirst) { EXPECT_DEATH(run(kReadFirst), "lane .* reads"); }

}  // namespace
}  // namespace eplb::tests
