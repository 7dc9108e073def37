// The kernels of a solve. A block is one warp and works on one chain at a time: (layer, node,
// chain). All of them read and count for themselves, which saves a kernel; the last of a node to be
// done takes the best answer, the last of a layer lists the replicas. Which is last does not change
// what it does.
#pragma once

#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/strategies/all.h"

namespace eplb::cuda {

// Those of a method, which are compiled where this is instantiated.
template <class Method> struct SolveKernels {
  static void prepare(int shared_bytes, cudaStream_t stream);
  static void launch(const SolveTask& task, cudaStream_t stream);
};
// solve_by_excess.cu has these.
extern template struct SolveKernels<solver::ByExcess>;
extern template struct SolveKernels<solver::UnequalBestMethod>;

namespace {

// Without either, of zeros.
struct AnyWeights : LayerWeights {
  __device__ solver::Decoded operator()(int e) const {
    if (whole) return solver::WholeWeights{whole}(e);
    return real ? solver::RealWeights{real}(e) : solver::Decoded{0, 0};
  }
  __device__ AnyWeights in_window(int t) const {
    if (whole_windows) return {{nullptr, whole_windows + t * stride}};
    return {{real_windows ? real_windows + t * stride : nullptr, nullptr}};
  }
  __device__ float as_float(int e) const {
    if (whole) return solver::WholeWeights{whole}.as_float(e);
    return real ? solver::RealWeights{real}.as_float(e) : 0;
  }
};

// What a layer is solved from: of what its numbers cannot hold nothing is left but zeros.
template <class Method>
__device__ AnyWeights weights_of(WarpTeam& team, const DeviceWeights& weights, int64_t layer) {
  if constexpr (!Method::kHoldsAll) {
    const FaultCode fault = weights.float32_fault[layer];
    if (fault != kNoFault) {
      team.single([&] { atomicMin(weights.fault, fault); });
      return {};
    }
  }
  if (weights.whole)
    return {{.real = nullptr,
             .whole = weights.of_layer<int64_t>(weights.sums, layer),
             .whole_windows = weights.of_layer<int64_t>(weights.windows, layer),
             .stride = weights.stride()}};
  return {{.real = weights.of_layer<double>(weights.sums, layer),
           .whole = nullptr,
           .real_windows = weights.of_layer<double>(weights.windows, layer),
           .stride = weights.stride()}};
}

// A block's memory: the method's and the team's.
template <class Method>
EPLB_FN int64_t lay_out(void* memory, Method& method, View<uint64_t>& words) {
  solver::Arena arena(memory);
  method.lay_out(arena);
  words = arena.take<uint64_t>(WarpTeam::workspace_words(method.most_keys()));
  return arena.used();
}
// Where it is, is known to the compiler where all of a method is inlined: loads of shared memory,
// 32-bit addresses. One that calls functions has one kernel for both places.
template <bool kShared, class Method>
__device__ __forceinline__ char* memory_of(const SolveTask& task) {
  if (kShared || (!Method::kInlined && task.spread.chains.shared)) return eplb_shared;
  return task.scratch.workspace + blockIdx.x * task.spread.chains.bytes;
}
template <bool kShared, class Method>
__device__ __forceinline__ WarpTeam begin_block(Method& method, const SolveTask& task) {
  View<uint64_t> words;
  lay_out(memory_of<kShared, Method>(task), method, words);
  return WarpTeam(words);
}

// Of `count` teams that come here each once, all but the last get false. What the others have
// written is then there for it. The counter wraps round to 0, for the next solve.
__device__ bool last_to_arrive(WarpTeam& team, unsigned* arrived, int count) {
  const unsigned last = static_cast<unsigned>(count) - 1;
  unsigned before = 0;
  team.barrier();
  if (threadIdx.x % 32 == 0) {
    __threadfence();
    before = atomicInc(arrived, last);
    __threadfence();
  }
  before = __shfl_sync(kAllLanes, before, 0);
  team.barrier();
  return before == last;
}

__device__ int best_of(WarpTeam& team, View<int> scores, int chains) {
  const int best = team.min(0, chains, [=](int c) { return scores[c]; });
  return team.find(0, chains, [=](int c) { return scores[c] == best; });
}

EPLB_FN solver::Chains range_of(int chain, int chains) {
  return chains == 1 ? solver::all_chains() : solver::Chains{chain, chain + 1};
}

template <class Method>
__device__ __forceinline__ void begin_layer(WarpTeam& team, Method& method, const SolveTask& task,
                                            int64_t layer) {
  method.at_layer(layer);
  method.read(team, weights_of<Method>(team, task.weights, layer));
}

// One chain of one layer; the last chain of a layer takes the best answer.
template <class Method>
__device__ __forceinline__ void pack_piece(WarpTeam& team, Method& method, const SolveTask& task,
                                           int64_t piece) {
  const SolveScratch& scratch = task.scratch;
  const int chains = task.spread.group_chains, groups = task.problem.partition.groups;
  const int64_t layer = piece / chains;
  const int chain = static_cast<int>(piece % chains);
  const View<int> scores{scratch.group_scores + layer * chains},
      place{scratch.group_place + layer * groups};
  begin_layer(team, method, task, layer);
  const int score =
      method.pack_groups(team, range_of(chain, chains), {scratch.group_answers + piece * groups});
  team.single([&] { scores[chain] = score; });
  if (!last_to_arrive(team, scratch.groups_arrived + layer, chains)) return;
  const int64_t best = layer * chains + best_of(team, scores, chains);
  const View<int> answer{scratch.group_answers + best * groups};
  team.for_each(groups, [&](int g) { place[g] = answer[g]; });
}

template <class Method, bool kShared>
__global__ void __launch_bounds__(32, Method::kLeastBlocks) pack_groups(SolveTask task) {
  Method method(task.problem);
  WarpTeam team = begin_block<kShared>(method, task);
  for_each_piece(task.problem.layers * task.spread.group_chains,
                 [&](int64_t piece) EPLB_INLINE { pack_piece(team, method, task, piece); });
}

// GREEDY knows no cap: a layer in which it would exceed one is solved as a layer of zeros, which
// keeps any cap that can be.
template <class Method>
__device__ void keep_cap(WarpTeam& team, Method& method, const SolveTask& task, int64_t layer,
                         const solver::LayerAnswer& answer, const solver::Maps& maps) {
  const int experts = task.problem.experts, cap = task.problem.limits.refused_above;
  const int over = team.find_of(experts, [&](int e) { return maps.replica_count[e] > cap; });
  if (over == experts) return;
  team.single([&] { atomicMin(task.weights.fault, fault_code(layer, over, Fault::kCap)); });
  solver::solve_layer(team, method, AnyWeights{}, answer, maps);
}

__device__ __forceinline__ solver::Maps maps_of(const SolveTask& task, int64_t layer) {
  const int64_t slot = layer * task.problem.cluster.slots;
  return {{task.plan.physical_to_logical + slot},
          {task.plan.replica_count + layer * task.problem.experts},
          {task.plan.replica_slots + slot},
          {task.plan.rank + slot}};
}

// By the last team of a node: takes the best chain's answer. The last one of a layer lists its
// replicas. `unit` counts nodes over all layers; `answer`: memory of the team, for a layer that
// exceeds the cap.
template <class Method>
__device__ __forceinline__ void finish_node(WarpTeam& team, Method& method, const SolveTask& task,
                                            int64_t unit, const solver::LayerAnswer& answer) {
  const Problem& problem = task.problem;
  const int nodes = problem.partition.nodes, chains = task.spread.node_chains;
  const int64_t layer = unit / nodes;
  const solver::Maps maps = maps_of(task, layer);
  const int64_t best = unit * chains + best_of(team, {task.scratch.scores + unit * chains}, chains);
  method.finish_node(team, static_cast<int>(unit % nodes),
                     {task.scratch.answers + best * solver::node_problem(problem).cluster.slots},
                     maps);
  if (!last_to_arrive(team, task.scratch.nodes_arrived + layer, nodes)) return;
  solver::list_replicas(team, problem, method.weight, maps);
  if constexpr (!Method::kHoldsAll)
    if (problem.limits.refused_above > 0) keep_cap(team, method, task, layer, answer, maps);
}

// One chain of one node of one layer.
template <class Method>
__device__ __forceinline__ void solve_piece(WarpTeam& team, Method& method, const SolveTask& task,
                                            int64_t piece) {
  const Partition& partition = task.problem.partition;
  const int chains = task.spread.node_chains, chain = static_cast<int>(piece % chains);
  const int64_t unit = piece / chains, layer = unit / partition.nodes;
  const int node = static_cast<int>(unit % partition.nodes);
  const solver::LayerAnswer answer{
      {task.scratch.group_place + layer * partition.groups},
      {task.scratch.answers + piece * solver::node_problem(task.problem).cluster.slots}};
  begin_layer(team, method, task, layer);
  method.list_members(team, answer.place, method.group_chains() > 0);
  const int score = method.solve_node(team, node, range_of(chain, chains), answer.node);
  team.single([&] { task.scratch.scores[piece] = score; });
  if (last_to_arrive(team, task.scratch.chains_arrived + unit, chains))
    finish_node(team, method, task, unit, answer);
}

template <class Method, bool kShared>
__global__ void __launch_bounds__(32, Method::kLeastBlocks) solve_nodes(SolveTask task) {
  Method method(task.problem);
  WarpTeam team = begin_block<kShared>(method, task);
  for_each_piece(task.problem.layers * task.problem.partition.nodes * task.spread.node_chains,
                 [&](int64_t piece) EPLB_INLINE { solve_piece(team, method, task, piece); });
}

template <class Method, bool kShared> void launch_both(const SolveTask& task, cudaStream_t stream) {
  const auto& [group_chains, node_chains, workspace, evaluation, transfers] = task.spread;
  const int64_t bytes = workspace.shared ? workspace.bytes : 0, layers = task.problem.layers;
  const int64_t nodes = layers * task.problem.partition.nodes;
  if (group_chains > 0)
    cuda::launch(pack_groups<typename Method::Groups, kShared>,
                 grid_of(layers * group_chains, workspace.most_blocks), bytes, stream, task);
  cuda::launch(solve_nodes<Method, kShared>, grid_of(nodes * node_chains, workspace.most_blocks),
               bytes, stream, task);
}

// Both of a method's kernels, and once with nothing to do: the first launch may take memory for
// stacks.
template <class Method, bool kShared> void prepare_both(int shared_bytes, cudaStream_t stream) {
  const bool may_share = kShared || !Method::kInlined;
  cuda::prepare(pack_groups<typename Method::Groups, kShared>, kShared ? shared_bytes : 0);
  cuda::prepare(solve_nodes<Method, kShared>, may_share ? shared_bytes : 0);
  SolveTask nothing{};
  nothing.spread = {1, 1, {0, kShared, 1}, {}, {}};
  launch_both<Method, kShared>(nothing, stream);
}

}  // namespace

template <class Method> void SolveKernels<Method>::prepare(int shared_bytes, cudaStream_t stream) {
  if constexpr (Method::kInlined) prepare_both<Method, true>(shared_bytes, stream);
  prepare_both<Method, false>(shared_bytes, stream);
}
template <class Method>
void SolveKernels<Method>::launch(const SolveTask& task, cudaStream_t stream) {
  if constexpr (Method::kInlined)
    if (task.spread.chains.shared) return launch_both<Method, true>(task, stream);
  launch_both<Method, false>(task, stream);
}

}  // namespace eplb::cuda
