// Whether the maps in device memory are one plan's, against a plain definition: a plan, and
// everything that one wrong number makes of it.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "machines/cuda/kernels/kernels.h"

namespace eplb::cuda {
namespace {

constexpr int kLayers = 2, kExperts = 3, kSlots = 5;
constexpr int kMaps = kLayers * (2 * kSlots + kExperts);  // that decide
// The sizes of what a DevicePlan consists of, in its order.
constexpr int kSizes[] = {kLayers * kSlots, kLayers* kSlots, kLayers* kExperts, kLayers* kExperts,
                          kLayers* kSlots};

Problem problem() {
  Problem problem{.layers = kLayers, .experts = kExperts};
  problem.cluster = {.slots = kSlots, .gpus = kSlots};
  return problem;
}

// Every slot of each expert once, and nothing else.
bool is_plan(const int* placement, const int* replica_slots, const int* counts) {
  std::vector<int> rest(replica_slots, replica_slots + kSlots);
  for (int e = 0; e < kExperts; ++e) {
    if (counts[e] < 1 || counts[e] > static_cast<int>(rest.size())) return false;
    for (int i = 0; i < counts[e]; ++i)
      if (rest[i] < 0 || rest[i] >= kSlots || placement[rest[i]] != e) return false;
    rest.erase(rest.begin(), rest.begin() + counts[e]);
  }
  std::vector<int> slots(replica_slots, replica_slots + kSlots);
  std::sort(slots.begin(), slots.end());
  return rest.empty() && std::adjacent_find(slots.begin(), slots.end()) == slots.end();
}

bool are_plans(const std::vector<int>& maps) {
  const int* const slots = maps.data() + kLayers * kSlots;
  const int* const counts = slots + kLayers * kSlots;
  for (int l = 0; l < kLayers; ++l)
    if (!is_plan(&maps[l * kSlots], slots + l * kSlots, counts + l * kExperts)) return false;
  return true;
}

class Consistency : public testing::Test {
 protected:
  Consistency() {
    int ints = 0;
    for (const int size : kSizes) ints += size;
    EXPECT_EQ(cudaMalloc(&block_, ints * sizeof(int)), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&memory_.data, memory_.bytes), cudaSuccess);
    EXPECT_EQ(cudaMemset(block_, 0, ints * sizeof(int)), cudaSuccess);
    int32_t* next = block_;
    int32_t** const parts[] = {&plan_.physical_to_logical, &plan_.replica_slots,
                               &plan_.replica_count, &plan_.first_place, &plan_.rank};
    for (int i = 0; i < 5; ++i) {
      *parts[i] = next;
      next += kSizes[i];
    }
  }
  ~Consistency() override {
    cudaFree(block_);
    cudaFree(memory_.data);
  }

  bool holds(const std::vector<int>& maps) {
    cudaMemcpy(block_, maps.data(), kMaps * sizeof(int), cudaMemcpyHostToDevice);
    return is_consistent(problem(), plan_, memory_, nullptr);
  }
  void count() { launch_first_places(problem(), plan_, memory_, nullptr); }

 private:
  int32_t* block_ = nullptr;
  DevicePlan plan_{};
  ThrustMemory memory_{nullptr, ThrustMemory::bytes_for(kLayers* kSlots)};
};

const std::vector<int> kPlan = {0, 1, 2, 0,      1, /**/ 2, 2, 0, 1, 2,  // physical_to_logical
                                0, 3, 4, 1,      2, /**/ 2, 3, 4, 0, 1,  // replica_slots
                                2, 2, 1, /**/ 1, 1, 3};                  // replica_count

TEST_F(Consistency, NothingIsNoPlan) { EXPECT_FALSE(holds(std::vector<int>(kMaps, 0))); }

TEST_F(Consistency, OfEverythingThatOneNumberMakes) {
  ASSERT_TRUE(are_plans(kPlan));
  EXPECT_FALSE(holds(kPlan));  // nobody has counted
  count();
  for (int i = 0; i < kMaps; ++i)
    for (int value = -1; value <= kSlots + 1; ++value) {
      std::vector<int> maps = kPlan;
      maps[i] = value;
      EXPECT_EQ(holds(maps), are_plans(maps)) << "element " << i << " is " << value;
    }
}

// The check depends on where experts begin, which a solve writes: of other counts they are others.
TEST_F(Consistency, OfTwoNumbers) {
  for (int i = 0; i < kMaps; ++i)
    for (int j = 0; j < i; ++j) {
      std::vector<int> maps = kPlan;
      std::swap(maps[i], maps[j]);
      holds(maps);
      count();
      EXPECT_EQ(holds(maps), are_plans(maps)) << "elements " << i << " and " << j;
    }
}

}  // namespace
}  // namespace eplb::cuda
