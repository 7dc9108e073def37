// Lanes, warps and blocks.
#include <numeric>
#include <set>

#include "device_test.h"

namespace eplb::tests {
namespace {

class Warp : public DeviceTest {};
using WarpDeathTest = Warp;
constexpr unsigned kAll = 0xffffffffu;

__global__ void meet_often(long long* out) {
  const int lane = static_cast<int>(threadIdx.x);
  long long* own = out + lane * 16;
  own[0] = __shfl_sync(kAll, lane * 10, 5);
  own[1] = __shfl_xor_sync(kAll, lane, 3);
  own[2] = __shfl_up_sync(kAll, lane, 1);
  own[3] = __shfl_down_sync(kAll, lane, 4, 8);
  own[4] = __ballot_sync(kAll, lane % 3 == 0);
  own[5] = __any_sync(kAll, lane == 31) + 2 * __all_sync(kAll, lane < 31) +
           4 * __all_sync(kAll, lane < 32);
  own[6] = __reduce_min_sync(kAll, 7 - lane);
  own[7] = __reduce_max_sync(kAll, 7u - lane);
  own[8] = __reduce_add_sync(kAll, lane);
  own[9] = __match_any_sync(kAll, lane / 4);
  own[10] = __shfl_xor_sync(kAll, (1LL << 40) + lane, 16);
  own[11] =
      static_cast<long long>(8 * __shfl_sync(kAll, 0.125f * static_cast<float>(lane), lane + 1));
}

TEST_F(Warp, IntrinsicsGiveWhatAGpuGives) {
  Pinned<long long> out(32 * 16);
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(launch(stream, 1, 32, 0, meet_often, out.data), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    for (int lane = 0; lane < 32; ++lane) {
      const long long* own = out.data + lane * 16;
      EXPECT_EQ(own[0], 50);
      EXPECT_EQ(own[1], lane ^ 3);
      EXPECT_EQ(own[2], lane ? lane - 1 : 0);
      EXPECT_EQ(own[3], lane % 8 < 4 ? lane + 4 : lane);
      EXPECT_EQ(own[4], 0x49249249);
      EXPECT_EQ(own[5], 5);
      EXPECT_EQ(own[6], 7 - 31);
      EXPECT_EQ(own[7], 0xffffffffLL);
      EXPECT_EQ(own[8], 31 * 16);
      EXPECT_EQ(own[9], 0xfLL << (lane / 4 * 4));
      EXPECT_EQ(own[10], (1LL << 40) + (lane ^ 16));
      EXPECT_EQ(own[11], (lane + 1) % 32);
    }
  }
}

__global__ void note_order(int* order, int* next) {
  order[atomicAdd(next, 1)] = static_cast<int>(threadIdx.x);
}

TEST_F(Warp, LanesTakeTheirTurnsByChance) {
  std::set<std::vector<int>> orders;
  for (int round = 0; round < 10; ++round) {
    Pinned<int> order(32), next(1);
    launch(stream, 1, 32, 0, note_order, order.data, next.data);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    orders.insert(order.all());
    std::vector<int> sorted = order.all(), all(32);
    std::sort(sorted.begin(), sorted.end());
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(sorted, all);
  }
  EXPECT_EQ(orders.size(), 10u);
}

// Right only by luck: what is read was not waited for.
__global__ void read_too_early(int* slots, int* out) {
  const unsigned lane = threadIdx.x;
  slots[lane] = 1;
  out[lane] = slots[(lane + 1) % 32];
}

TEST_F(Warp, AMissingBarrierShows) {
  Pinned<int> slots(32), out(32);
  launch(stream, 1, 32, 0, read_too_early, slots.data, out.data);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_LT(std::accumulate(out.data, out.data + 32, 0), 32);
}

// The example: dynamic shared memory, several warps, several blocks. Each block writes the sum of
// its lanes' numbers.
__global__ void __launch_bounds__(128) sum_blocks(const int* numbers, int* sums) {
  int* shared = reinterpret_cast<int*>(eplb_shared);
  const unsigned lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
  const int sum = __reduce_add_sync(kAll, numbers[blockIdx.x * blockDim.x + threadIdx.x]);
  if (lane == 0) shared[warp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  int total = 0;
  for (unsigned w = 0; w < blockDim.x / warpSize; ++w) total += shared[w];
  sums[blockIdx.x] = total;
}

TEST_F(Warp, BlocksOfSeveralWarpsShareMemory) {
  constexpr int kBlocks = 7, kThreads = 128;
  Pinned<int> numbers(kBlocks * kThreads), sums(kBlocks);
  for (int i = 0; i < kBlocks * kThreads; ++i) numbers[i] = i;
  int *device_numbers = nullptr, *device_sums = nullptr;
  ASSERT_EQ(cudaMalloc(&device_numbers, kBlocks * kThreads * sizeof(int)), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&device_sums, kBlocks * sizeof(int)), cudaSuccess);
  cudaMemcpyAsync(device_numbers, numbers.data, kBlocks * kThreads * sizeof(int),
                  cudaMemcpyHostToDevice, stream);
  ASSERT_EQ(
      launch(stream, kBlocks, kThreads, 4 * sizeof(int), sum_blocks, device_numbers, device_sums),
      cudaSuccess);
  cudaMemcpyAsync(sums.data, device_sums, kBlocks * sizeof(int), cudaMemcpyDeviceToHost, stream);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  for (int b = 0; b < kBlocks; ++b)
    EXPECT_EQ(sums[b], kThreads * (kThreads * b) + kThreads * (kThreads - 1) / 2);
  EXPECT_EQ(cudaFree(device_numbers), cudaSuccess);
  EXPECT_EQ(cudaFree(device_sums), cudaSuccess);
}

}  // namespace
}  // namespace eplb::tests
namespace eplb::cuda {
__global__ void use_alias(int* same) {
  extern __shared__ __align__(128) char eplb_shared[];
  *same = &eplb_shared[0] == &::eplb_shared[0];
}
}  // namespace eplb::cuda
namespace eplb::tests {
namespace {

TEST_F(Warp, SharedMemoryMayBeDeclaredInAFunction) {
  Pinned<int> same(1);
  launch(stream, 1, 1, 16, cuda::use_alias, same.data);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(same[0], 1);
}

__global__ void diverge() {
  if (threadIdx.x < 7)
    __syncwarp();
  else
    __shfl_sync(kAll, 1, 0);
}
__global__ void leave_early() {
  if (threadIdx.x != 9) __ballot_sync(kAll, 1);
}
__global__ void diverge_at_barrier() {
  if (threadIdx.x % 32 == 3)
    __syncthreads();
  else
    __syncwarp();
}
__global__ void half_mask() { __syncwarp(0xffff); }
__global__ void write_behind() { eplb_shared[64] = static_cast<char>(eplb_shared[64] + 1); }

TEST_F(WarpDeathTest, LanesThatNeverMeetAreNamed) {
  const auto run = [&](size_t shared, void (*kernel)(), int threads = 32) {
    launch(stream, 1, threads, shared, kernel);
    cudaStreamSynchronize(stream);
  };
  EXPECT_DEATH(run(0, diverge), "__syncwarp.*__shfl_sync|__shfl_sync.*__syncwarp");
  EXPECT_DEATH(run(0, leave_early), "lane 9 .*exited|exited.*__ballot_sync|__ballot_sync.*exited");
  EXPECT_DEATH(run(0, diverge_at_barrier, 64), "__syncthreads");
  EXPECT_DEATH(run(0, half_mask), "only the full mask");
  EXPECT_DEATH(run(64, write_behind), "behind the 64 bytes|use-after-poison");
}

__global__ void trap_in_one() {
  __syncwarp();
  if (threadIdx.x == 4) __trap();
  __syncwarp();
}

TEST_F(Warp, ATrapBreaksTheContext) {
  ASSERT_EQ(launch(stream, 1, 32, 0, trap_in_one), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 1), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);  // it stays
  emulation_heal();
  cudaSetDevice(0);
  Pinned<int> out(1);
  launch(stream, 1, 32, 0, put, out.data, 5);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(out[0], 5);
}

__global__ void atomics(unsigned long long* sum, int* least, unsigned* locked, int* counter) {
  atomicAdd(sum, threadIdx.x);
  atomicMin(least, -static_cast<int>(threadIdx.x));
  while (atomicCAS(locked, 0u, 1u) != 0u) {
  }
  *counter += 1;
  atomicExch(locked, 0u);
}

TEST_F(Warp, AtomicsAndLocks) {
  Pinned<unsigned long long> sum(1);
  Pinned<int> least(1), counter(1);
  Pinned<unsigned> locked(1);
  launch(stream, 3, 64, 0, atomics, sum.data, least.data, locked.data, counter.data);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(sum[0], 3 * 63 * 32ull);
  EXPECT_EQ(least[0], -63);
  EXPECT_EQ(counter[0], 3 * 64);
}

__global__ void meet_many(int rounds, int* out) {
  int sum = static_cast<int>(threadIdx.x);
  for (int i = 0; i < rounds; ++i) sum = __reduce_add_sync(kAll, sum) & 0xff;
  *out = sum;
}

TEST_F(Warp, MeetingsAreQuick) {
  Pinned<int> out(1);
  launch(stream, 1, 32, 0, meet_many, 20000, out.data);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
}

}  // namespace
}  // namespace eplb::tests
