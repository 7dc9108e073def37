#include "api/context.h"
#include "api/defaults.h"
#include "core/error.h"
#include "eplb.h"

using namespace eplb;
using namespace eplb::api;

eplb_status eplb_split_options_init(eplb_split_options* options, int64_t struct_size,
                                    eplb_error* err) {
  return guard(err, [&] { init_struct(options, struct_size, kSplitOptions); });
}

eplb_status eplb_split_prepare(eplb_context* context, const eplb_problem* problem,
                               const void* placement, int64_t placement_length, eplb_dtype dtype,
                               eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    const eplb_problem asked = read_problem(problem);
    session.prepare_split({&asked, placement, placement_length, dtype});
  });
}

eplb_status eplb_split(eplb_context* context, const eplb_problem* problem, const void* placement,
                       int64_t placement_length, eplb_dtype dtype,
                       const eplb_split_options* options, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    const eplb_split_options wanted = read_split_options(options);
    if (problem == nullptr) return session.split({}, wanted);
    const eplb_problem asked = read_problem(problem);
    session.split({&asked, placement, placement_length, dtype}, wanted);
  });
}

eplb_status eplb_split_prepare_device(eplb_context* context, const eplb_problem* problem,
                                      const void* placement, int64_t placement_length,
                                      eplb_dtype dtype, void* stream, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    const eplb_problem asked = read_problem(problem);
    session.prepare_split_device({&asked, placement, placement_length, dtype}, stream);
  });
}

eplb_status eplb_split_device(eplb_context* context, const eplb_problem* problem,
                              const void* placement, int64_t placement_length, eplb_dtype dtype,
                              const eplb_split_options* options, void* stream, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    const eplb_split_options wanted = read_split_options(options);
    if (problem == nullptr) return session.split_device({}, wanted, stream);
    const eplb_problem asked = read_problem(problem);
    session.split_device({&asked, placement, placement_length, dtype}, wanted, stream);
  });
}

eplb_status eplb_static_dispatch_options_init(eplb_static_dispatch_options* options,
                                              int64_t struct_size, eplb_error* err) {
  return guard(err, [&] { init_struct(options, struct_size, kStaticDispatchOptions); });
}

eplb_status eplb_static_dispatch(eplb_context* context, const eplb_problem* problem,
                                 const void* placement, int64_t placement_length, eplb_dtype dtype,
                                 const eplb_static_dispatch_options* options, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    const eplb_static_dispatch_options wanted = read_dispatch_options(options);
    if (problem == nullptr) return session.dispatch({}, wanted);
    const eplb_problem asked = read_problem(problem);
    session.dispatch({&asked, placement, placement_length, dtype}, wanted);
  });
}
