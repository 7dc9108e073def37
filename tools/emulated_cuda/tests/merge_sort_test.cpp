// The fake of cub::WarpMergeSort against the standard library.
#include <algorithm>
#include <cub/warp/warp_merge_sort.cuh>
#include <random>

#include "device_test.h"

namespace eplb::tests {
namespace {

class MergeSort : public DeviceTest {};
struct Less {
  __device__ bool operator()(unsigned long long a, unsigned long long b) const { return a < b; }
};

template <int kItems> __global__ void sort_pairs(unsigned long long* keys, int* values) {
  using Sort = cub::WarpMergeSort<unsigned long long, kItems, 32, int>;
  static_assert(sizeof(typename Sort::TempStorage) == (kItems * 32 + 1) * 8);
  auto& storage = *reinterpret_cast<typename Sort::TempStorage*>(eplb_shared);
  unsigned long long own_keys[kItems];
  int own_values[kItems];
  for (int i = 0; i < kItems; ++i) {
    own_keys[i] = keys[threadIdx.x * kItems + i];
    own_values[i] = values[threadIdx.x * kItems + i];
  }
  Sort(storage).Sort(own_keys, own_values, Less());
  for (int i = 0; i < kItems; ++i) {
    keys[threadIdx.x * kItems + i] = own_keys[i];
    values[threadIdx.x * kItems + i] = own_values[i];
  }
}

template <int kItems> void check(cudaStream_t stream, unsigned seed) {
  constexpr int kCount = 32 * kItems;
  std::mt19937 random(seed);
  Pinned<unsigned long long> keys(kCount);
  Pinned<int> values(kCount);
  std::vector<std::pair<unsigned long long, int>> expected;
  for (int i = 0; i < kCount; ++i) {
    keys[i] = random() % 40;  // many are equal
    values[i] = i;
    expected.emplace_back(keys[i], i);
  }
  std::stable_sort(expected.begin(), expected.end(),
                   [](auto& a, auto& b) { return a.first < b.first; });
  cudaLaunchConfig_t config = {1, 32, (kCount + 1) * 8, stream, nullptr, 0};
  ASSERT_EQ(cudaLaunchKernelEx(&config, sort_pairs<kItems>, keys.data, values.data), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  for (int i = 0; i < kCount; ++i) {
    EXPECT_EQ(keys[i], expected[i].first);
    EXPECT_EQ(values[i], expected[i].second);
  }
}

TEST_F(MergeSort, IsStable) {
  for (unsigned seed = 0; seed < 5; ++seed) {
    check<1>(stream, seed);
    check<2>(stream, seed);
    check<5>(stream, seed);
    check<16>(stream, seed);
  }
}

__global__ void sort_some(unsigned* keys, int valid) {
  __shared__ typename cub::WarpMergeSort<unsigned, 2>::TempStorage storage;
  unsigned own[2] = {keys[threadIdx.x * 2], keys[threadIdx.x * 2 + 1]};
  cub::WarpMergeSort<unsigned, 2>(storage).Sort(
      own, [](unsigned a, unsigned b) { return a < b; }, valid, ~0u);
  keys[threadIdx.x * 2] = own[0];
  keys[threadIdx.x * 2 + 1] = own[1];
}

TEST_F(MergeSort, KeysAloneAndFewer) {
  Pinned<unsigned> keys(64);
  for (unsigned i = 0; i < 64; ++i) keys[i] = (i * 37) % 64;
  launch(stream, 1, 32, 0, sort_some, keys.data, 40);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_TRUE(std::is_sorted(keys.data, keys.data + 64));
  EXPECT_EQ(std::count(keys.data, keys.data + 64, ~0u), 24);
}

}  // namespace
}  // namespace eplb::tests
