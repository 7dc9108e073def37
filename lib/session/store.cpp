#include "session/store.h"

#include <chrono>
#include <utility>

#include "core/error.h"
#include "core/placement.h"

namespace eplb {
namespace {

using ll = long long;

// The published program computes in float32: what does not fit there has no answer.
void check_float32(const Weights& weights) {
  for (int64_t l = 0; l < weights.layers && !weights.fits_float32; ++l) {
    const int64_t e = beyond_float32(weights, l);
    if (e == weights.experts)
      fail(EPLB_INVALID_WEIGHT, "weights[layer %lld] sum to more than the float32 of greedy holds", ll(l));
    if (e >= 0)
      fail(EPLB_INVALID_WEIGHT, "weights[layer %lld, expert %lld] is above what the float32 of greedy holds", ll(l),
           ll(e));
  }
}

void check_cap(const Plan& plan) {
  if (plan.options.max_replicas == 0 || plan.options.strategy != EPLB_STRATEGY_GREEDY) return;
  const auto& counts = plan.replica_count;
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > plan.options.max_replicas)
      fail(EPLB_INVALID_ARGUMENT, "max_replicas is %lld, but greedy gives expert %lld of layer %lld %d replicas",
           ll(plan.options.max_replicas), ll(i) % plan.problem.experts, ll(i) / plan.problem.experts, counts[i]);
}

}  // namespace

double now_microseconds() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Store::reserve(eplb_dtype dtype, int64_t layers, const Problem& problem, const Options& options) {
  // All aside first: what was uploaded and solved is given up only when there is memory for what comes.
  Weights weights, spare_weights;
  Plan plan, spare_plan;
  for (Weights* w : {&weights, &spare_weights}) w->resize(is_integer(dtype), layers, problem.experts);
  for (Plan* p : {&plan, &spare_plan}) p->resize(problem, options, layers);
  weights_ = std::move(weights);
  spare_weights_ = std::move(spare_weights);
  plan_ = std::move(plan);
  spare_plan_ = std::move(spare_plan);
  reserved_ = {layers, problem, options};
  has_ = Has::kNothing;
}

void Store::upload(const WeightSource& source) {
  read_weights(source, spare_weights_);
  end_upload();
}

Weights& Store::begin_upload(bool integer, int64_t layers, int64_t experts) {
  spare_weights_.resize(integer, layers, experts);
  spare_weights_.fits_float32 = false;  // not known
  return spare_weights_;
}

void Store::end_upload() {
  weights_.reserve(spare_weights_);  // so that the next upload of this shape allocates nothing
  std::swap(weights_, spare_weights_);
  has_ = Has::kWeights;
}

void Store::need_weights() const {
  if (has_ < Has::kWeights) fail(EPLB_INVALID_STATE, "there are no weights: call eplb_upload_weights first");
}
void Store::need_plan() const {
  if (has_ != Has::kPlan) fail(EPLB_INVALID_STATE, "there is no plan: call eplb_solve first");
}

Plan& Store::begin_solve(const eplb_problem& asked, const eplb_solve_options& wanted) {
  need_weights();
  started_ = now_microseconds();
  const Problem problem = check_problem(asked, weights_.experts);
  const Options options = check_options(wanted, problem);
  if (options.strategy == EPLB_STRATEGY_GREEDY) check_float32(weights_);
  return begin_plan(problem, options);
}

Plan& Store::begin_plan(const Problem& problem, const Options& options) {
  spare_plan_.resize(problem, options, weights_.layers);
  return spare_plan_;
}

void Store::end_solve() {
  check_cap(spare_plan_);
  keep_plan(now_microseconds() - started_);
}

bool Store::end_plan(double microseconds) {
  const bool is_one = is_consistent(spare_plan_);
  if (is_one) keep_plan(microseconds);
  return is_one;
}

void Store::keep_plan(double microseconds) {
  plan_.reserve(spare_plan_);  // as in upload
  std::swap(plan_, spare_plan_);
  plan_.microseconds = microseconds;
  has_ = Has::kPlan;
}

MapShape Store::shape(eplb_map map) const {
  if (has_ == Has::kPlan) return map_shape(map, plan_.layers, plan_.problem, plan_.options);
  if (reserved_) return map_shape(map, reserved_->layers, reserved_->problem, reserved_->options);
  fail(EPLB_INVALID_STATE, "there is no plan: call eplb_solve or eplb_context_reserve first");
}

void Store::fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) const {
  need_plan();
  write_map(weights_, plan_, map, dtype, buffer, length);
}

int64_t Store::bytes() const {
  return static_cast<int64_t>(sizeof *this) + weights_.bytes() + spare_weights_.bytes() + plan_.bytes() +
         spare_plan_.bytes();
}

void Store::report(eplb_report& report, int64_t more_bytes) const {
  need_plan();
  fill_report(weights_, plan_.problem, plan_.physical_to_logical.data(), report);
  report.microseconds = plan_.microseconds;
  report.strategy = plan_.options.strategy;
  report.context_bytes = bytes() + more_bytes;
}

void Store::evaluate(const eplb_problem& asked, const void* placement, int64_t length, eplb_dtype dtype,
                     eplb_report& report, const LayerOutputs& outputs, int64_t outputs_length,
                     int64_t more_bytes) const {
  need_weights();
  const double start = now_microseconds();
  const Problem problem = check_problem(asked, weights_.experts);
  const bool wanted = outputs.imbalance || outputs.bound || outputs.duplicates;
  if (wanted && outputs_length != weights_.layers)
    fail(EPLB_INVALID_ARGUMENT, "layers_length is %lld, must be num_layers = %lld", ll(outputs_length),
         ll(weights_.layers));
  const std::vector<int32_t> ids = read_placement(placement, length, dtype, weights_.layers, problem);
  fill_report(weights_, problem, ids.data(), report, outputs);
  report.microseconds = now_microseconds() - start;
  report.strategy = -1;
  report.context_bytes = bytes() + more_bytes;
}

}  // namespace eplb
