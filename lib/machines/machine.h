// The seam between the C API and the machines.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/plan.h"
#include "core/problem.h"
#include "core/report.h"
#include "core/weights.h"
#include "eplb.h"

namespace eplb {

struct BackendFacts {
  bool built = false;
  eplb_status status = EPLB_NOT_BUILT;  // EPLB_OK: can be used
  int devices = 0, driver_version = 0, driver_needed = 0, runtime_version = 0;
  std::string sentence;  // why it can or cannot be used
};

// Everything a context can do, on one device. Calls come one at a time. A call that throws leaves weights and plan as they
// were. The ..._device functions have the order of `stream`.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual void reserve(eplb_dtype dtype, int64_t windows, int64_t layers, const Problem& problem,
                       const Options& options) = 0;
  virtual void upload(const WeightSource& source) = 0;
  virtual void solve(const eplb_problem& problem, const eplb_solve_options& options) = 0;
  virtual MapShape shape(eplb_map map) const = 0;
  virtual void fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) = 0;
  virtual void report(eplb_report& report) = 0;
  virtual void evaluate(const eplb_problem& problem, const void* placement, int64_t length, eplb_dtype dtype,
                        eplb_report& report, const LayerOutputs& outputs, int64_t outputs_length) = 0;
  virtual void synchronize() = 0;

  // In a process forked from the context's: forgets the device without a call to it.
  virtual void abandon() {}

  virtual void upload_device(const WeightSource& source, void* stream) = 0;
  virtual void solve_device(const eplb_problem& problem, const eplb_solve_options& options, void* stream) = 0;
  virtual void fetch_device(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length, void* stream) = 0;
};

namespace cpu {
BackendFacts facts();
std::string device_name();
std::unique_ptr<Backend> make_backend(int64_t num_threads);
}  // namespace cpu

// Either backend/cuda or backend/no_cuda defines these.
namespace cuda {
BackendFacts facts();
std::string device_name(int index);
std::unique_ptr<Backend> make_backend(int index);
}  // namespace cuda

}  // namespace eplb
