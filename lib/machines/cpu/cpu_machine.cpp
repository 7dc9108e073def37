#include "machines/cpu/cpu_machine.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "machines/cpu/threads.h"
#include "core/error.h"

namespace eplb::cpu {
namespace {

constexpr std::align_val_t kAlign{64};

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
  prepare_workers(layer_sizes<LayerSizes>(problem, options), options.strategy, worker_count(layers));
  store_.reserve(dtype, layers, problem, options);
}

void CpuBackend::solve_layers(const LayerSizes& sizes, Plan& plan) {
  const Weights& weights = store_.weights();
  std::atomic<int64_t> next{0};
  auto take_layers = [&](int worker) {
    for (int64_t l; (l = next.fetch_add(1, std::memory_order_relaxed)) < plan.layers;) {
      const int64_t experts = l * sizes.experts, slots = l * sizes.slots;
      const LayerTask task{weights.integer ? nullptr : &weights.real[experts],
                           weights.integer ? &weights.whole[experts] : nullptr, &plan.physical_to_logical[slots],
                           &plan.replica_count[experts], &plan.replica_slots[slots]};
      kernel_.solve(sizes, plan.options.strategy, plan.options.effort, task, workspaces_[worker].data());
    }
  };
  run_workers(worker_count(plan.layers), take_layers);
}

void CpuBackend::solve(const eplb_problem& asked, const eplb_solve_options& wanted) {
  Plan& plan = store_.begin_solve(asked, wanted);
  const LayerSizes sizes = layer_sizes<LayerSizes>(plan.problem, plan.options);
  prepare_workers(sizes, plan.options.strategy, worker_count(plan.layers));
  solve_layers(sizes, plan);
  store_.end_solve();
}

int64_t CpuBackend::bytes() const {
  int64_t sum = sizeof *this - sizeof store_;
  for (const Block& workspace : workspaces_) sum += workspace.bytes();
  return sum;
}

void CpuBackend::evaluate(const eplb_problem& problem, const void* placement, int64_t length, eplb_dtype dtype,
                          eplb_report& report, const LayerOutputs& outputs, int64_t outputs_length) {
  store_.evaluate(problem, placement, length, dtype, report, outputs, outputs_length, bytes());
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
