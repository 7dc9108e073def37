#include "machines/cuda/cuda_machine.h"

#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/move_limits.h"
#include "machines/cuda/copies.h"

namespace eplb::cuda {
namespace {

// By way of which weights are sent and plans are brought.
int64_t staging_bytes(const Problem& problem) {
  return weight_bytes(problem.layers, problem.experts) + plan_elements(problem) * 4;
}

void check_reserved(const char* what, const MemorySizes& needed, const MemorySizes& reserved) {
  if (!reserved.hold(needed))
    fail(EPLB_INVALID_STATE,
         "%s needs %lld bytes for weights, %lld for placements and %lld to work in, but %lld, %lld "
         "and %lld are reserved: call eplb_context_reserve for it",
         what, ll(needed.weights + needed.windows), ll(needed.current + needed.plan),
         ll(needed.counters + needed.scratch), ll(reserved.weights + reserved.windows),
         ll(reserved.current + reserved.plan), ll(reserved.counters + reserved.scratch));
}

}  // namespace

// The delegated constructor has finished when this body runs, so if it throws, the destructor
// releases what was had so far.
CudaMachine::CudaMachine(int index) : CudaMachine(Closed(), index) {
  host_->interrupt = interrupt;
  const DeviceScope scope(device_);
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  prepare_kernels(limits_, stream_);
  check(cudaEventCreate(&started_), "cudaEventCreate");
  check(cudaEventCreate(&ended_), "cudaEventCreate");
}

CudaMachine::~CudaMachine() {
  if (device_.context() == nullptr) return;
  const DeviceScope scope(device_, DeviceScope::Quietly());
  if (!scope.entered()) {  // the device is gone: so is all that was on it
    abandon();
    return;
  }
  pending_.release();
  reserved_ = DeviceMemory();
  grown_ = DeviceMemory();
  splits_.release();
  tables_ = DeviceTables();
  staging_.release();
  if (started_) cudaEventDestroy(started_);
  if (ended_) cudaEventDestroy(ended_);
  if (stream_) cudaStreamDestroy(stream_);
}

void CudaMachine::abandon() {
  reserved_.abandon();
  grown_.abandon();
  splits_.abandon();
  tables_.abandon();
  pending_.abandon();
  staging_.abandon();
  device_.abandon();
}

int64_t CudaMachine::bytes() const {
  return int64_t{sizeof *this} + reserved_.bytes() + grown_.bytes() + splits_.bytes() +
         tables_.bytes() + staging_.bytes() + host_->bytes();
}

// -------------------------------------------------------------------------------------- host calls

void CudaMachine::reserve(const Problem& problem, const std::function<void()>& then) {
  const DeviceScope scope(device_);
  pending_.wait(stream_);
  MemorySizes sizes = MemorySizes::of(problem, spread_of(problem, limits_));
  sizes.windows = MemorySizes::of_windows(problem.windows, problem.layers, problem.experts);
  DeviceMemory memory(sizes, stream_);
  if (reserved_.bytes() > 0)  // a fault that was found there and not yet reported
    copy(memory.fault(), reserved_.fault(), 1, cudaMemcpyDeviceToDevice, stream_);
  staging_.at_least(staging_bytes(problem));
  pending_.prepare();
  finish(stream_);
  then();
  pending_.forget_captures();  // graphs of what was reserved before must not be replayed any more
  reserved_ = std::move(memory);
}

DeviceMemory& CudaMachine::memory_for(const MemorySizes& sizes, bool keeps_reserved) {
  if (!keeps_reserved && reserved_.sizes().hold(sizes)) return reserved_;
  if (!grown_.sizes().hold(sizes)) {
    const MemorySizes larger = grown_.sizes().at_least(sizes);
    grown_ = DeviceMemory();
    grown_ = DeviceMemory(larger, stream_);
  }
  return grown_;
}

// The same problem with its tables in device memory.
Problem CudaMachine::on_device(const Problem& problem) const { return tables_.of(problem); }

// In the order of our stream, by way of the staging memory's first weight_bytes().
void CudaMachine::send_weights(const Weights& from, const DeviceMemory& memory, bool with_windows) {
  staging_.at_least(weight_bytes(from.layers, from.experts));
  copy_weights(
      from,
      memory.weights(from.layers, from.experts, from.integer, with_windows ? from.windows : 1),
      staging_.data(), stream_);
}

// The maps of a plan lie one behind the other.
void CudaMachine::bring_maps(const DevicePlan& from, Plan& plan, const char* what) {
  const Problem& problem = plan.problem;
  int32_t* staged =
      reinterpret_cast<int32_t*>(staging_.data() + weight_bytes(problem.layers, problem.experts));
  to_host(staged, from.physical_to_logical, plan_elements(problem), stream_);
  finish(stream_, what);
  for (std::vector<int32_t>* map :
       {&plan.physical_to_logical, &plan.replica_slots, &plan.replica_count}) {
    std::memcpy(map->data(), staged, map->size() * sizeof(int32_t));
    staged += map->size();
  }
}

bool CudaMachine::prepare_send(int64_t layers, int64_t experts) {
  if (experts > kMaxSlots || MemorySizes::of_weights(layers, experts) > reserved_.sizes().weights)
    return false;
  const DeviceScope scope(device_);
  staging_.at_least(weight_bytes(layers, experts));
  return true;
}

void CudaMachine::send(const Weights& weights) {
  const DeviceScope scope(device_);
  send_weights(weights, reserved_, true);
  finish(stream_);
}

// If there is one.
void CudaMachine::send_current(const Problem& from, const DeviceMemory& memory, SolveTask& task) {
  if (from.current.expert == nullptr) return;
  to_device(memory.current(), from.current.expert, from.layers * from.cluster.slots, stream_);
  task.problem.current.expert = memory.current();
}

bool CudaMachine::solve(const Weights& weights, bool resident, Plan& plan) {
  // Shares of moves are found on the host, and so is what follows from them.
  if (plan.problem.moves.layer_most || moves_for_splits(plan.problem))
    return host_->solve(weights, false, plan);
  const DeviceScope scope(device_);
  // The session looks at the cap, not the kernels, and may refuse a plan that exceeds it. The plan
  // in the reserved memory must survive that.
  Problem problem = plan.problem;
  const bool may_be_refused =
      std::exchange(problem.limits.refused_above, 0) > 0 || has_limits(problem);
  const Spread spread = spread_of(problem, limits_);
  DeviceMemory& memory = memory_for(MemorySizes::of(problem, spread), may_be_refused);
  const bool is_reserved = &memory == &reserved_;
  staging_.at_least(staging_bytes(problem));
  if (!is_reserved || !resident || replays())
    send_weights(weights, memory, is_reserved || problem.windows_apart > 1);
  SolveTask task = memory.solve_task(on_device(problem), spread, weights.integer);
  send_current(problem, memory, task);
  interrupt->check();  // the last time: launched kernels end by themselves
  launch_solve(task, stream_);
  bring_maps(task.plan, plan, "a solve");
  return is_reserved;
}

// Memory for an evaluation, with the weights in it unless they are resident. Weights and plan in
// the reserved memory stay as they are.
DeviceMemory& CudaMachine::evaluation_memory(const Weights& weights, bool resident,
                                             int64_t scratch) {
  MemorySizes needed{.scratch = scratch};
  if (resident) return memory_for(needed, false);
  needed.weights = MemorySizes::of_weights(weights.layers, weights.experts);
  DeviceMemory& memory = memory_for(needed, true);
  send_weights(weights, memory, false);
  return memory;
}

void CudaMachine::evaluate(const Weights& weights, bool resident, const Problem& problem,
                           const int32_t* placement, EvaluationParts parts,
                           Evaluation& evaluation) {
  const DeviceScope scope(device_);
  const Workspace workspace = evaluation_workspace(problem, parts, false, limits_);
  const DeviceMemory& memory =
      evaluation_memory(weights, resident, MemorySizes::of_evaluation(problem, workspace));
  EvaluationTask task = memory.evaluation_task(on_device(problem), parts, workspace);
  task.weights =
      (resident ? reserved_ : memory).weights(problem.layers, problem.experts, weights.integer);
  const int64_t layers = problem.layers;
  to_device(task.placement, placement, layers * problem.cluster.slots, stream_);
  // The kernel writes what is wanted of the figures, so the others go there first.
  to_device(task.figures, evaluation.layers.data(), layers, stream_);
  interrupt->check();
  launch_evaluation(task, stream_);
  to_host(evaluation.layers.data(), task.figures, layers, stream_);
  if (parts & kLoads)
    to_host(evaluation.gpu_load.data(), task.gpu_load, layers * problem.cluster.gpus, stream_);
  finish(stream_, "an evaluation");
  evaluation.known |= parts;
}

// ------------------------------------------------------------- between host calls and device calls

void CudaMachine::send(const Tables& tables) {
  const DeviceScope scope(device_);
  tables_ = DeviceTables(tables, stream_);
}

void CudaMachine::wait() {
  const DeviceScope scope(device_);
  pending_.wait(stream_);
}

void CudaMachine::bring(Weights& weights) {
  const DeviceScope scope(device_);
  int64_t known = 0;
  to_host(&known, reserved_.windows_known(), 1, stream_);
  finish(stream_);
  if (known >= 0) weights.windows = known;  // a replay may have left others
  if (!keeps_windows(weights)) weights.windows = 0;
  weights.resize(weights.integer, weights.layers, weights.experts, weights.windows);
  const DeviceWeights from =
      reserved_.weights(weights.layers, weights.experts, weights.integer, weights.windows);
  copy_weights(from, weights, stream_);
  finish(stream_);
}

bool CudaMachine::send(const CurrentPlacement& current) {
  if (MemorySizes::of_current(current.layers, current.slots) > reserved_.sizes().current)
    return false;
  const DeviceScope scope(device_);
  to_device(reserved_.current(), current.expert.data(), current.layers * current.slots, stream_);
  finish(stream_);
  return true;
}

void CudaMachine::bring(CurrentPlacement& current) {
  const DeviceScope scope(device_);
  to_host(current.expert.data(), reserved_.current(), current.layers * current.slots, stream_);
  finish(stream_);
}

bool CudaMachine::bring(Plan& plan) {
  const DeviceScope scope(device_);
  const Problem& problem = plan.problem;
  const SolveTask task = reserved_.solve_task(problem, spread_of(problem, limits_), false);
  if (!is_consistent(problem, task.plan, task.scratch.thrust, stream_)) return false;
  staging_.at_least(staging_bytes(problem));
  bring_maps(task.plan, plan, "cudaStreamSynchronize");
  return true;
}

double CudaMachine::microseconds() {
  if (!timed_) return 0;
  const DeviceScope scope(device_);
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, started_, ended_), "cudaEventElapsedTime");
  return 1000.0 * milliseconds;
}

// Once: the next report starts without it.
void CudaMachine::throw_fault() {
  if (reserved_.bytes() == 0) return;
  const DeviceScope scope(device_);
  FaultCode code = kNoFault;
  to_host(&code, reserved_.fault(), 1, stream_);
  finish(stream_);
  if (code == kNoFault) return;
  check(cudaMemsetAsync(reserved_.fault(), 0xff, sizeof code, stream_), "cudaMemsetAsync");
  finish(stream_);
  fail_with(fault_of(code), place_of(code), true);
}

// ------------------------------------------------------------------------------------ device calls

void CudaMachine::upload_on(const WeightSource& source, void* stream) {
  if (source.experts > kMaxSlots)  // beyond, no problem fits
    fail(EPLB_INVALID_STATE, "num_experts is %lld, more than any reserve: at most %lld",
         ll(source.experts), ll(kMaxSlots));
  check_reserved("eplb_upload_weights_device",
                 {.weights = MemorySizes::of_weights(source.layers, source.experts)},
                 reserved_.sizes());
  const DeviceScope scope(device_);
  const DeviceWeights to =
      reserved_.weights(source.layers, source.experts, is_integer(source.dtype), source.windows);
  launch_sum(source, to, stream_of(stream));
  pending_.note(stream_of(stream), stream_);
}

// How many experts there are is known at the solve.
void CudaMachine::upload_on(const PlacementSource& source, void* stream) {
  check_reserved("eplb_upload_placement_device",
                 {.current = MemorySizes::of_current(source.layers, source.slots)},
                 reserved_.sizes());
  const DeviceScope scope(device_);
  launch_take_placement(source, kMaxSlots, reserved_.current(), reserved_.fault(),
                        stream_of(stream));
  pending_.note(stream_of(stream), stream_);
}

void CudaMachine::solve_on(const Problem& problem, bool integer, void* stream) {
  const Spread spread = spread_of(problem, limits_);
  check_reserved("eplb_solve_device", MemorySizes::of(problem, spread), reserved_.sizes());
  const DeviceScope scope(device_);
  const bool timed = !is_capturing(stream_of(stream));
  timed_ = false;  // until both events are of this solve
  if (timed) check(cudaEventRecord(started_, stream_of(stream)), "cudaEventRecord");
  if (problem.current.expert)
    launch_take_placement(
        {reserved_.current(), 0, EPLB_INT32, problem.layers, problem.cluster.slots},
        problem.experts, reserved_.current(), reserved_.fault(), stream_of(stream));
  launch_solve(reserved_.solve_task(on_device(problem), spread, integer), stream_of(stream));
  if (timed) check(cudaEventRecord(ended_, stream_of(stream)), "cudaEventRecord");
  pending_.note(stream_of(stream), stream_);
  timed_ = timed;
}

void CudaMachine::fetch_on(const Problem& problem, bool integer, eplb_map map, eplb_dtype dtype,
                           void* buffer, void* stream) {
  const DeviceScope scope(device_);
  const MapEntry& entry = map_entry(map);
  if (entry.needs)
    fetch_figures(problem, integer, map, dtype, buffer, stream_of(stream));
  else if (entry.needs_transfers)
    fetch_transfers(problem, map, dtype, buffer, stream_of(stream));
  else
    launch_map(map, dtype, buffer, entry.shape(problem).dims[2], problem, reserved_.plan(problem),
               stream_of(stream));
  pending_.note(stream_of(stream), stream_);
}

void CudaMachine::fetch_figures(const Problem& problem, bool integer, eplb_map map,
                                eplb_dtype dtype, void* buffer, cudaStream_t stream) {
  const EvaluationParts needs = map_entry(map).needs;
  const Workspace workspace = evaluation_workspace(problem, needs, true, limits_);
  EvaluationTask task = reserved_.evaluation_task(on_device(problem), needs, workspace);
  const DevicePlan plan = reserved_.plan(problem);
  task.weights = reserved_.weights(problem.layers, problem.experts, integer);
  task.placement = plan.physical_to_logical;
  task.replica_count = plan.replica_count;
  task.figures = nullptr;
  task.gpu_load = map == EPLB_MAP_GPU_LOAD ? static_cast<double*>(buffer) : nullptr;
  task.map = map == EPLB_MAP_GPU_LOAD ? nullptr : buffer;
  task.which_map = map;
  task.map_dtype = dtype;
  launch_evaluation(task, stream);
}

void CudaMachine::fetch_transfers(const Problem& problem, eplb_map map, eplb_dtype dtype,
                                  void* buffer, cudaStream_t stream) {
  TransferTask task =
      reserved_.transfer_task(on_device(problem), transfer_workspace(problem, limits_));
  task.map = buffer;
  task.which_map = map;
  task.map_dtype = dtype;
  launch_transfers(task, stream);
}

std::unique_ptr<Machine> make_machine(int index) { return std::make_unique<CudaMachine>(index); }

}  // namespace eplb::cuda
