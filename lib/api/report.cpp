#include "api/context.h"
#include "api/defaults.h"
#include "core/error.h"
#include "eplb.h"

using eplb::fail;
using eplb::Session;
using eplb::api::guard;
using eplb::api::with_session;

eplb_status eplb_report_init(eplb_report* report, int64_t struct_size, eplb_error* err) {
  return guard(err, [&] {
    eplb::api::init_struct(report, struct_size, eplb::api::kReportSize, "report", eplb_report{});
  });
}

eplb_status eplb_fetch_report(eplb_context* context, eplb_report* report, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    if (report == nullptr) fail(EPLB_INVALID_ARGUMENT, "report is NULL");
    eplb::api::read_struct(report, eplb::api::kReportSize, "report", eplb_report{});
    eplb_report filled{};
    session.report(filled);
    eplb::api::write_struct(report, filled);
  });
}

eplb_status eplb_evaluate(eplb_context* context, const eplb_problem* problem, const void* placement,
                          int64_t placement_length, eplb_dtype dtype, eplb_report* report,
                          double* imbalance, double* bound, int64_t* duplicates,
                          int64_t layers_length, eplb_error* err) {
  return with_session(context, err, [&](Session& session) {
    if (report) eplb::api::read_struct(report, eplb::api::kReportSize, "report", eplb_report{});
    eplb_report filled{};
    session.evaluate(eplb::api::read_problem(problem), placement, placement_length, dtype, filled,
                     {imbalance, bound, duplicates}, layers_length);
    if (report) eplb::api::write_struct(report, filled);
  });
}
