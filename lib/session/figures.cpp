// What of a session is about how good placements are: its plan, and anyone's.
#include "core/check_problem.h"
#include "core/error.h"
#include "core/off_home.h"
#include "session/clock.h"
#include "session/session.h"

namespace eplb {
namespace {

void write_figures(const std::vector<LayerFigures>& layers, const LayerOutputs& outputs) {
  for (size_t l = 0; l < layers.size(); ++l) {
    if (outputs.imbalance) outputs.imbalance[l] = layers[l].imbalance;
    if (outputs.bound) outputs.bound[l] = layers[l].bound;
    if (outputs.duplicates) outputs.duplicates[l] = layers[l].duplicates;
  }
}

}  // namespace

void Session::forget_figures() {
  evaluation_.known = 0;
  windows_.known = 0;
  transfers_.known = false;
}

const Evaluation& Session::evaluation_with(EvaluationParts parts) {
  const Plan& plan = plan_.value;
  if (evaluation_.known == 0) evaluation_.resize(plan.problem.layers, plan.problem.cluster.gpus);
  add_figures(plan.problem, plan.physical_to_logical.data(), parts, evaluation_);
  return evaluation_;
}

void Session::add_figures(const Problem& problem, const int32_t* placement, EvaluationParts parts,
                          Evaluation& evaluation) {
  const EvaluationParts missing = parts & ~evaluation.known;
  if (missing & kAllParts)
    machine_->evaluate(weights_.value, weights_.on_machine(), problem, placement,
                       missing & kAllParts, evaluation);
  if (missing & kHomes) find_off_home(weights_.value, problem, placement, evaluation);
}

void Session::add_windows(const Problem& problem, const int32_t* placement, EvaluationParts parts,
                          WindowFigures& figures) {
  const Weights& weights = weights_.value;
  if (figures.known == 0) figures.resize(weights.layers, weights.windows);
  const EvaluationParts missing = parts & ~figures.known;
  if (missing != 0 && weights.windows > 0)
    machine_->evaluate_windows(weights, problem, placement, missing, figures);
}

const WindowFigures& Session::windows_with(EvaluationParts parts) {
  const Plan& plan = plan_.value;
  if (weights_.value.windows == 1)
    windows_.take_sum(evaluation_with(parts));
  else
    add_windows(plan.problem, plan.physical_to_logical.data(), parts, windows_);
  return windows_;
}

void Session::report_windows(const Problem& problem, const int32_t* placement,
                             const Evaluation& sum, eplb_report& report) {
  WindowFigures windows;
  if (weights_.value.windows == 1)
    windows.take_sum(sum);
  else
    add_windows(problem, placement, kLoads, windows);
  fill_report(windows, report);
}

void Session::report(eplb_report& report) {
  bring_plan();
  if (streams_) streams_->throw_fault();
  need_plan();
  fill_report(evaluation_with(kAllParts | kHomes), plan_.value.problem, report);
  fill_report(windows_with(kLoads), report);
  if (current_.exists()) {
    fill_report(transfers(), report);
    report_limits(report);
  }
  report.microseconds = microseconds_;
  report.strategy = plan_.value.problem.options.strategy;
  report.context_bytes = bytes();
}

void Session::evaluate(const eplb_problem& asked, const void* placement, int64_t length,
                       eplb_dtype dtype, eplb_report& report, const LayerOutputs& outputs,
                       int64_t outputs_length) {
  const Weights& weights = need_weights();
  const double start = now_microseconds();
  Problem problem = check_problem(asked, tables_.cluster, weights.layers, weights.experts);
  set_prices(tables_.prices, problem);
  const bool wanted = outputs.imbalance || outputs.bound || outputs.duplicates;
  if (wanted && outputs_length != weights.layers)
    fail(EPLB_INVALID_ARGUMENT, "layers_length is %lld, must be num_layers = %lld",
         ll(outputs_length), ll(weights.layers));
  const std::vector<int32_t> ids = read_placement(placement, length, dtype, problem);
  Evaluation evaluation;
  evaluation.resize(weights.layers, problem.cluster.gpus);
  add_figures(problem, ids.data(), kAllParts | kHomes, evaluation);
  fill_report(evaluation, problem, report);
  report_windows(problem, ids.data(), evaluation, report);
  write_figures(evaluation.layers, outputs);
  report.microseconds = now_microseconds() - start;
  report.strategy = -1;
  report.context_bytes = bytes();
}

void Session::evaluate_windows(const eplb_problem& asked, const void* placement, int64_t length,
                               eplb_dtype dtype, const LayerOutputs& outputs,
                               int64_t outputs_length) {
  const Weights& weights = need_weights();
  const Problem problem = check_problem(asked, tables_.cluster, weights.layers, weights.experts);
  check_windows_are_kept(weights.windows);
  const EvaluationParts parts = (outputs.imbalance ? kLoads : 0) | (outputs.bound ? kBounds : 0);
  if (parts != 0 && outputs_length != weights.layers * weights.windows)
    fail(EPLB_INVALID_ARGUMENT,
         "windows_length is %lld, must be num_layers * num_windows = %lld * %lld = %lld",
         ll(outputs_length), ll(weights.layers), ll(weights.windows),
         ll(weights.layers * weights.windows));
  const std::vector<int32_t> ids = read_placement(placement, length, dtype, problem);
  WindowFigures figures;
  add_windows(problem, ids.data(), parts, figures);
  write_figures(figures.layers, outputs);
}

}  // namespace eplb
