#include "api/context.h"

#include "api/defaults.h"
#include "core/error.h"
#include "eplb.h"

using namespace eplb;
using namespace eplb::api;

namespace {

std::unique_ptr<Machine> make_machine(const eplb_context_options& options) {
  check_least("num_threads", options.num_threads, 1);
  if (options.device_kind == EPLB_DEVICE_CUDA) return cuda::make_machine(options.device_index);
  if (options.device_kind != EPLB_DEVICE_CPU)
    fail(EPLB_INVALID_ARGUMENT, "device_kind is %d, must be EPLB_DEVICE_CPU or EPLB_DEVICE_CUDA",
         options.device_kind);
  if (options.device_index != 0)
    fail(EPLB_NO_DEVICE, "device_index is %d, there is one CPU device, 0", options.device_index);
  return cpu::make_machine(options.num_threads);
}

}  // namespace

eplb_status eplb_context_options_init(eplb_context_options* options, int64_t struct_size,
                                      eplb_error* err) {
  return guard(err, [&] { init_struct(options, struct_size, kContextOptions); });
}

eplb_status eplb_context_create(eplb_context** context, const eplb_context_options* options,
                                eplb_error* err) {
  return guard(err, [&] {
    if (context == nullptr) fail(EPLB_INVALID_ARGUMENT, "context is NULL");
    *context = new eplb_context(
        make_machine(options ? read_struct(options, kContextOptions) : kContextOptions.defaults));
  });
}

void eplb_context_destroy(eplb_context* context) {
  const NoCancellation whole;
  if (context != nullptr && context->process != getpid()) context->session.abandon();
  delete context;
}

void eplb_context_interrupt(eplb_context* context) {
  if (context != nullptr) context->session.interrupt();
}

eplb_status eplb_context_synchronize(eplb_context* context, eplb_error* err) {
  return with_session(context, err, [](Session& session) { session.synchronize(); });
}

eplb_status eplb_context_reserve(eplb_context* context, eplb_dtype dtype, int64_t num_windows,
                                 int64_t num_layers, int64_t num_experts,
                                 const eplb_problem* problem, const eplb_solve_options* options,
                                 eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.reserve(dtype, num_windows, num_layers, num_experts, read_problem(problem),
                    read_options(options));
  });
}
