// doReplication and doPlacement of TensorRT-LLM's online load balancer, over libeplb.
//
// The engine has no hook for a planner: remove both functions from
// cpp/tensorrt_llm/runtime/moeLoadBalancer/moeLoadBalancer.cpp, add this file, include the engine's
// moeLoadBalancer.h below, and link with libeplb. Without the engine:
//
//     c++ -std=c++17 tensorrt_llm.cpp tensorrt_llm_main.cpp $(pkg-config --cflags --libs eplb)
//
// The engine calls them in turn for each layer, on the same thread: the first says how many replicas
// each expert gets, the second where they are. Here both come from one solve, kept from the first
// call to the second. It starts from the placement in service, so that few slots are written: what
// stays on a rank keeps its slot. Every rank solves alone, and all get the same answer.
//
// Errors are exceptions, as those of TLLM_CHECK are. What is planned is then what it was.
#include <algorithm>

#include "eplb_context.h"
#include "tensorrt_llm_declarations.h"

namespace tensorrt_llm::runtime {
namespace {

using eplb_example::call;
using kernels::MoeLoadBalanceMetaInfo;

// A layer is good enough at this imbalance, and is brought to it with as few moves as possible.
constexpr double kTarget = 1.02;
// Of a layer; -1: any number.
constexpr int64_t kMostMoves = -1;

bool same_sizes(const MoeLoadBalanceMetaInfo& a, const MoeLoadBalanceMetaInfo& b) {
  return a.expertCount == b.expertCount && a.epSize == b.epSize &&
         a.slotCountPerRank == b.slotCountPerRank;
}

// The plan of one layer. Memory is kept from call to call, the library's as well.
class Planner {
 public:
  // Solves, unless the plan is that of this layer, its loads and its placement already.
  void plan(const MoeLoadBalanceMetaInfo& meta, const float* loads,
            const MoePlacementCpuInfo& info) {
    if (is_planned_ && layer_ == &info && same_sizes(meta, meta_) &&
        std::equal(loads_.begin(), loads_.end(), loads) && has_placement_of(info))
      return;
    is_planned_ = false;
    meta_ = meta;
    layer_ = &info;
    loads_.assign(loads, loads + meta.expertCount);
    read_placement_of(info);
    solve();
    is_planned_ = true;
  }
  const std::vector<int32_t>& replica_counts() const { return counts_; }
  // The expert in each slot, rank by rank.
  const std::vector<int32_t>& placement() const { return placement_; }

 private:
  size_t num_slots() const {
    return static_cast<size_t>(meta_.epSize) * static_cast<size_t>(meta_.slotCountPerRank);
  }
  int32_t slot_in_service(const MoePlacementCpuInfo& info, size_t slot) const {
    const auto places = static_cast<size_t>(meta_.slotCountPerRank);
    const auto& ranks = info.oldRankExpertIds;
    // Before the first placement there may be no lists.
    return slot / places < ranks.size() && slot % places < ranks[slot / places].size()
               ? ranks[slot / places][slot % places]
               : -1;
  }
  bool has_placement_of(const MoePlacementCpuInfo& info) const {
    for (size_t slot = 0; slot < current_.size(); ++slot)
      if (current_[slot] != slot_in_service(info, slot)) return false;
    return true;
  }
  void read_placement_of(const MoePlacementCpuInfo& info) {
    current_.resize(num_slots());
    for (size_t slot = 0; slot < current_.size(); ++slot)
      current_[slot] = slot_in_service(info, slot);
  }
  eplb_solve_options options() const {
    eplb_solve_options options;
    call(eplb_solve_options_init, &options, int64_t{sizeof options});
    // With holes, as before the first placement, all slots are filled afresh: the engine knows no
    // empty ones.
    if (std::find(current_.begin(), current_.end(), -1) != current_.end()) return options;
    options.strategy = EPLB_STRATEGY_REBALANCE;
    options.target = kTarget;
    options.max_moves = kMostMoves;
    return options;
  }
  void solve() {
    const auto experts = static_cast<int64_t>(meta_.expertCount);
    const auto slots = static_cast<int64_t>(num_slots());
    eplb_problem problem;
    call(eplb_problem_init, &problem, int64_t{sizeof problem});
    problem.num_slots = slots;
    problem.num_gpus = meta_.epSize;
    const eplb_solve_options how = options();
    call(eplb_upload_weights, context_.get(), static_cast<const void*>(loads_.data()), experts,
         eplb_dtype{EPLB_FLOAT32}, int64_t{1}, int64_t{1}, experts);
    call(eplb_upload_placement, context_.get(), static_cast<const void*>(current_.data()), slots,
         eplb_dtype{EPLB_INT32}, int64_t{1}, slots);
    call(eplb_solve, context_.get(), static_cast<const eplb_problem*>(&problem), &how);
    fetch(EPLB_MAP_PHYSICAL_TO_LOGICAL, placement_, slots);
    fetch(EPLB_MAP_REPLICA_COUNT, counts_, experts);
  }
  void fetch(eplb_map map, std::vector<int32_t>& into, int64_t length) {
    into.resize(static_cast<size_t>(length));
    call(eplb_fetch_map, context_.get(), map, eplb_dtype{EPLB_INT32},
         static_cast<void*>(into.data()), length);
  }

  eplb_example::Context context_ = eplb_example::make_context();
  bool is_planned_ = false;
  const MoePlacementCpuInfo* layer_ = nullptr;
  MoeLoadBalanceMetaInfo meta_{};
  std::vector<float> loads_;
  std::vector<int32_t> current_, placement_, counts_;
};

// A context serves one call at a time.
Planner& planner_of_thread() {
  thread_local Planner planner;
  return planner;
}

}  // namespace

void doReplication(MoeLoadBalanceMetaInfo meta, float* const loads, MoePlacementCpuInfo* info) {
  Planner& planner = planner_of_thread();
  planner.plan(meta, loads, *info);
  const auto& counts = planner.replica_counts();
  info->expertReplicaCount.assign(counts.begin(), counts.end());
}

void doPlacement(MoeLoadBalanceMetaInfo meta, float* const loads, MoePlacementCpuInfo* info) {
  // Solves only if loads have changed since, or if another layer came in between; the counts then
  // follow, so that both always belong together.
  doReplication(meta, loads, info);
  const auto& placement = planner_of_thread().placement();
  info->rankExpertIds.resize(static_cast<size_t>(meta.epSize));
  auto first = placement.begin();
  for (std::vector<int>& rank : info->rankExpertIds) {
    rank.assign(first, first + meta.slotCountPerRank);
    first += meta.slotCountPerRank;
  }
}

}  // namespace tensorrt_llm::runtime
