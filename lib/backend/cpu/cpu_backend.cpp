#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "backend/cpu/workers.h"
#include "core/error.h"
#include "core/placement.h"

namespace eplb::cpu {
namespace {

constexpr std::align_val_t kAlign{64};

double now_microseconds() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

LayerSizes sizes_of(const Problem& problem, const Options& options) {
  // GREEDY is the published program, which knows no cap; what it gives is checked afterwards.
  const bool capped = options.max_replicas > 0 && options.strategy != EPLB_STRATEGY_GREEDY;
  const int64_t most = capped ? std::min(options.max_replicas, problem.slots) : problem.slots;
  return {static_cast<int>(problem.experts),
          static_cast<int>(problem.slots),
          static_cast<int>(problem.gpus),
          static_cast<int>(problem.nodes),
          static_cast<int>(problem.groups),
          static_cast<int>(most),
          options.seed};
}

// The published program computes in float32: what does not fit there has no answer.
void check_float32(const Weights& weights) {
  if (weights.fits_float32) return;
  for (int64_t l = 0; l < weights.layers; ++l) {
    double total = 0;
    for (int64_t e = 0; e < weights.experts; ++e) {
      const float rounded = static_cast<float>(weights.real[l * weights.experts + e]);
      total += rounded;
      if (rounded > FLT_MAX)
        fail(EPLB_INVALID_WEIGHT, "weights[layer %lld, expert %lld] is above what the float32 of greedy holds",
             static_cast<long long>(l), static_cast<long long>(e));
    }
    if (static_cast<float>(total) > FLT_MAX)
      fail(EPLB_INVALID_WEIGHT, "weights[layer %lld] sum to more than the float32 of greedy holds",
           static_cast<long long>(l));
  }
}

void check_cap(const Plan& plan) {
  if (plan.options.max_replicas == 0 || plan.options.strategy != EPLB_STRATEGY_GREEDY) return;
  const auto& counts = plan.replica_count;
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > plan.options.max_replicas)
      fail(EPLB_INVALID_ARGUMENT, "max_replicas is %lld, but greedy gives expert %lld of layer %lld %d replicas",
           static_cast<long long>(plan.options.max_replicas), static_cast<long long>(i) % plan.problem.experts,
           static_cast<long long>(i) / plan.problem.experts, counts[i]);
}

}  // namespace

void Block::Free::operator()(void* p) const { ::operator delete(p, kAlign); }

void Block::at_least(int64_t bytes) {
  if (bytes <= bytes_) return;
  data_.reset();
  bytes_ = 0;
  data_.reset(::operator new(static_cast<size_t>(bytes), kAlign));
  std::memset(data_.get(), 0, static_cast<size_t>(bytes));
  bytes_ = bytes;
}

int CpuBackend::worker_count(int64_t layers) const {
  return static_cast<int>(std::min<int64_t>({num_threads_, layers, 65536}));
}

void CpuBackend::prepare_workers(const LayerSizes& sizes, eplb_strategy strategy, int workers) {
  const int64_t bytes = kernel_.workspace_bytes(sizes, strategy);
  if (workspaces_.size() < static_cast<size_t>(workers)) workspaces_.resize(workers);
  for (int w = 0; w < workers; ++w) workspaces_[w].at_least(bytes);
}

void CpuBackend::reserve(eplb_dtype dtype, int64_t, int64_t layers, const Problem& problem, const Options& options) {
  // All aside first: what was uploaded and solved is given up only when there is memory for what comes.
  Weights weights, spare_weights;
  Plan plan, spare_plan;
  for (Weights* w : {&weights, &spare_weights}) w->resize(is_integer(dtype), layers, problem.experts);
  for (Plan* p : {&plan, &spare_plan}) p->resize(problem, options, layers);
  prepare_workers(sizes_of(problem, options), options.strategy, worker_count(layers));
  weights_ = std::move(weights);
  spare_weights_ = std::move(spare_weights);
  plan_ = std::move(plan);
  spare_plan_ = std::move(spare_plan);
  reserved_ = {layers, problem, options};
  has_ = Has::kNothing;
}

void CpuBackend::upload(const WeightSource& source) {
  read_weights(source, spare_weights_);
  weights_.reserve(spare_weights_);  // so that the next upload of this shape allocates nothing
  std::swap(weights_, spare_weights_);
  has_ = Has::kWeights;
}

void CpuBackend::solve_layers(const LayerSizes& sizes, const Options& options) {
  std::atomic<int64_t> next{0};
  auto take_layers = [&](int worker) {
    for (int64_t l; (l = next.fetch_add(1, std::memory_order_relaxed)) < spare_plan_.layers;) {
      const int64_t experts = l * sizes.experts, slots = l * sizes.slots;
      const LayerTask task{weights_.integer ? nullptr : &weights_.real[experts],
                           weights_.integer ? &weights_.whole[experts] : nullptr,
                           &spare_plan_.physical_to_logical[slots], &spare_plan_.replica_count[experts],
                           &spare_plan_.replica_slots[slots]};
      kernel_.solve(sizes, options.strategy, options.effort, task, workspaces_[worker].data());
    }
  };
  run_workers(worker_count(spare_plan_.layers), take_layers);
}

void CpuBackend::solve(const eplb_problem& asked, const eplb_solve_options& wanted) {
  if (has_ < Has::kWeights) fail(EPLB_INVALID_STATE, "there are no weights: call eplb_upload_weights first");
  const double start = now_microseconds();
  const Problem problem = check_problem(asked, weights_.experts);
  const Options options = check_options(wanted, problem);
  if (options.strategy == EPLB_STRATEGY_GREEDY) check_float32(weights_);
  const LayerSizes sizes = sizes_of(problem, options);
  spare_plan_.resize(problem, options, weights_.layers);
  prepare_workers(sizes, options.strategy, worker_count(weights_.layers));
  solve_layers(sizes, options);
  check_cap(spare_plan_);
  plan_.reserve(spare_plan_);  // as in upload
  std::swap(plan_, spare_plan_);
  plan_.microseconds = now_microseconds() - start;
  has_ = Has::kPlan;
}

MapShape CpuBackend::shape(eplb_map map) const {
  if (has_ == Has::kPlan) return map_shape(map, plan_.layers, plan_.problem, plan_.options);
  if (reserved_) return map_shape(map, reserved_->layers, reserved_->problem, reserved_->options);
  fail(EPLB_INVALID_STATE, "there is no plan: call eplb_solve or eplb_context_reserve first");
}

void CpuBackend::fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) {
  if (has_ != Has::kPlan) fail(EPLB_INVALID_STATE, "there is no plan: call eplb_solve first");
  write_map(weights_, plan_, map, dtype, buffer, length);
}

int64_t CpuBackend::bytes() const {
  int64_t sum = sizeof *this + weights_.bytes() + spare_weights_.bytes() + plan_.bytes() + spare_plan_.bytes();
  for (const Block& workspace : workspaces_) sum += workspace.bytes();
  return sum;
}

void CpuBackend::report(eplb_report& report) {
  if (has_ != Has::kPlan) fail(EPLB_INVALID_STATE, "there is no plan: call eplb_solve first");
  fill_report(weights_, plan_.problem, plan_.physical_to_logical.data(), report);
  report.microseconds = plan_.microseconds;
  report.strategy = plan_.options.strategy;
  report.context_bytes = bytes();
}

void CpuBackend::evaluate(const eplb_problem& asked, const void* placement, int64_t length, eplb_dtype dtype,
                          eplb_report& report, const LayerOutputs& outputs, int64_t outputs_length) {
  if (has_ < Has::kWeights) fail(EPLB_INVALID_STATE, "there are no weights: call eplb_upload_weights first");
  const double start = now_microseconds();
  const Problem problem = check_problem(asked, weights_.experts);
  const bool wanted = outputs.imbalance || outputs.bound || outputs.duplicates;
  if (wanted && outputs_length != weights_.layers)
    fail(EPLB_INVALID_ARGUMENT, "layers_length is %lld, must be num_layers = %lld",
         static_cast<long long>(outputs_length), static_cast<long long>(weights_.layers));
  const std::vector<int32_t> ids = read_placement(placement, length, dtype, weights_.layers, problem);
  fill_report(weights_, problem, ids.data(), report, outputs);
  report.microseconds = now_microseconds() - start;
  report.strategy = -1;
  report.context_bytes = bytes();
}

namespace {
[[noreturn]] void refuse_device_call(const char* name) {
  fail(EPLB_INVALID_ARGUMENT, "%s needs a CUDA context, this is a CPU context: call it without _device", name);
}
}  // namespace

void CpuBackend::upload_device(const WeightSource&, void*) { refuse_device_call("eplb_upload_weights_device"); }
void CpuBackend::solve_device(const eplb_problem&, const eplb_solve_options&, void*) {
  refuse_device_call("eplb_solve_device");
}
void CpuBackend::fetch_device(eplb_map, eplb_dtype, void*, int64_t, void*) {
  refuse_device_call("eplb_fetch_map_device");
}

BackendFacts facts() {
  BackendFacts facts;
  facts.built = true;
  facts.status = EPLB_OK;
  facts.devices = 1;
  facts.sentence = std::string("uses ") + fastest_kernel().name + ", built for";
  for (const Kernel* kernel : kernels()) facts.sentence += std::string(" ") + kernel->name;
  return facts;
}

std::string device_name() { return std::string("CPU (") + fastest_kernel().name + ")"; }

std::unique_ptr<Backend> make_backend(int64_t num_threads) { return std::make_unique<CpuBackend>(num_threads); }

}  // namespace eplb::cpu
