// What of a session is about tokens: over which placement they are split, and how.
#include "core/check_problem.h"
#include "core/error.h"
#include "session/session.h"

namespace eplb {
namespace {

void check_is_plans(const Problem& problem, const Problem& plan) {
  if (problem.cluster.slots != plan.cluster.slots || problem.cluster.gpus != plan.cluster.gpus)
    fail(EPLB_INVALID_ARGUMENT,
         "the plan is of %d slots on %d GPUs, but the problem has %d on %d: pass that of the solve",
         plan.cluster.slots, plan.cluster.gpus, problem.cluster.slots, problem.cluster.gpus);
}

}  // namespace

// Of the weights' shape, wherever they are.
Problem Session::split_problem_of(const SplitSource& over) const {
  if (!weights_.exists())
    fail(EPLB_INVALID_STATE, "there are no weights: call eplb_upload_weights first");
  const Problem problem =
      check_problem(*over.problem, tables_.cluster, weights_.value.layers, weights_.value.experts);
  if (over.placement == nullptr) {
    need_plan();
    check_is_plans(problem, plan_.value.problem);
  }
  return problem;
}

// Into the spare one.
void Session::read_split_placement(const SplitSource& over) {
  if (over.placement == nullptr) bring_plan();
  SplitPlacement& read = split_over_.spare;
  read.problem = split_problem_of(over);
  read.expert = over.placement
                    ? read_placement(over.placement, over.length, over.dtype, read.problem)
                    : plan_.value.physical_to_logical;
  machine_->prepare_split(read);
}

// The spare one, on the machine too; what there was of another one is discarded.
void Session::keep_split_placement() {
  split_over_.prepare_keep();
  if (streams_) {
    streams_->wait();
    streams_->send(split_over_.spare);
  }
  split_over_.keep_spare(streams_ ? kOnBoth : kOnHost);
  forget_splits();
}

void Session::prepare_split(const SplitSource& over) {
  read_split_placement(over);
  keep_split_placement();
}

// The spare one, or what was prepared, and brought to the host.
SplitPlacement& Session::split_placement_of(const SplitSource& over, const Weights& weights) {
  if (over.problem)
    read_split_placement(over);
  else
    bring_split();
  SplitPlacement& placement = over.problem ? split_over_.spare : split_over_.value;
  check_shape(placement, weights.layers, weights.experts);
  return placement;
}

void Session::split(const SplitSource& over, const eplb_split_options& options) {
  const int tolerance = read_tolerance(options.tolerance);
  const Weights& weights = need_weights();
  SplitPlacement& placement = split_placement_of(over, weights);
  split_.spare.resize(placement.problem);
  split_.prepare_keep();
  machine_->split(weights, placement, tolerance, split_.spare);
  if (over.problem) keep_split_placement();
  split_.keep_spare(kOnHost);
  split_evaluation_.known = kSplitItself;
}

void Session::dispatch(const SplitSource& over, const eplb_static_dispatch_options& options) {
  const Weights& weights = need_weights();
  SplitPlacement& placement = split_placement_of(over, weights);
  Problem problem = placement.problem;
  problem.dispatch = read_limits(options, problem);
  dispatch_.spare.resize(problem);
  dispatch_.prepare_keep();
  machine_->dispatch(weights, placement, dispatch_.spare);
  if (over.problem) keep_split_placement();
  dispatch_.keep_spare(kOnHost);
}

const SplitPlacement& Session::need_split_placement() const {
  if (!split_over_.exists())
    fail(EPLB_INVALID_STATE,
         "there is no placement to split tokens over: call eplb_split_prepare first");
  return split_over_.value;
}

void Session::forget_splits() {
  split_.place = kNowhere;
  dispatch_.place = kNowhere;
}

void Session::forget_split_placement() {
  split_over_.place = kNowhere;
  forget_splits();
}

// Copies to the host what device calls have left.
void Session::bring_split() {
  bring_weights();
  need_split_placement();
  const bool lacks_split = split_.on_machine() && !split_.on_host();
  if (split_over_.on_host() && !lacks_split) return;
  SplitPlacement& over = split_over_.spare;
  over.problem = split_over_.value.problem;
  over.expert.resize(static_cast<size_t>(over.problem.layers * over.problem.cluster.slots));
  split_.spare.resize(over.problem);
  streams_->bring(over, split_.spare);
  if (!has_experts_alone(over))
    fail(
        EPLB_INVALID_STATE,
        "the device memory for splits does not hold the placement that was prepared last: was that "
        "captured and never launched, or a graph of another problem replayed?");
  machine_->prepare_split(over);
  split_over_.prepare_keep();
  split_.prepare_keep();
  split_over_.keep_spare(kOnBoth);
  if (!lacks_split) return;
  split_.keep_spare(kOnBoth);
  split_evaluation_.known = kSplitItself;
}

void Session::fetch_of_split(const MapEntry& entry, eplb_dtype dtype, void* buffer,
                             int64_t length) {
  if (split_.exists()) bring_split();  // there may be other weights by now
  if (!split_.exists()) fail(EPLB_INVALID_STATE, "there is no split: call eplb_split first");
  check_map_buffer(entry, dtype, buffer, length, entry.shape(split_over_.value.problem));
  const SplitParts missing = entry.needs_of_split & ~split_evaluation_.known;
  if (missing) {
    split_evaluation_.resize(split_over_.value.problem);
    machine_->evaluate_split(weights_.value, split_over_.value, split_.value, missing,
                             split_evaluation_);
  }
  write_map(entry, {.split = &split_.value, .split_evaluation = &split_evaluation_}, dtype, buffer);
}

const StaticDispatch& Session::need_dispatch() const {
  if (!dispatch_.exists())
    fail(EPLB_INVALID_STATE, "there is no static dispatch: call eplb_static_dispatch first");
  return dispatch_.value;
}

void Session::fetch_of_dispatch(const MapEntry& entry, eplb_dtype dtype, void* buffer,
                                int64_t length) {
  bring_weights();  // there may be other ones by now
  const StaticDispatch& dispatch = need_dispatch();
  check_map_buffer(entry, dtype, buffer, length, entry.shape(dispatch.problem));
  write_map(entry, {.dispatch = &dispatch}, dtype, buffer);
}

// ------------------------------------------------------------------------------------ device calls

void Session::prepare_split_device(const SplitSource& over, void* stream) {
  StreamMachine& machine = streams_for("eplb_split_prepare_device");
  const Problem problem = split_problem_of(over);
  if (over.placement)
    check_source(PlacementSource{over.placement, over.length, over.dtype, problem.layers,
                                 problem.cluster.slots});
  else if (!plan_.on_machine())
    fail(EPLB_INVALID_STATE,
         "there is no plan in the reserved device memory: call eplb_solve_device first");
  machine.prepare_split_on(problem, over.placement, over.dtype, stream);
  split_over_.value.problem = problem;
  split_over_.place = kOnMachine;
  forget_splits();
}

void Session::split_device(const SplitSource& over, const eplb_split_options& options,
                           void* stream) {
  StreamMachine& machine = streams_for("eplb_split_device");
  const int tolerance = read_tolerance(options.tolerance);
  if (!weights_.on_machine())
    fail(EPLB_INVALID_STATE,
         "there are no weights in the reserved device memory: call eplb_context_reserve and "
         "eplb_upload_weights_device first");
  if (over.problem) prepare_split_device(over, stream);
  check_shape(need_split_placement(), weights_.value.layers, weights_.value.experts);
  machine.split_on(split_over_.value.problem, weights_.value.integer, tolerance, stream);
  split_.place = kOnMachine;
}

void Session::fetch_split_device(const MapEntry& entry, eplb_map map, eplb_dtype dtype,
                                 void* buffer, int64_t length, void* stream) {
  if (!split_.on_machine())
    fail(EPLB_INVALID_STATE, "there is no split in device memory: call eplb_split_device first");
  const Problem& problem = split_over_.value.problem;
  check_map_buffer(entry, dtype, buffer, length, entry.shape(problem));
  streams_->fetch_split_on(problem, weights_.value.integer, map, dtype, buffer, stream);
}

}  // namespace eplb
