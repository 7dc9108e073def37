#include "api/context.h"
#include "api/defaults.h"
#include "core/error.h"
#include "eplb.h"

using namespace eplb;
using namespace eplb::api;

eplb_status eplb_upload_weights(eplb_context* context, const void* weights, int64_t weights_length,
                                eplb_dtype dtype, int64_t num_windows, int64_t num_layers,
                                int64_t num_experts, eplb_error* err) {
  const WeightSource source{weights, weights_length, dtype, num_windows, num_layers, num_experts};
  return with_session(context, err, [&](Session& session) { session.upload(source); });
}

eplb_status eplb_upload_weights_device(eplb_context* context, const void* weights,
                                       int64_t weights_length, eplb_dtype dtype,
                                       int64_t num_windows, int64_t num_layers, int64_t num_experts,
                                       void* stream, eplb_error* err) {
  const WeightSource source{weights, weights_length, dtype, num_windows, num_layers, num_experts};
  return with_session(context, err,
                      [&](Session& session) { session.upload_device(source, stream); });
}

eplb_status eplb_upload_cluster(eplb_context* context, const int64_t* slots, const double* speeds,
                                const int64_t* nodes, int64_t num_gpus, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.upload(&Tables::cluster, read_cluster(slots, speeds, nodes, num_gpus));
  });
}

eplb_status eplb_upload_prices(eplb_context* context, const double* prices, int64_t prices_length,
                               int64_t num_nodes, int64_t num_columns, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.upload(&Tables::prices, read_prices({prices, prices_length, num_nodes, num_columns}));
  });
}

eplb_status eplb_upload_window_weights(eplb_context* context, const double* weights,
                                       int64_t num_windows, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.upload(&Tables::window_weights, read_window_weights(weights, num_windows));
  });
}

eplb_status eplb_upload_placement(eplb_context* context, const void* placement,
                                  int64_t placement_length, eplb_dtype dtype, int64_t num_layers,
                                  int64_t num_slots, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.upload_current({placement, placement_length, dtype, num_layers, num_slots});
  });
}

eplb_status eplb_upload_placement_device(eplb_context* context, const void* placement,
                                         int64_t placement_length, eplb_dtype dtype,
                                         int64_t num_layers, int64_t num_slots, void* stream,
                                         eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.upload_current_device({placement, placement_length, dtype, num_layers, num_slots},
                                  stream);
  });
}

eplb_status eplb_problem_init(eplb_problem* problem, int64_t struct_size, eplb_error* err) {
  return guard(err, [&] { init_struct(problem, struct_size, kProblem); });
}

eplb_status eplb_solve_options_init(eplb_solve_options* options, int64_t struct_size,
                                    eplb_error* err) {
  return guard(err, [&] { init_struct(options, struct_size, kSolveOptions); });
}

eplb_status eplb_solve(eplb_context* context, const eplb_problem* problem,
                       const eplb_solve_options* options, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.solve(read_problem(problem), read_options(options));
  });
}

eplb_status eplb_solve_device(eplb_context* context, const eplb_problem* problem,
                              const eplb_solve_options* options, void* stream, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.solve_device(read_problem(problem), read_options(options), stream);
  });
}

eplb_status eplb_map_shape(eplb_context* context, eplb_map map, int32_t* rank, int64_t* dims,
                           int64_t dims_length, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    if (rank == nullptr) fail(EPLB_INVALID_ARGUMENT, "rank is NULL");
    if (dims == nullptr) fail(EPLB_INVALID_ARGUMENT, "dims is NULL");
    check_least("dims_length", dims_length, 4);
    const MapShape shape = session.shape(map);
    *rank = shape.rank;
    for (int i = 0; i < 4; ++i) dims[i] = shape.dims[i];
  });
}

eplb_status eplb_fetch_map(eplb_context* context, eplb_map map, eplb_dtype dtype, void* buffer,
                           int64_t length, eplb_error* err) {
  return with_session(context, err,
                      [&](Session& session) { session.fetch(map, dtype, buffer, length); });
}

eplb_status eplb_fingerprint(eplb_context* context, uint64_t* value, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    if (value == nullptr) fail(EPLB_INVALID_ARGUMENT, "value is NULL");
    *value = session.fingerprint();
  });
}

eplb_status eplb_fetch_map_device(eplb_context* context, eplb_map map, eplb_dtype dtype,
                                  void* buffer, int64_t length, void* stream, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.fetch_device(map, dtype, buffer, length, stream);
  });
}
