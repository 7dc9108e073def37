// Stands in for moeLoadBalancer.h and moeLoadBalanceCommon.h of TensorRT-LLM, so that the planner can
// be compiled and run without the engine: only what the planner reads and writes, under its names.
#ifndef TENSORRT_LLM_DECLARATIONS_H
#define TENSORRT_LLM_DECLARATIONS_H

#include <vector>

namespace tensorrt_llm::kernels {

struct MoeLoadBalanceMetaInfo {
  int expertCount;
  int topK;
  int epRank;
  int epSize;
  int slotCountPerRank;
};

}  // namespace tensorrt_llm::kernels

namespace tensorrt_llm::runtime {

struct MoePlacementCpuInfo {
  std::vector<int> expertReplicaCount;             // [experts]
  std::vector<std::vector<int>> rankExpertIds;     // [ranks][slots]: what is planned
  std::vector<std::vector<int>> oldRankExpertIds;  // [ranks][slots]: what is in service
};

void doReplication(kernels::MoeLoadBalanceMetaInfo meta, float* loads, MoePlacementCpuInfo* info);
void doPlacement(kernels::MoeLoadBalanceMetaInfo meta, float* loads, MoePlacementCpuInfo* info);

}  // namespace tensorrt_llm::runtime

#endif
