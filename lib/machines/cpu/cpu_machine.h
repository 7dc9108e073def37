// A context's work on the host.
#pragma once

#include <memory>
#include <vector>

#include "machines/machine.h"
#include "machines/cpu/kernel.h"
#include "session/store.h"

namespace eplb::cpu {

// Memory that starts on a vector's boundary; zero at first, so that padding holds no surprises.
class Block {
 public:
  void at_least(int64_t bytes);
  void* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

class CpuBackend final : public Backend {
 public:
  // Which instruction set is a choice for tests; the answer does not depend on it.
  explicit CpuBackend(int64_t num_threads, const Kernel& kernel = fastest_kernel())
      : kernel_(kernel), num_threads_(num_threads) {}

  void reserve(eplb_dtype dtype, int64_t windows, int64_t layers, const Problem& problem,
               const Options& options) override;
  void upload(const WeightSource& source) override { store_.upload(source); }
  void solve(const eplb_problem& problem, const eplb_solve_options& options) override;
  MapShape shape(eplb_map map) const override { return store_.shape(map); }
  void fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) override {
    store_.fetch(map, dtype, buffer, length);
  }
  void report(eplb_report& report) override { store_.report(report, bytes()); }
  void evaluate(const eplb_problem& problem, const void* placement, int64_t length, eplb_dtype dtype,
                eplb_report& report, const LayerOutputs& outputs, int64_t outputs_length) override;
  void synchronize() override {}

  void upload_device(const WeightSource& source, void* stream) override;
  void solve_device(const eplb_problem& problem, const eplb_solve_options& options, void* stream) override;
  void fetch_device(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length, void* stream) override;

 private:
  int worker_count(int64_t layers) const;
  void prepare_workers(const LayerSizes& sizes, eplb_strategy strategy, int workers);
  void solve_layers(const LayerSizes& sizes, Plan& plan);
  int64_t bytes() const;

  const Kernel& kernel_;
  int64_t num_threads_;
  Store store_;
  std::vector<Block> workspaces_;  // one per thread
};

}  // namespace eplb::cpu
