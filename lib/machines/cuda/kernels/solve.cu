// Solving on the device. A block is one warp and works on one chain at a time: (layer, node, chain). All of them read and count
// for themselves, which saves a kernel; the last of a node to be done takes the best answer, the last of a layer lists the
// replicas. Which is last does not change what it does.
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
template <class Method> __device__ AnyWeights weights_of(WarpTeam& team, const DeviceWeights& weights, int64_t layer) {
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
template <class Method> EPLB_FN int64_t lay_out(void* memory, Method& method, View<uint64_t>& room) {
  solver::Arena arena(memory);
  method.lay_out(arena);
  const solver::Shape& shape = method.shape;
  const int most_keys = solver::larger(solver::larger(shape.node_slots(), shape.groups), shape.node_gpus());
  room = arena.take<uint64_t>(WarpTeam::workspace_words(most_keys));
  return arena.used();
}
template <bool kShared, class Method>
__device__ __forceinline__ WarpTeam begin_block(Method& method, const Spread& spread, const SolveRoom& room) {
  View<uint64_t> words;
  if constexpr (kShared)  // known to the compiler: loads of shared memory, 32-bit addresses
    lay_out(eplb_shared, method, words);
  else
    lay_out(room.workspace + blockIdx.x * spread.chains.bytes, method, words);
  return WarpTeam(words);
}

// Of `count` teams that come here each once, all but the last get false. What the others have written is then there for it.
// The counter wraps round to 0, for the next solve.
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

template <class Method, bool kShared>
__global__ void __launch_bounds__(32, Method::kLeastBlocks)
    pack_groups(typename Method::Setting setting, SolveTask task, Spread spread, DeviceWeights weights,
                SolveRoom room) {
  Method method{setting, task.shape};
  WarpTeam team = begin_block<kShared>(method, spread, room);
  const int chains = spread.group_chains, groups = task.shape.groups;
  for_each_piece(task.layers * chains, [&](int64_t i) EPLB_INLINE {
    const int64_t layer = i / chains;
    const View<int> scores{room.group_scores + layer * chains}, place{room.group_place + layer * groups};
    method.read(team, weights_of<Method>(team, weights, layer));
    const int chain = static_cast<int>(i % chains);
    const int score = method.pack_groups(team, chains_of(chain, chains), {room.group_answers + i * groups});
    team.single([&] { scores[chain] = score; });
    if (!last_to_arrive(team, room.groups_arrived + layer, chains)) return;
    const View<int> answer{room.group_answers + (layer * chains + best_of(team, scores, chains)) * groups};
    team.for_each(groups, [&](int g) { place[g] = answer[g]; });
  });
}

// GREEDY knows no cap: a layer in which it would exceed one is solved as a layer of zeros, which keeps any cap that can be.
template <class Method>
__device__ void keep_cap(WarpTeam& team, Method& method, const SolveTask& task, int64_t layer, FaultCode* fault,
                         const solver::LayerAnswer& answer, const solver::Maps& maps) {
  const int experts = task.shape.experts;
  const int over = team.find_of(experts, [&](int e) { return maps.replica_count[e] > task.cap; });
  if (over == experts) return;
  team.single([&] { atomicMin(fault, fault_code(layer, over, Fault::kCap)); });
  solver::solve_layer(team, method, AnyWeights{AnyWeights::kZero, nullptr}, answer, maps);
}

template <class Method, bool kShared>
__global__ void __launch_bounds__(32, Method::kLeastBlocks)
    solve_nodes(typename Method::Setting setting, SolveTask task, Spread spread, DeviceWeights weights, SolveRoom room,
                DevicePlan plan) {
  Method method{setting, task.shape};
  WarpTeam team = begin_block<kShared>(method, spread, room);
  const int chains = spread.node_chains, nodes = task.shape.nodes, slots = task.shape.node_slots();
  for_each_piece(task.layers * nodes * chains, [&](int64_t i) EPLB_INLINE {
    const int64_t unit = i / chains, layer = unit / nodes;
    const int node = static_cast<int>(unit % nodes), chain = static_cast<int>(i % chains);
    const View<int> scores{room.scores + unit * chains}, place{room.group_place + layer * task.shape.groups};
    const int64_t first_slot = layer * task.shape.slots;
    const solver::Maps maps{{plan.physical_to_logical + first_slot},
                            {plan.replica_count + layer * task.shape.experts},
                            {plan.replica_slots + first_slot},
                            {plan.rank + first_slot}};
    method.read(team, weights_of<Method>(team, weights, layer));
    method.place_groups(team, place);
    const int score = method.solve_node(team, node, chains_of(chain, chains), {room.answers + i * slots});
    team.single([&] { scores[chain] = score; });
    if (!last_to_arrive(team, room.chains_arrived + unit, chains)) return;
    const int64_t best = unit * chains + best_of(team, scores, chains);
    method.finish_node(team, node, {room.answers + best * slots}, maps);
    if (!last_to_arrive(team, room.nodes_arrived + layer, nodes)) return;
    solver::list_replicas(team, task.shape, method.layer.weight, maps);
    if constexpr (!Method::kHoldsAll)
      if (task.cap > 0) keep_cap(team, method, task, layer, weights.fault, {place, {room.answers + i * slots}}, maps);
  });
}

template <class Use> auto with_method(const SolveTask& task, Use use) {
  return solver::with_method(task.strategy, task.effort, task.shape, use);
}

template <class Method, bool kShared>
void launch_method(const typename Method::Setting& setting, const SolveTask& task, const Spread& spread,
                   const DeviceWeights& weights, const SolveRoom& room, const DevicePlan& plan, cudaStream_t stream) {
  const int64_t bytes = kShared ? spread.chains.bytes : 0;
  if (spread.group_chains > 0)
    launch(pack_groups<Method, kShared>, grid_of(task.layers * spread.group_chains, spread.chains.most_blocks), bytes,
           stream, setting, task, spread, weights, room);
  launch(solve_nodes<Method, kShared>,
         grid_of(task.layers * task.shape.nodes * spread.node_chains, spread.chains.most_blocks), bytes, stream,
         setting, task, spread, weights, room, plan);
}

// Both of a method's kernels, and once with nothing to do: the first launch may take memory for stacks.
template <class Method, bool kShared>
void prepare_method(const typename Method::Setting& setting, int shared_bytes, cudaStream_t stream) {
  prepare(pack_groups<Method, kShared>, kShared ? shared_bytes : 0);
  prepare(solve_nodes<Method, kShared>, kShared ? shared_bytes : 0);
  SolveTask nothing{};
  nothing.shape = {1, 1, 1, 1, 1, 1, 0};
  launch_method<Method, kShared>(setting, nothing, {1, 1, {0, kShared, 1}, {}}, {}, {}, {}, stream);
}

}  // namespace

void prepare_kernels(const DeviceLimits& limits, cudaStream_t stream) {
  for (const eplb_strategy strategy : {EPLB_STRATEGY_GREEDY, EPLB_STRATEGY_LPT_SWAP, EPLB_STRATEGY_BEST})
    solver::with_method(strategy, 0, {}, [&](auto method) {
      prepare_method<decltype(method), true>(method.setting, limits.shared_bytes, stream);
      prepare_method<decltype(method), false>(method.setting, limits.shared_bytes, stream);
    });
  prepare_sum();
  prepare_maps();
  prepare_evaluation(limits.shared_bytes, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

Spread spread_of(const SolveTask& task, const DeviceLimits& limits) {
  return with_method(task, [&](auto method) {
    View<uint64_t> words;
    const int group_chains = method.group_chains(), node_chains = method.node_chains();
    const int64_t chains = std::max<int64_t>(task.shape.nodes * int64_t{node_chains}, group_chains);
    return Spread{group_chains, node_chains,
                  workspace_of(lay_out(nullptr, method, words), task.layers * chains, limits),
                  evaluation_workspace(task, {false, false, true, task.threshold}, true, limits)};
  });
}

void launch_solve(const SolveTask& task, const Spread& spread, const DeviceWeights& weights, const SolveRoom& room,
                  const DevicePlan& plan, cudaStream_t stream) {
  with_method(task, [&](auto method) {
    using Method = decltype(method);
    const auto launch_it = spread.chains.shared ? launch_method<Method, true> : launch_method<Method, false>;
    launch_it(method.setting, task, spread, weights, room, plan, stream);
  });
}

}  // namespace eplb::cuda
