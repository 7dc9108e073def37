// The yardstick of time: greedy placement as inference engines write it in C++.
#pragma once

#include <cstdint>
#include <vector>

namespace bench {

// One model: weights [layers, experts] in, physical_to_logical [layers, slots] out. Slots are a
// multiple of gpus. Returns the imbalance, as the engines do for their logs: largest over mean GPU
// load, mean over layers.
double heap_greedy(const std::vector<float>& weights, int layers, int experts, int slots, int gpus,
                   std::vector<int32_t>& physical_to_logical);

}  // namespace bench
