#include "machines/cuda/cuda_machine.h"

#include <cstring>

#include "core/error.h"

namespace eplb::cuda {
namespace {

using ll = long long;

int64_t weight_bytes(int64_t layers, int64_t experts) {
  return layers * experts * 8 + layers * int64_t{sizeof(FaultCode)};
}

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

void copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream), "cudaMemcpyAsync");
}

[[noreturn]] void refuse(const char* what, const MemorySizes& needed, const MemorySizes& reserved) {
  fail(EPLB_INVALID_STATE,
       "%s needs %lld bytes for weights, %lld for the plan and %lld to work in, but %lld, %lld and "
       "%lld are reserved: "
       "call eplb_context_reserve for it",
       what, ll(needed.weights), ll(needed.plan), ll(needed.counters + needed.scratch),
       ll(reserved.weights), ll(reserved.plan), ll(reserved.counters + reserved.scratch));
}

[[noreturn]] void fail_late(FaultCode code) {
  fail_with(fault_of(code), place_of(code), ": the layer was solved as zeros");
}

FaultCode float32_fault_of(const Weights& weights, int64_t layer) {
  const int64_t expert = beyond_float32(weights, layer);
  if (expert < 0) return kNoFault;
  if (expert < weights.experts) return fault_code(layer, static_cast<int>(expert), Fault::kFloat32);
  return fault_code(layer, static_cast<int>(weights.experts) - 1, Fault::kFloat32Sum);
}

// `from`: the maps of a plan one behind the other, as DevicePlan has them.
void read_maps(const int32_t* from, Plan& plan) {
  for (std::vector<int32_t>* map :
       {&plan.physical_to_logical, &plan.replica_slots, &plan.replica_count}) {
    std::memcpy(map->data(), from, map->size() * sizeof(int32_t));
    from += map->size();
  }
}

// A plan that exceeds the cap is refused after the solve. The plan in the reserved memory must
// survive that.
bool may_be_refused(const Problem& problem) { return problem.limits.refused_above > 0; }

// For host calls, whose plan the session checks: kernels do not look at the cap.
Problem without_check(Problem problem) {
  problem.limits.refused_above = 0;
  return problem;
}

solver::WantedFigures figures_of(EvaluationParts parts, const Problem& problem) {
  return {parts.loads, parts.duplicates, parts.bounds,
          problem.options.bound_kind == EPLB_BOUND_THRESHOLD};
}

}  // namespace

// The delegated constructor has finished when this body runs, so if it throws, the destructor
// releases what was had so far.
CudaMachine::CudaMachine(int index) : CudaMachine(Closed(), index) {
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
  staging_.release();
  if (started_) cudaEventDestroy(started_);
  if (ended_) cudaEventDestroy(ended_);
  if (stream_) cudaStreamDestroy(stream_);
}

void CudaMachine::abandon() {
  reserved_.abandon();
  grown_.abandon();
  pending_.abandon();
  staging_.abandon();
  device_.abandon();
}

int64_t CudaMachine::bytes() const {
  return int64_t{sizeof *this} + reserved_.bytes() + grown_.bytes() + staging_.bytes();
}

// -------------------------------------------------------------------------------------- host calls

void CudaMachine::reserve(const Problem& problem, const std::function<void()>& then) {
  const DeviceScope scope(device_);
  pending_.wait(stream_);
  DeviceMemory memory(MemorySizes::of(problem, spread_of(problem, limits_)), stream_);
  if (reserved_.bytes() > 0)  // a fault that was found there and not yet reported
    copy(memory.fault(), reserved_.fault(), sizeof(FaultCode), cudaMemcpyDeviceToDevice, stream_);
  staging_.at_least(weight_bytes(problem.layers, problem.experts) + plan_elements(problem) * 4);
  pending_.prepare();
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
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

// In the order of our stream, by way of the staging memory's first weight_bytes().
void CudaMachine::send_weights(const Weights& from, const DeviceMemory& memory) {
  const DeviceWeights to =
      memory.weights(from.layers, static_cast<int>(from.experts), from.integer);
  const int64_t bytes = from.layers * from.experts * 8;
  std::memcpy(staging_.data(),
              from.integer ? static_cast<const void*>(from.whole.data()) : from.real.data(),
              static_cast<size_t>(bytes));
  copy(to.sums, staging_.data(), bytes, cudaMemcpyHostToDevice, stream_);
  FaultCode* const faults = reinterpret_cast<FaultCode*>(staging_.data() + bytes);
  for (int64_t l = 0; l < from.layers; ++l) faults[l] = float32_fault_of(from, l);
  copy(to.float32_fault, faults, from.layers * int64_t{sizeof(FaultCode)}, cudaMemcpyHostToDevice,
       stream_);
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
  send_weights(weights, reserved_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

bool CudaMachine::solve(const Weights& weights, bool resident, Plan& plan) {
  const DeviceScope scope(device_);
  const Problem problem = without_check(plan.problem);
  const Spread spread = spread_of(problem, limits_);
  DeviceMemory& memory = memory_for(MemorySizes::of(problem, spread), may_be_refused(plan.problem));
  const bool is_reserved = &memory == &reserved_;
  const int64_t sent = weight_bytes(problem.layers, problem.experts);
  const int64_t received = plan_elements(problem) * int64_t{sizeof(int32_t)};
  const DevicePlan device_plan = memory.plan(problem);
  staging_.at_least(sent + received);
  if (!is_reserved || !resident || replays()) send_weights(weights, memory);
  launch_solve(problem, spread, memory.weights(problem.layers, problem.experts, weights.integer),
               memory.solve_scratch(problem, spread), device_plan, stream_);
  copy(staging_.data() + sent, device_plan.physical_to_logical, received, cudaMemcpyDeviceToHost,
       stream_);
  check(cudaStreamSynchronize(stream_), "a solve");
  read_maps(reinterpret_cast<const int32_t*>(staging_.data() + sent), plan);
  return is_reserved;
}

// Memory for an evaluation, with the weights in it unless they are resident. Weights and plan in
// the reserved memory stay as they are.
DeviceMemory& CudaMachine::evaluation_memory(const Weights& weights, bool resident,
                                             int64_t scratch) {
  MemorySizes needed;
  needed.scratch = scratch;
  if (resident) return memory_for(needed, false);
  needed.weights = MemorySizes::of_weights(weights.layers, weights.experts);
  DeviceMemory& memory = memory_for(needed, true);
  staging_.at_least(weight_bytes(weights.layers, weights.experts));
  send_weights(weights, memory);
  return memory;
}

void CudaMachine::evaluate(const Weights& weights, bool resident, const Problem& problem,
                           const int32_t* placement, EvaluationParts parts,
                           Evaluation& evaluation) {
  const DeviceScope scope(device_);
  const solver::WantedFigures wanted = figures_of(parts, problem);
  const Workspace workspace = evaluation_workspace(problem, wanted, false, limits_);
  const DeviceMemory& memory =
      evaluation_memory(weights, resident, MemorySizes::of_evaluation(problem, workspace));
  const DeviceMemory& holder = resident ? reserved_ : memory;
  const EvaluationScratch scratch = memory.evaluation_scratch(problem, workspace);
  send_placement(problem, placement, evaluation, scratch);
  EvaluationOutputs out{};
  out.figures = scratch.figures;
  out.gpu_load = scratch.gpu_load;
  launch_evaluation(problem, wanted, workspace, scratch.workspace,
                    holder.weights(problem.layers, problem.experts, weights.integer),
                    {scratch.placement, nullptr}, out, stream_);
  bring_figures(problem, scratch, parts, evaluation);
}

// The kernel writes what is wanted of the figures, so the others go there first.
void CudaMachine::send_placement(const Problem& problem, const int32_t* placement,
                                 const Evaluation& evaluation, const EvaluationScratch& scratch) {
  copy(scratch.placement, placement,
       problem.layers * problem.cluster.slots * int64_t{sizeof(int32_t)}, cudaMemcpyHostToDevice,
       stream_);
  copy(scratch.figures, evaluation.layers.data(), problem.layers * int64_t{sizeof(LayerFigures)},
       cudaMemcpyHostToDevice, stream_);
}

void CudaMachine::bring_figures(const Problem& problem, const EvaluationScratch& scratch,
                                EvaluationParts parts, Evaluation& evaluation) {
  copy(evaluation.layers.data(), scratch.figures, problem.layers * int64_t{sizeof(LayerFigures)},
       cudaMemcpyDeviceToHost, stream_);
  if (parts.loads)
    copy(evaluation.gpu_load.data(), scratch.gpu_load,
         problem.layers * problem.cluster.gpus * int64_t{sizeof(double)}, cudaMemcpyDeviceToHost,
         stream_);
  check(cudaStreamSynchronize(stream_), "an evaluation");
  evaluation.known = evaluation.known.with(parts);
}

// ------------------------------------------------------------- between host calls and device calls

void CudaMachine::wait() {
  const DeviceScope scope(device_);
  pending_.wait(stream_);
}

void CudaMachine::bring(Weights& weights) {
  const DeviceScope scope(device_);
  const DeviceWeights from =
      reserved_.weights(weights.layers, static_cast<int>(weights.experts), weights.integer);
  void* const to = weights.integer ? static_cast<void*>(weights.whole.data()) : weights.real.data();
  copy(to, from.sums, weights.layers * weights.experts * 8, cudaMemcpyDeviceToHost, stream_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

bool CudaMachine::bring(Plan& plan) {
  const DeviceScope scope(device_);
  const Problem& problem = plan.problem;
  const DevicePlan from = reserved_.plan(problem);
  const SolveScratch scratch = reserved_.solve_scratch(problem, spread_of(problem, limits_));
  if (!is_consistent(problem, from, scratch.thrust, stream_)) return false;
  const int64_t slot_bytes = problem.layers * problem.cluster.slots * 4,
                expert_bytes = problem.layers * problem.experts * 4;
  copy(plan.physical_to_logical.data(), from.physical_to_logical, slot_bytes,
       cudaMemcpyDeviceToHost, stream_);
  copy(plan.replica_slots.data(), from.replica_slots, slot_bytes, cudaMemcpyDeviceToHost, stream_);
  copy(plan.replica_count.data(), from.replica_count, expert_bytes, cudaMemcpyDeviceToHost,
       stream_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
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
  copy(&code, reserved_.fault(), sizeof code, cudaMemcpyDeviceToHost, stream_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  if (code == kNoFault) return;
  check(cudaMemsetAsync(reserved_.fault(), 0xff, sizeof code, stream_), "cudaMemsetAsync");
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  fail_late(code);
}

// ------------------------------------------------------------------------------------ device calls

void CudaMachine::upload_on(const WeightSource& source, void* stream) {
  if (source.experts > kMaxSlots)  // beyond, no problem fits
    fail(EPLB_INVALID_STATE, "num_experts is %lld, more than any reserve: at most %lld",
         ll(source.experts), ll(kMaxSlots));
  MemorySizes needed;
  needed.weights = MemorySizes::of_weights(source.layers, source.experts);
  if (!reserved_.sizes().hold(needed))
    refuse("eplb_upload_weights_device", needed, reserved_.sizes());
  const DeviceScope scope(device_);
  const DeviceWeights to =
      reserved_.weights(source.layers, static_cast<int>(source.experts), is_integer(source.dtype));
  launch_sum(source.data, source.dtype, source.windows, to, stream_of(stream));
  pending_.note(stream_of(stream), stream_);
}

void CudaMachine::solve_on(const Problem& problem, bool integer, void* stream) {
  const Spread spread = spread_of(problem, limits_);
  const MemorySizes needed = MemorySizes::of(problem, spread);
  if (!reserved_.sizes().hold(needed)) refuse("eplb_solve_device", needed, reserved_.sizes());
  const DeviceScope scope(device_);
  const bool timed = !is_capturing(stream_of(stream));
  timed_ = false;  // until both events are of this solve
  if (timed) check(cudaEventRecord(started_, stream_of(stream)), "cudaEventRecord");
  launch_solve(problem, spread, reserved_.weights(problem.layers, problem.experts, integer),
               reserved_.solve_scratch(problem, spread), reserved_.plan(problem),
               stream_of(stream));
  if (timed) check(cudaEventRecord(ended_, stream_of(stream)), "cudaEventRecord");
  pending_.note(stream_of(stream), stream_);
  timed_ = timed;
}

namespace {
EvaluationOutputs outputs_of(eplb_map map, eplb_dtype dtype, void* buffer) {
  EvaluationOutputs out{};
  double* const real = static_cast<double*>(buffer);
  if (map == EPLB_MAP_GPU_LOAD) out.gpu_load = real;
  if (map == EPLB_MAP_IMBALANCE) out.imbalance = real;
  if (map == EPLB_MAP_BOUND) out.bound = real;
  if (map != EPLB_MAP_DUPLICATES) return out;
  if (dtype == EPLB_INT64)
    out.wide_duplicates = static_cast<int64_t*>(buffer);
  else
    out.duplicates = static_cast<int32_t*>(buffer);
  return out;
}
}  // namespace

void CudaMachine::fetch_on(const Problem& problem, bool integer, eplb_map map, eplb_dtype dtype,
                           void* buffer, void* stream) {
  const DeviceWeights weights = reserved_.weights(problem.layers, problem.experts, integer);
  const DeviceScope scope(device_);
  const DevicePlan plan = reserved_.plan(problem);
  const EvaluationParts parts = map_entry(map).needs;
  if (parts.any()) {
    const solver::WantedFigures wanted = figures_of(parts, problem);
    const Workspace workspace = evaluation_workspace(problem, wanted, true, limits_);
    launch_evaluation(problem, wanted, workspace,
                      reserved_.evaluation_scratch(problem, workspace).workspace, weights,
                      {plan.physical_to_logical, plan.replica_count},
                      outputs_of(map, dtype, buffer), stream_of(stream));
  } else {
    launch_map(map, dtype, buffer, map_entry(map).shape(problem).dims[2], problem, plan,
               stream_of(stream));
  }
  pending_.note(stream_of(stream), stream_);
}

std::unique_ptr<Machine> make_machine(int index) { return std::make_unique<CudaMachine>(index); }

}  // namespace eplb::cuda
