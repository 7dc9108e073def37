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

[[noreturn]] void refuse(const char* what, const RoomSizes& needed, const RoomSizes& reserved) {
  fail(EPLB_INVALID_STATE,
       "%s needs %lld bytes for weights, %lld for the plan and %lld to work in, but %lld, %lld and %lld are reserved: "
       "call eplb_context_reserve for it",
       what, ll(needed.weights), ll(needed.plan), ll(needed.counters + needed.scratch), ll(reserved.weights),
       ll(reserved.plan), ll(reserved.counters + reserved.scratch));
}

void fail_with(FaultCode code) {
  const ll layer = static_cast<ll>(code >> 23), expert = static_cast<ll>(code >> 4 & ((1 << 19) - 1));
  auto weight = [&](const char* what) {
    fail(EPLB_INVALID_WEIGHT, "weights[layer %lld, expert %lld] %s: the layer was solved as zeros", layer, expert,
         what);
  };
  auto sum = [&](const char* what) {
    fail(EPLB_INVALID_WEIGHT, "weights[layer %lld] sum to more than %s holds: it was solved as zeros", layer, what);
  };
  switch (static_cast<Fault>(code & 15)) {
    case Fault::kNaN: return weight("is NaN");
    case Fault::kNegative: return weight("is negative");
    case Fault::kInfinite: return weight("is infinite");
    case Fault::kWindowSum: return weight("sum over windows to more than their type holds");
    case Fault::kFloat32: return weight("is above what the float32 of greedy holds");
    case Fault::kLayerSum: return sum("a float64");
    case Fault::kFloat32Sum: return sum("the float32 of greedy");
    default: break;
  }
  fail(EPLB_INVALID_ARGUMENT,
       "max_replicas is less than what greedy gives expert %lld of layer %lld: the layer was solved as zeros", expert,
       layer);
}

}  // namespace

// The other constructor is through before this one does anything, so the destructor takes back what was had so far.
CudaBackend::CudaBackend(int index) : CudaBackend(Closed(), index) {
  const DeviceScope scope(device_);
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  prepare_kernels(limits_, stream_);
  check(cudaEventCreate(&started_), "cudaEventCreate");
  check(cudaEventCreate(&ended_), "cudaEventCreate");
}

CudaBackend::~CudaBackend() {
  if (device_.context() == nullptr) return;
  const DeviceScope scope(device_, DeviceScope::Quietly());
  if (!scope.entered()) {  // the device is gone: so is all that was on it
    abandon();
    return;
  }
  pending_.release();
  reserved_ = Room();
  grown_ = Room();
  staging_.release();
  if (started_) cudaEventDestroy(started_);
  if (ended_) cudaEventDestroy(ended_);
  if (stream_) cudaStreamDestroy(stream_);
}

void CudaBackend::abandon() {
  reserved_.abandon();
  grown_.abandon();
  pending_.abandon();
  staging_.abandon();
  device_.abandon();
}

SolveTask CudaBackend::task_of(const Problem& problem, const Options& options, int64_t layers) const {
  SolveTask task{};
  task.shape = layer_sizes<solver::Shape>(problem, options);
  task.layers = layers;
  task.strategy = options.strategy;
  task.effort = options.effort;
  task.threshold = problem.bound_kind == EPLB_BOUND_THRESHOLD;
  return task;
}

int64_t CudaBackend::bytes() const {
  return static_cast<int64_t>(sizeof *this - sizeof store_) + reserved_.bytes() + grown_.bytes() + staging_.bytes();
}

// ------------------------------------------------------------------------------------------------------------ host calls

void CudaBackend::reserve(eplb_dtype dtype, int64_t, int64_t layers, const Problem& problem, const Options& options) {
  const DeviceScope scope(device_);
  pending_.wait(stream_);
  const SolveTask task = task_of(problem, options, layers);
  Room room(RoomSizes::of(task, spread_of(task, limits_)), stream_);
  if (reserved_.bytes() > 0)  // what was found there is still to be told
    copy(room.fault(), reserved_.fault(), sizeof(FaultCode), cudaMemcpyDeviceToDevice, stream_);
  staging_.at_least(weight_bytes(layers, problem.experts) + plan_elements(task) * 4);
  pending_.prepare();
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  store_.reserve(dtype, layers, problem, options);
  pending_.forget_captures();  // graphs of what was reserved before must not be replayed any more
  reserved_ = std::move(room);
  there_ = {};
}

Room& CudaBackend::room_for(const RoomSizes& sizes, bool may_be_refused) {
  if (!may_be_refused && reserved_.sizes().hold(sizes)) return reserved_;
  if (!grown_.sizes().hold(sizes)) {
    const RoomSizes larger = grown_.sizes().at_least(sizes);
    grown_ = Room();
    grown_ = Room(larger, stream_);
  }
  return grown_;
}

// The host's weights, in the order of our stream, by way of the staging memory's first weight_bytes().
void CudaBackend::send_weights(const Room& room) {
  const Weights& from = store_.weights();
  const DeviceWeights to = room.weights(from.layers, static_cast<int>(from.experts), from.integer);
  const int64_t bytes = from.layers * from.experts * 8;
  std::memcpy(staging_.data(), from.integer ? static_cast<const void*>(from.whole.data()) : from.real.data(),
              static_cast<size_t>(bytes));
  copy(to.sums, staging_.data(), bytes, cudaMemcpyHostToDevice, stream_);
  FaultCode* const faults = reinterpret_cast<FaultCode*>(staging_.data() + bytes);
  for (int64_t l = 0; l < from.layers; ++l) {
    const int64_t e = beyond_float32(from, l);
    faults[l] = e < 0              ? kNoFault
                : e < from.experts ? fault_code(l, static_cast<int>(e), Fault::kFloat32)
                                   : fault_code(l, static_cast<int>(e) - 1, Fault::kFloat32Sum);
  }
  copy(to.float32_fault, faults, from.layers * int64_t{sizeof(FaultCode)}, cudaMemcpyHostToDevice, stream_);
}

void CudaBackend::upload(const WeightSource& source) {
  check_source(source);
  const DeviceScope scope(device_);
  pending_.wait(stream_);
  const bool fits =
      source.experts <= kMaxSlots && RoomSizes::of_weights(source.layers, source.experts) <= reserved_.sizes().weights;
  if (fits) staging_.at_least(weight_bytes(source.layers, source.experts));
  store_.upload(source);
  there_ = {};
  if (!fits) return;
  send_weights(reserved_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  there_.weights = true;
  there_.whole = is_integer(source.dtype);
  there_.layers = source.layers;
  there_.experts = static_cast<int>(source.experts);
}

void CudaBackend::run(const Room& room, const SolveTask& task, const Spread& spread, Plan& plan) {
  const int64_t slots = task.layers * task.shape.slots, experts = task.layers * task.shape.experts;
  const int64_t sent = weight_bytes(task.layers, task.shape.experts), bytes = plan_elements(task) * 4;
  const DevicePlan device_plan = room.plan(task);
  staging_.at_least(sent + bytes);
  const bool are_there = &room == &reserved_ && there_.weights && !pending_.replays();
  if (!are_there) send_weights(room);
  launch_solve(task, spread, room.weights(task.layers, task.shape.experts, store_.weights().integer),
               room.solve_room(task, spread), device_plan, stream_);
  copy(staging_.data() + sent, device_plan.physical_to_logical, bytes, cudaMemcpyDeviceToHost, stream_);
  check(cudaStreamSynchronize(stream_), "a solve");
  const int32_t* const from = reinterpret_cast<const int32_t*>(staging_.data() + sent);
  std::memcpy(plan.physical_to_logical.data(), from, static_cast<size_t>(slots) * 4);
  std::memcpy(plan.replica_slots.data(), from + slots, static_cast<size_t>(slots) * 4);
  std::memcpy(plan.replica_count.data(), from + 2 * slots, static_cast<size_t>(experts) * 4);
}

void CudaBackend::solve(const eplb_problem& asked, const eplb_solve_options& wanted) {
  const DeviceScope scope(device_);
  pull(Needed::kWeights);
  Plan& plan = store_.begin_solve(asked, wanted);
  const SolveTask task = task_of(plan.problem, plan.options, plan.layers);
  const Spread spread = spread_of(task, limits_);
  const Problem problem = plan.problem;
  const Options options = plan.options;
  // GREEDY may turn out to exceed its cap: the plan that is there must outlive that.
  const bool may_be_refused = options.strategy == EPLB_STRATEGY_GREEDY && options.max_replicas > 0;
  Room& room = room_for(RoomSizes::of(task, spread), may_be_refused);
  run(room, task, spread, plan);
  store_.end_solve();
  if (&room == &reserved_) {
    there_ = {true, store_.weights().integer, task.layers, task.shape.experts, problem, options};
    there_.microseconds = store_.microseconds();
  } else {
    there_.problem.reset();
    if (pending_.replays()) there_.weights = false;  // what they leave is older than this
  }
}

MapShape CudaBackend::shape(eplb_map map) const {
  if (there_.newer && there_.problem) return map_shape(map, there_.layers, *there_.problem, there_.options);
  return store_.shape(map);
}

// Copies to the host what device calls have left. A plan that is not there is a fault only where it is needed: its solve may
// have been captured and never launched.
void CudaBackend::pull(Needed needed) {
  pending_.wait(stream_);
  if (!there_.weights || !(there_.newer || pending_.replays())) return;
  Weights& weights = store_.begin_upload(there_.whole, there_.layers, there_.experts);
  const DeviceWeights from = reserved_.weights(there_.layers, there_.experts, there_.whole);
  void* const to = there_.whole ? static_cast<void*>(weights.whole.data()) : weights.real.data();
  copy(to, from.sums, there_.layers * there_.experts * 8, cudaMemcpyDeviceToHost, stream_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  store_.end_upload();
  if (there_.problem && !pull_plan()) {
    if (needed == Needed::kWeights) return;
    fail(EPLB_INVALID_STATE,
         "the reserved device memory does not hold the plan of the last solve: was that one captured and never "
         "launched, "
         "or a graph of another problem replayed?");
  }
  there_.newer = false;
}

bool CudaBackend::pull_plan() {
  const SolveTask task = task_of(*there_.problem, there_.options, there_.layers);
  const DevicePlan from = reserved_.plan(task);
  Plan& plan = store_.begin_plan(*there_.problem, there_.options);
  const int64_t slots = task.layers * task.shape.slots * 4, experts = task.layers * task.shape.experts * 4;
  copy(plan.physical_to_logical.data(), from.physical_to_logical, slots, cudaMemcpyDeviceToHost, stream_);
  copy(plan.replica_slots.data(), from.replica_slots, slots, cudaMemcpyDeviceToHost, stream_);
  copy(plan.replica_count.data(), from.replica_count, experts, cudaMemcpyDeviceToHost, stream_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  if (there_.timed) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, started_, ended_), "cudaEventElapsedTime");
    there_.microseconds = 1000.0 * milliseconds;
    there_.timed = false;
  }
  return store_.end_plan(there_.microseconds);
}

void CudaBackend::fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) {
  const DeviceScope scope(device_);
  pull(Needed::kPlan);
  store_.fetch(map, dtype, buffer, length);
}

// Once: the next report begins anew.
void CudaBackend::throw_fault() {
  if (reserved_.bytes() == 0) return;
  FaultCode code = kNoFault;
  copy(&code, reserved_.fault(), sizeof code, cudaMemcpyDeviceToHost, stream_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  if (code == kNoFault) return;
  check(cudaMemsetAsync(reserved_.fault(), 0xff, sizeof code, stream_), "cudaMemsetAsync");
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  fail_with(code);
}

void CudaBackend::report(eplb_report& report) {
  const DeviceScope scope(device_);
  pull(Needed::kPlan);
  throw_fault();
  store_.report(report, bytes());
}

void CudaBackend::evaluate(const eplb_problem& problem, const void* placement, int64_t length, eplb_dtype dtype,
                           eplb_report& report, const LayerOutputs& outputs, int64_t outputs_length) {
  const DeviceScope scope(device_);
  pull(Needed::kWeights);
  store_.evaluate(problem, placement, length, dtype, report, outputs, outputs_length, bytes());
}

void CudaBackend::synchronize() {
  const DeviceScope scope(device_);
  pending_.wait(stream_);
  throw_fault();
}

// ---------------------------------------------------------------------------------------------------------- device calls

void CudaBackend::upload_device(const WeightSource& source, void* stream) {
  check_source(source);
  if (source.experts > kMaxSlots)  // beyond, no problem fits
    fail(EPLB_INVALID_STATE, "num_experts is %lld, more than any reserve: at most %lld", ll(source.experts),
         ll(kMaxSlots));
  RoomSizes needed;
  needed.weights = RoomSizes::of_weights(source.layers, source.experts);
  if (!reserved_.sizes().hold(needed)) refuse("eplb_upload_weights_device", needed, reserved_.sizes());
  const DeviceScope scope(device_);
  const bool whole = is_integer(source.dtype);
  const DeviceWeights to = reserved_.weights(source.layers, static_cast<int>(source.experts), whole);
  launch_sum(source.data, source.dtype, source.windows, to, stream_of(stream));
  pending_.note(stream_of(stream), stream_);
  store_.forget();
  there_ = {};
  there_.weights = there_.newer = true;
  there_.whole = whole;
  there_.layers = source.layers;
  there_.experts = to.experts;
}

void CudaBackend::solve_device(const eplb_problem& asked, const eplb_solve_options& wanted, void* stream) {
  if (!there_.weights)
    fail(EPLB_INVALID_STATE,
         "there are no weights in the reserved device memory: call eplb_context_reserve and eplb_upload_weights_device "
         "first");
  const Problem problem = check_problem(asked, there_.experts);
  const Options options = check_options(wanted, problem);
  SolveTask task = task_of(problem, options, there_.layers);
  if (options.strategy == EPLB_STRATEGY_GREEDY) task.cap = static_cast<int>(options.max_replicas);
  const Spread spread = spread_of(task, limits_);
  const RoomSizes needed = RoomSizes::of(task, spread);
  if (!reserved_.sizes().hold(needed)) refuse("eplb_solve_device", needed, reserved_.sizes());
  const DeviceScope scope(device_);
  const bool timed = !is_capturing(stream_of(stream));
  there_.timed = false;  // until both events are of this solve
  if (timed) check(cudaEventRecord(started_, stream_of(stream)), "cudaEventRecord");
  launch_solve(task, spread, reserved_.weights(task.layers, task.shape.experts, there_.whole),
               reserved_.solve_room(task, spread), reserved_.plan(task), stream_of(stream));
  if (timed) check(cudaEventRecord(ended_, stream_of(stream)), "cudaEventRecord");
  pending_.note(stream_of(stream), stream_);
  there_.problem = problem;
  there_.options = options;
  there_.newer = true;
  there_.timed = timed;
  there_.microseconds = 0;
}

void CudaBackend::fetch_device(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length, void* stream) {
  if (!there_.problem)
    fail(EPLB_INVALID_STATE, "there is no plan in the reserved device memory: call eplb_solve_device first");
  const MapShape shape = map_shape(map, there_.layers, *there_.problem, there_.options);
  check_map_buffer(map, dtype, buffer, length, shape);
  const SolveTask task = task_of(*there_.problem, there_.options, there_.layers);
  const DeviceWeights weights = reserved_.weights(task.layers, task.shape.experts, there_.whole);
  const DeviceScope scope(device_);
  if (map == EPLB_MAP_BOUND) {
    const Spread spread = spread_of(task, limits_);
    launch_bounds(task, spread, weights, reserved_.solve_room(task, spread), static_cast<double*>(buffer),
                  stream_of(stream));
  } else {
    launch_map(map, dtype, buffer, shape.dims[2], task, weights, reserved_.plan(task), stream_of(stream));
  }
  pending_.note(stream_of(stream), stream_);
}

std::unique_ptr<Backend> make_backend(int index) { return std::make_unique<CudaBackend>(index); }

}  // namespace eplb::cuda
