#include "machines/cuda/device_memory.h"

#include <algorithm>

namespace eplb::cuda {
namespace {

constexpr int64_t kHeaderBytes = 256;  // the fault, and how many windows are known

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

DeviceWeights lay_out_weights(solver::Arena& arena, int64_t layers, int64_t experts, bool whole) {
  DeviceWeights weights{};
  weights.sums = arena.take<int64_t>(layers * experts).data;
  weights.float32_fault = arena.take<FaultCode>(layers).data;
  weights.layers = layers;
  weights.experts = static_cast<int>(experts);
  weights.whole = whole;
  return weights;
}

// The three that host calls read lie without a gap.
DevicePlan lay_out_plan(solver::Arena& arena, const Problem& problem) {
  const int64_t slots = problem.layers * problem.cluster.slots,
                experts = problem.layers * problem.experts;
  int32_t* const first = arena.take<int32_t>(2 * slots + experts).data;
  DevicePlan plan{};
  plan.physical_to_logical = first;
  plan.first_place = arena.take<int32_t>(experts).data;
  plan.rank = arena.take<int32_t>(slots).data;
  if (first == nullptr) return plan;  // only counted
  plan.replica_slots = first + slots;
  plan.replica_count = first + 2 * slots;
  return plan;
}

// A solve has finished with its scratch when an evaluation begins, so they share theirs.
EvaluationTask lay_out_evaluation(solver::Arena& arena, const Problem& problem,
                                  EvaluationParts wanted, const Workspace& workspace) {
  EvaluationTask task{};
  task.problem = problem;
  task.wanted = wanted;
  task.workspace = workspace;
  task.placement = arena.take<int32_t>(problem.layers * problem.cluster.slots).data;
  task.figures = arena.take<LayerFigures>(problem.layers).data;
  task.gpu_load = arena.take<double>(problem.layers * problem.cluster.gpus).data;
  task.memory = arena.take<char>(workspace.in_global_memory()).data;
  return task;
}

}  // namespace

int64_t plan_elements(const Problem& problem) {
  return problem.layers * (2 * int64_t{problem.cluster.slots} + problem.experts);
}

int64_t MemorySizes::of_weights(int64_t layers, int64_t experts) {
  solver::Arena arena(nullptr);
  lay_out_weights(arena, layers, experts, false);
  return aligned(arena.used());
}

int64_t MemorySizes::of_windows(int64_t windows, int64_t layers, int64_t experts) {
  if (windows_kept(windows) < 2) return 0;
  return aligned(windows * layers * experts * 8 + solver::Arena::kPadding);
}

int64_t MemorySizes::of_current(int64_t layers, int64_t slots) {
  return aligned(layers * slots * int64_t{sizeof(int32_t)} + solver::Arena::kPadding);
}

MemorySizes MemorySizes::of(const Problem& problem, const Spread& spread) {
  solver::Arena plan(nullptr), counters(nullptr), scratch(nullptr);
  lay_out_plan(plan, problem);
  SolveScratch().lay_out(counters, scratch, problem, spread);
  return {of_weights(problem.layers, problem.experts),
          of_windows(problem.windows_apart, problem.layers, problem.experts),
          of_current(problem.layers, problem.cluster.slots),
          aligned(plan.used()),
          aligned(counters.used()),
          std::max({aligned(scratch.used()), of_evaluation(problem, spread.evaluation),
                    aligned(spread.transfers.in_global_memory())})};
}

int64_t MemorySizes::of_evaluation(const Problem& problem, const Workspace& workspace) {
  solver::Arena arena(nullptr);
  lay_out_evaluation(arena, problem, kAllParts, workspace);
  return aligned(arena.used());
}

MemorySizes MemorySizes::at_least(const MemorySizes& other) const {
  return {std::max(weights, other.weights),   std::max(windows, other.windows),
          std::max(current, other.current),   std::max(plan, other.plan),
          std::max(counters, other.counters), std::max(scratch, other.scratch)};
}

DeviceMemory::DeviceMemory(const MemorySizes& sizes, cudaStream_t stream) : sizes_(sizes) {
  block_.at_least(kHeaderBytes + sizes.total());
  // kNoFault and -1.
  check(cudaMemsetAsync(block_.data(), 0xff, kHeaderBytes, stream), "cudaMemsetAsync");
  // All but scratch: a map that is fetched before its solve, on streams without an order, is
  // nonsense but harmless.
  check(cudaMemsetAsync(at(kHeaderBytes), 0, static_cast<size_t>(sizes.total() - sizes.scratch),
                        stream),
        "cudaMemsetAsync");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

DeviceWeights DeviceMemory::weights(int64_t layers, int64_t experts, bool whole,
                                    int64_t windows) const {
  solver::Arena arena(at(kHeaderBytes + sizes_.counters));
  DeviceWeights weights = lay_out_weights(arena, layers, experts, whole);
  if (windows > 1 && keeps(windows, layers, experts))
    weights.windows = at(kHeaderBytes + sizes_.counters + sizes_.weights);
  weights.windows_known = windows_known();
  weights.fault = fault();
  return weights;
}

bool DeviceMemory::keeps(int64_t windows, int64_t layers, int64_t experts) const {
  return windows_kept(windows) > 0 &&
         MemorySizes::of_windows(windows, layers, experts) <= sizes_.windows;
}

int32_t* DeviceMemory::current() const {
  return reinterpret_cast<int32_t*>(
      at(kHeaderBytes + sizes_.counters + sizes_.weights + sizes_.windows));
}

DevicePlan DeviceMemory::plan(const Problem& problem) const {
  solver::Arena arena(
      at(kHeaderBytes + sizes_.counters + sizes_.weights + sizes_.windows + sizes_.current));
  return lay_out_plan(arena, problem);
}

SolveTask DeviceMemory::solve_task(const Problem& problem, const Spread& spread, bool whole) const {
  solver::Arena counters(at(kHeaderBytes)), arena(scratch());
  SolveTask task{problem,
                 spread,
                 weights(problem.layers, problem.experts, whole, problem.windows_apart),
                 {},
                 plan(problem)};
  task.scratch.lay_out(counters, arena, problem, spread);
  return task;
}

EvaluationTask DeviceMemory::evaluation_task(const Problem& problem, EvaluationParts wanted,
                                             const Workspace& workspace) const {
  solver::Arena arena(scratch());
  return lay_out_evaluation(arena, problem, wanted, workspace);
}

TransferTask DeviceMemory::transfer_task(const Problem& problem, const Workspace& workspace) const {
  TransferTask task{};
  task.problem = problem;
  task.workspace = workspace;
  task.memory = scratch();
  task.placement = plan(problem).physical_to_logical;
  return task;
}

int64_t DeviceTables::lay_out(solver::Arena arena, const Tables& tables) {
  auto take = [&]<class T>(const std::vector<T>& from) {
    return arena.take<T>(static_cast<int64_t>(from.size())).data;
  };
  const auto& [cluster, prices, window_weights] = tables;
  slots_ = take(cluster.slots);
  node_ = take(cluster.node);
  pace_ = take(cluster.pace);
  speed_ = take(cluster.speed);
  price_units_ = take(prices.units);
  window_share_ = take(window_weights.share);
  return arena.used();
}

DeviceTables::DeviceTables(const Tables& tables, cudaStream_t stream) {
  block_.at_least(lay_out(solver::Arena(nullptr), tables));
  lay_out(solver::Arena(block_.data()), tables);
  auto send = [&](const auto& from, auto* to) {
    if (from.empty()) return;
    check(
        cudaMemcpyAsync(to, from.data(), from.size() * sizeof *to, cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync");
  };
  const auto& [cluster, prices, window_weights] = tables;
  send(cluster.slots, slots_);
  send(cluster.node, node_);
  send(cluster.pace, pace_);
  send(cluster.speed, speed_);
  send(prices.units, price_units_);
  send(window_weights.share, window_share_);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

// Shares of prices are for figures, which the host works out.
Problem DeviceTables::of(Problem problem) const {
  Cluster& cluster = problem.cluster;
  if (cluster.gpu_slots) cluster.gpu_slots = slots_;
  if (cluster.gpu_node) cluster.gpu_node = node_;
  if (cluster.gpu_pace) cluster.gpu_pace = pace_;
  if (cluster.gpu_speed) cluster.gpu_speed = speed_;
  if (problem.prices.units) problem.prices.units = price_units_;
  problem.prices.shares = nullptr;
  if (problem.window_share) problem.window_share = window_share_;
  return problem;
}

char* DeviceMemory::scratch() const { return at(kHeaderBytes + sizes_.total() - sizes_.scratch); }

}  // namespace eplb::cuda
