#include "gpu_splits.h"

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

void check_status(eplb_status status, const eplb_error& err) {
  if (status != EPLB_OK)
    throw std::runtime_error(std::string(eplb_status_name(status)) + ": " + err.text);
}

eplb_context* context_on(eplb_device_kind kind, int64_t threads) {
  eplb_error err;
  eplb_context_options options;
  eplb_context* context = nullptr;
  check_status(eplb_context_options_init(&options, sizeof options, &err), err);
  options.device_kind = kind;
  options.num_threads = threads;
  check_status(eplb_context_create(&context, &options, &err), err);
  return context;
}

void upload_to(eplb_context* context, const Trace& trace) {
  eplb_error err;
  check_status(eplb_upload_weights(context, trace.weights.data(), int64_t(trace.weights.size()),
                                   EPLB_FLOAT32, 1, trace.layers, trace.experts, &err),
               err);
}

void fetch_ints(eplb_context* context, eplb_map map, std::vector<int32_t>& out) {
  eplb_error err;
  check_status(eplb_fetch_map(context, map, EPLB_INT32, out.data(), int64_t(out.size()), &err),
               err);
}

constexpr Candidate kBest{"BEST, NORMAL", EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL};

}  // namespace

SplitTask split_task(const Trace& before, const Trace& now, Shape shape, bool made_for_splits) {
  SplitTask task{now, shape};
  task.placement.resize(size_t(before.layers) * shape.slots);
  eplb_problem problem;
  eplb_solve_options options;
  ask(kBest, shape, problem, options);
  if (made_for_splits) problem.objective = EPLB_OBJECTIVE_SPLIT;
  eplb_error err;
  eplb_context* const context =
      context_on(EPLB_DEVICE_CPU, std::max(1u, std::thread::hardware_concurrency()));
  upload_to(context, before);
  check_status(eplb_solve(context, &problem, &options, &err), err);
  fetch_ints(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, task.placement);
  eplb_context_destroy(context);
  return task;
}

// -------------------------------------------------------------------------------------------- both

SplitSubject::SplitSubject(const SplitTask& task, eplb_device_kind kind) : task_(task) {
  eplb_solve_options unused;
  ask(kBest, task.shape, problem_, unused);
  context_ = context_on(kind, 1);
}

SplitSubject::~SplitSubject() { eplb_context_destroy(context_); }

void SplitSubject::check(eplb_status status, const eplb_error& err) const {
  check_status(status, err);
}

void SplitSubject::prepare() {
  eplb_error err;
  check(eplb_split_prepare(context_, &problem_, task_.placement.data(),
                           int64_t(task_.placement.size()), EPLB_INT32, &err),
        err);
}

std::vector<int32_t> SplitSubject::shares() {
  std::vector<int32_t> out(task_.placement.size());
  fetch_ints(context_, EPLB_MAP_SHARE, out);
  return out;
}

std::vector<double> SplitSubject::reals(eplb_map map, int64_t length) {
  eplb_error err;
  std::vector<double> out(static_cast<size_t>(length));
  check(eplb_fetch_map(context_, map, EPLB_FLOAT64, out.data(), length, &err), err);
  return out;
}

// -------------------------------------------------------------------------------------------- host

SplitOnHost::SplitOnHost(const SplitTask& task)
    : SplitSubject(task, EPLB_DEVICE_CPU), shares_(task.placement.size()) {
  upload_to(context_, task.tokens);
  prepare();
}

void SplitOnHost::split() {
  eplb_error err;
  check(eplb_split(context_, nullptr, nullptr, 0, 0, nullptr, &err), err);
}

void SplitOnHost::run() {
  upload_to(context_, task_.tokens);
  split();
  fetch_ints(context_, EPLB_MAP_SHARE, shares_);
}

// ------------------------------------------------------------------------------------------ device

SplitOnGpu::SplitOnGpu(const SplitTask& task)
    : SplitSubject(task, EPLB_DEVICE_CUDA),
      weights_(task.tokens.weights),
      placement_(task.placement),
      shares_(task.placement.size()) {
  eplb_error err;
  eplb_solve_options options;
  ask(kBest, task.shape, problem_, options);
  check(eplb_context_reserve(context_, EPLB_FLOAT32, 1, task.tokens.layers, task.tokens.experts,
                             &problem_, &options, &err),
        err);
  // Memory for splits comes with a placement of weights that are there.
  upload();
  prepare();
  stream_.capture([&] {
    upload();
    split();
    fetch();
  });
}

SplitOnGpu::~SplitOnGpu() {
  // The context, which waits, goes last; what it reads and writes until then must be there.
  eplb_error err;
  eplb_context_synchronize(context_, &err);
}

void SplitOnGpu::upload() {
  eplb_error err;
  check(eplb_upload_weights_device(context_, weights_.data(), weights_.length(), EPLB_FLOAT32, 1,
                                   task_.tokens.layers, task_.tokens.experts, stream_, &err),
        err);
}

void SplitOnGpu::prepare_there() {
  eplb_error err;
  check(eplb_split_prepare_device(context_, &problem_, placement_.data(), placement_.length(),
                                  EPLB_INT32, stream_, &err),
        err);
}

void SplitOnGpu::split() {
  eplb_error err;
  check(eplb_split_device(context_, nullptr, nullptr, 0, 0, nullptr, stream_, &err), err);
}

void SplitOnGpu::fetch() {
  eplb_error err;
  check(eplb_fetch_map_device(context_, EPLB_MAP_SHARE, EPLB_INT32, shares_.data(),
                              shares_.length(), stream_, &err),
        err);
}

void SplitOnGpu::add_stages(SplitStages& stages) {
  stages.upload.push_back(stream_.timed([&] { upload(); }));
  stages.prepare.push_back(stream_.timed([&] { prepare_there(); }));
  stages.split.push_back(stream_.timed([&] { split(); }));
  stages.fetch.push_back(stream_.timed([&] { fetch(); }));
}

}  // namespace bench
