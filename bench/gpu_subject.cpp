#include "gpu_subject.h"

#include <stdexcept>

namespace bench {
namespace {

// The widest that logical_to_physical can be.
size_t places_of_an_expert(const Trace& trace, Shape shape) {
  return size_t(shape.slots - trace.experts + 1);
}

}  // namespace

GpuSubject::GpuSubject(const Candidate& candidate, const Trace& trace, Shape shape)
    : trace_(trace),
      weights_(trace.weights),
      placement_(size_t(trace.layers) * shape.slots),
      slots_of_experts_(trace.weights.size() * places_of_an_expert(trace, shape)) {
  ask(candidate, shape, problem_, options_);
  create();
  stream_.capture([&] {
    upload();
    solve();
    fetch(EPLB_MAP_PHYSICAL_TO_LOGICAL, placement_);
  });
}

GpuSubject::~GpuSubject() { eplb_context_destroy(context_); }

void GpuSubject::check(eplb_status status, const eplb_error& err) const {
  if (status != EPLB_OK)
    throw std::runtime_error(std::string(eplb_status_name(status)) + ": " + err.text);
}

void GpuSubject::create() {
  eplb_error err;
  eplb_context_options where;
  check(eplb_context_options_init(&where, sizeof where, &err), err);
  where.device_kind = EPLB_DEVICE_CUDA;
  check(eplb_context_create(&context_, &where, &err), err);
  check(eplb_context_reserve(context_, EPLB_FLOAT32, 1, trace_.layers, trace_.experts, &problem_,
                             &options_, &err),
        err);
}

void GpuSubject::upload() {
  eplb_error err;
  check(eplb_upload_weights_device(context_, weights_.data(), weights_.length(), EPLB_FLOAT32, 1,
                                   trace_.layers, trace_.experts, stream_, &err),
        err);
}

void GpuSubject::solve() {
  eplb_error err;
  check(eplb_solve_device(context_, &problem_, &options_, stream_, &err), err);
}

void GpuSubject::fetch(eplb_map map, const GpuArray<int32_t>& buffer) {
  eplb_error err;
  check(eplb_fetch_map_device(context_, map, EPLB_INT32, buffer.data(), buffer.length(), stream_,
                              &err),
        err);
}

void GpuSubject::add_stages(Stages& stages) {
  stages.upload.push_back(stream_.timed([&] { upload(); }));
  stages.solve.push_back(stream_.timed([&] { solve(); }));
  stages.fetch.push_back(stream_.timed([&] { fetch(EPLB_MAP_PHYSICAL_TO_LOGICAL, placement_); }));
  stages.fetch_logical_to_physical.push_back(
      stream_.timed([&] { fetch(EPLB_MAP_LOGICAL_TO_PHYSICAL, slots_of_experts_); }));
}

eplb_report GpuSubject::report() {
  eplb_error err;
  eplb_report report;
  check(eplb_report_init(&report, sizeof report, &err), err);
  check(eplb_fetch_report(context_, &report, &err), err);
  return report;
}

}  // namespace bench
