#include "api/context.h"
#include "api/defaults.h"
#include "core/error.h"
#include "eplb.h"

using namespace eplb;
using namespace eplb::api;

eplb_status eplb_report_init(eplb_report* report, int64_t struct_size, eplb_error* err) {
  return guard(err, [&] { init_struct(report, struct_size, kReport); });
}

eplb_status eplb_fetch_report(eplb_context* context, eplb_report* report, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    read_struct(report, kReport);
    eplb_report filled{};
    session.report(filled);
    write_struct(report, filled);
  });
}

eplb_status eplb_evaluate(eplb_context* context, const eplb_problem* problem, const void* placement,
                          int64_t placement_length, eplb_dtype dtype, eplb_report* report,
                          double* imbalance, double* bound, int64_t* duplicates,
                          int64_t layers_length, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    if (report) read_struct(report, kReport);
    eplb_report filled{};
    session.evaluate(read_problem(problem), placement, placement_length, dtype, filled,
                     {imbalance, bound, duplicates}, layers_length);
    if (report) write_struct(report, filled);
  });
}

eplb_status eplb_evaluate_windows(eplb_context* context, const eplb_problem* problem,
                                  const void* placement, int64_t placement_length, eplb_dtype dtype,
                                  double* window_imbalance, double* window_bound,
                                  int64_t windows_length, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    session.evaluate_windows(read_problem(problem), placement, placement_length, dtype,
                             {window_imbalance, window_bound}, windows_length);
  });
}

eplb_status eplb_plan_transfers(eplb_context* context, const eplb_problem* problem,
                                eplb_transfer_order transfer_order, const void* current,
                                const void* placement, void* move_source, void* move_round,
                                void* move_group, int64_t placement_length, eplb_dtype dtype,
                                eplb_report* report, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    if (report) read_struct(report, kReport);
    eplb_report filled{};
    session.plan_transfers(read_problem(problem), transfer_order,
                           {current, placement, placement_length, dtype},
                           {move_source, move_round, move_group}, filled);
    if (report) write_struct(report, filled);
  });
}
