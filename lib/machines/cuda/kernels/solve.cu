// Solving on the device. A block is one warp and works on one chain at a time: (layer, node,
// chain). All of them read and count for themselves, which saves a kernel; the last of a node to be
// done takes the best answer, the last of a layer lists the replicas. Which is last does not change
// what it does.
#include <algorithm>

#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/strategies/all.h"

namespace eplb::cuda {
namespace {

struct AnyWeights {
  enum Kind { kReal, kWhole, kZero } kind;
  const void* data;

  __device__ solver::Decoded operator()(int e) const {
    if (kind == kZero) return {0, 0};
    return kind == kWhole ? solver::WholeWeights{static_cast<const int64_t*>(data)}(e)
                          : solver::RealWeights{static_cast<const double*>(data)}(e);
  }
  __device__ float as_float(int e) const {
    if (kind == kZero) return 0;
    return kind == kWhole ? solver::WholeWeights{static_cast<const int64_t*>(data)}.as_float(e)
                          : solver::RealWeights{static_cast<const double*>(data)}.as_float(e);
  }
};

// What a layer is solved from: of what its numbers cannot hold nothing is left but zeros.
template <class Method>
__device__ AnyWeights weights_of(WarpTeam& team, const DeviceWeights& weights, int64_t layer) {
  if constexpr (!Method::kHoldsAll) {
    const FaultCode fault = weights.float32_fault[layer];
    if (fault != kNoFault) {
      team.single([&] { atomicMin(weights.fault, fault); });
      return {AnyWeights::kZero, nullptr};
    }
  }
  const int64_t first = layer * weights.experts;
  if (weights.whole) return {AnyWeights::kWhole, static_cast<const int64_t*>(weights.sums) + first};
  return {AnyWeights::kReal, static_cast<const double*>(weights.sums) + first};
}

// A block's memory: the method's and the team's.
template <class Method>
EPLB_FN int64_t lay_out(void* memory, Method& method, View<uint64_t>& words) {
  solver::Arena arena(memory);
  method.lay_out(arena);
  const Cluster node = solver::node_problem(method.problem).cluster;
  const int most_keys =
      solver::larger(solver::larger(node.slots, method.problem.partition.groups), node.gpus);
  words = arena.take<uint64_t>(WarpTeam::workspace_words(most_keys));
  return arena.used();
}
template <bool kShared, class Method>
__device__ __forceinline__ WarpTeam begin_block(Method& method, const Spread& spread,
                                                const SolveScratch& scratch) {
  View<uint64_t> words;
  if constexpr (kShared)  // known to the compiler: loads of shared memory, 32-bit addresses
    lay_out(eplb_shared, method, words);
  else
    lay_out(scratch.workspace + blockIdx.x * spread.chains.bytes, method, words);
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

EPLB_FN solver::Chains chains_of(int chain, int chains) {
  return chains == 1 ? solver::all_chains() : solver::Chains{chain, chain + 1};
}

// One chain of one layer; the last chain of a layer takes the best answer.
template <class Method>
__device__ __forceinline__ void pack_piece(WarpTeam& team, Method& method, const Problem& problem,
                                           int chains, const DeviceWeights& weights,
                                           const SolveScratch& scratch, int64_t piece) {
  const int64_t layer = piece / chains;
  const int groups = problem.partition.groups, chain = static_cast<int>(piece % chains);
  const View<int> scores{scratch.group_scores + layer * chains};
  const View<int> place{scratch.group_place + layer * groups};
  method.read(team, weights_of<Method>(team, weights, layer));
  const int score =
      method.pack_groups(team, chains_of(chain, chains), {scratch.group_answers + piece * groups});
  team.single([&] { scores[chain] = score; });
  if (!last_to_arrive(team, scratch.groups_arrived + layer, chains)) return;
  const int64_t best = layer * chains + best_of(team, scores, chains);
  const View<int> answer{scratch.group_answers + best * groups};
  team.for_each(groups, [&](int g) { place[g] = answer[g]; });
}

template <class Method, bool kShared>
__global__ void __launch_bounds__(32, Method::kLeastBlocks)
    pack_groups(Problem problem, Spread spread, DeviceWeights weights, SolveScratch scratch) {
  Method method(problem);
  WarpTeam team = begin_block<kShared>(method, spread, scratch);
  const int chains = spread.group_chains;
  for_each_piece(problem.layers * chains, [&](int64_t piece) EPLB_INLINE {
    pack_piece(team, method, problem, chains, weights, scratch, piece);
  });
}

// GREEDY knows no cap: a layer in which it would exceed one is solved as a layer of zeros, which
// keeps any cap that can be.
template <class Method>
__device__ void keep_cap(WarpTeam& team, Method& method, const Problem& problem, int64_t layer,
                         FaultCode* fault, const solver::LayerAnswer& answer,
                         const solver::Maps& maps) {
  const int experts = problem.experts;
  const int over = team.find_of(
      experts, [&](int e) { return maps.replica_count[e] > problem.limits.refused_above; });
  if (over == experts) return;
  team.single([&] { atomicMin(fault, fault_code(layer, over, Fault::kCap)); });
  solver::solve_layer(team, method, AnyWeights{AnyWeights::kZero, nullptr}, answer, maps);
}

__device__ __forceinline__ solver::Maps maps_of(const DevicePlan& plan, const Problem& problem,
                                                int64_t layer) {
  const int64_t slot = layer * problem.cluster.slots;
  return {{plan.physical_to_logical + slot},
          {plan.replica_count + layer * problem.experts},
          {plan.replica_slots + slot},
          {plan.rank + slot}};
}

// By the last team of a layer. `answer`: memory of the team, for a layer that exceeds the cap.
template <class Method>
__device__ __forceinline__ void finish_layer(WarpTeam& team, Method& method, const Problem& problem,
                                             int64_t layer, const DeviceWeights& weights,
                                             const solver::LayerAnswer& answer,
                                             const solver::Maps& maps) {
  solver::list_replicas(team, problem, method.weight, maps);
  if constexpr (!Method::kHoldsAll)
    if (problem.limits.refused_above > 0)
      keep_cap(team, method, problem, layer, weights.fault, answer, maps);
}

// By the last team of a node: takes the best chain's answer. `unit` counts nodes over all layers.
template <class Method>
__device__ __forceinline__ void finish_node(WarpTeam& team, Method& method, const Problem& problem,
                                            int64_t unit, int chains, const DeviceWeights& weights,
                                            const SolveScratch& scratch, const DevicePlan& plan,
                                            const solver::LayerAnswer& answer) {
  const int nodes = problem.partition.nodes;
  const int64_t layer = unit / nodes;
  const solver::Maps maps = maps_of(plan, problem, layer);
  const int64_t best = unit * chains + best_of(team, {scratch.scores + unit * chains}, chains);
  method.finish_node(team, static_cast<int>(unit % nodes),
                     {scratch.answers + best * solver::node_problem(problem).cluster.slots}, maps);
  if (last_to_arrive(team, scratch.nodes_arrived + layer, nodes))
    finish_layer(team, method, problem, layer, weights, answer, maps);
}

// One chain of one node of one layer.
template <class Method>
__device__ __forceinline__ void solve_piece(WarpTeam& team, Method& method, const Problem& problem,
                                            int chains, const DeviceWeights& weights,
                                            const SolveScratch& scratch, const DevicePlan& plan,
                                            int64_t piece) {
  const int64_t unit = piece / chains, layer = unit / problem.partition.nodes;
  const int node = static_cast<int>(unit % problem.partition.nodes);
  const int chain = static_cast<int>(piece % chains);
  const solver::LayerAnswer answer{
      {scratch.group_place + layer * problem.partition.groups},
      {scratch.answers + piece * solver::node_problem(problem).cluster.slots}};
  method.read(team, weights_of<Method>(team, weights, layer));
  method.list_members(team, answer.place, method.group_chains() > 0);
  const int score = method.solve_node(team, node, chains_of(chain, chains), answer.node);
  team.single([&] { scratch.scores[piece] = score; });
  if (last_to_arrive(team, scratch.chains_arrived + unit, chains))
    finish_node(team, method, problem, unit, chains, weights, scratch, plan, answer);
}

template <class Method, bool kShared>
__global__ void __launch_bounds__(32, Method::kLeastBlocks)
    solve_nodes(Problem problem, Spread spread, DeviceWeights weights, SolveScratch scratch,
                DevicePlan plan) {
  Method method(problem);
  WarpTeam team = begin_block<kShared>(method, spread, scratch);
  const int chains = spread.node_chains;
  for_each_piece(problem.layers * problem.partition.nodes * chains, [&](int64_t piece) EPLB_INLINE {
    solve_piece(team, method, problem, chains, weights, scratch, plan, piece);
  });
}

template <class Method, bool kShared>
void launch_method(const Problem& problem, const Spread& spread, const DeviceWeights& weights,
                   const SolveScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  const int64_t bytes = kShared ? spread.chains.bytes : 0;
  if (spread.group_chains > 0)
    launch(pack_groups<Method, kShared>,
           grid_of(problem.layers * spread.group_chains, spread.chains.most_blocks), bytes, stream,
           problem, spread, weights, scratch);
  launch(solve_nodes<Method, kShared>,
         grid_of(problem.layers * problem.partition.nodes * spread.node_chains,
                 spread.chains.most_blocks),
         bytes, stream, problem, spread, weights, scratch, plan);
}

// Both of a method's kernels, and once with nothing to do: the first launch may take memory for
// stacks.
template <class Method, bool kShared> void prepare_method(int shared_bytes, cudaStream_t stream) {
  prepare(pack_groups<Method, kShared>, kShared ? shared_bytes : 0);
  prepare(solve_nodes<Method, kShared>, kShared ? shared_bytes : 0);
  const Problem nothing{};
  launch_method<Method, kShared>(nothing, {1, 1, {0, kShared, 1}, {}}, {}, {}, {}, stream);
}

}  // namespace

void prepare_kernels(const DeviceLimits& limits, cudaStream_t stream) {
  for (const eplb_strategy strategy :
       {EPLB_STRATEGY_GREEDY, EPLB_STRATEGY_LPT_SWAP, EPLB_STRATEGY_BEST})
    solver::with_method({.options = {.strategy = strategy}}, [&](auto method) {
      prepare_method<decltype(method), true>(limits.shared_bytes, stream);
      prepare_method<decltype(method), false>(limits.shared_bytes, stream);
    });
  prepare_sum();
  prepare_maps(stream);
  prepare_evaluation(limits.shared_bytes, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

Spread spread_of(const Problem& problem, const DeviceLimits& limits) {
  return solver::with_method(problem, [&](auto method) {
    View<uint64_t> words;
    const int group_chains = method.group_chains(), node_chains = method.node_chains();
    const int64_t chains =
        std::max<int64_t>(problem.partition.nodes * int64_t{node_chains}, group_chains);
    return Spread{
        group_chains, node_chains,
        workspace_of(lay_out(nullptr, method, words), problem.layers * chains, limits),
        evaluation_workspace(problem,
                             {true, true, true, problem.options.bound_kind == EPLB_BOUND_THRESHOLD},
                             false, limits)};
  });
}

void launch_solve(const Problem& problem, const Spread& spread, const DeviceWeights& weights,
                  const SolveScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  solver::with_method(problem, [&](auto method) {
    using Method = decltype(method);
    const auto launch_it =
        spread.chains.shared ? launch_method<Method, true> : launch_method<Method, false>;
    launch_it(problem, spread, weights, scratch, plan, stream);
  });
  launch_first_places(problem, plan, scratch.thrust, stream);
}

}  // namespace eplb::cuda
