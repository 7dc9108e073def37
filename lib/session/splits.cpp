// What of a session is about tokens: over which placement they are split, and how.
#include <utility>

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

SplitPlacement Session::split_placement_of(const SplitSource& over) {
  if (over.placement == nullptr) {
    bring_plan();
    need_plan();
  }
  if (!weights_.exists())
    fail(EPLB_INVALID_STATE, "there are no weights: call eplb_upload_weights first");
  SplitPlacement placement;
  placement.problem =
      check_problem(*over.problem, tables_.cluster, weights_.value.layers, weights_.value.experts);
  if (over.placement) {
    placement.expert = read_placement(over.placement, over.length, over.dtype, placement.problem);
  } else {
    check_is_plans(placement.problem, plan_.value.problem);
    placement.expert = plan_.value.physical_to_logical;
  }
  machine_->prepare_split(placement);
  return placement;
}

void Session::prepare_split(const SplitSource& over) {
  split_over_ = split_placement_of(over);
  split_.place = kNowhere;
}

void Session::split(const SplitSource& over, const eplb_split_options& options) {
  const int tolerance = read_tolerance(options.tolerance);
  const Weights& weights = need_weights();
  SplitPlacement other;
  if (over.problem) other = split_placement_of(over);
  if (!over.problem) need_split_placement();
  SplitPlacement& placement = over.problem ? other : split_over_;
  check_shape(placement, weights.layers, weights.experts);
  split_.spare.resize(placement.problem);
  split_evaluation_.resize(placement.problem);
  split_.prepare_keep();
  machine_->split(weights, placement, tolerance, split_.spare);
  split_.keep_spare(kOnHost);
  split_evaluation_.known = kSplitItself;
  if (over.problem) split_over_ = std::move(other);
}

const SplitPlacement& Session::need_split_placement() const {
  if (split_over_.problem.layers == 0)
    fail(EPLB_INVALID_STATE,
         "there is no placement to split tokens over: call eplb_split_prepare first");
  return split_over_;
}

void Session::forget_split_placement() {
  split_over_ = {};
  split_.place = kNowhere;
}

void Session::fetch_of_split(const MapEntry& entry, eplb_dtype dtype, void* buffer,
                             int64_t length) {
  catch_up();
  if (!split_.exists()) fail(EPLB_INVALID_STATE, "there is no split: call eplb_split first");
  check_map_buffer(entry, dtype, buffer, length, entry.shape(split_over_.problem));
  const SplitParts missing = entry.needs_of_split & ~split_evaluation_.known;
  if (missing)
    machine_->evaluate_split(weights_.value, split_over_, split_.value, missing, split_evaluation_);
  write_map(entry, {.split = &split_.value, .split_evaluation = &split_evaluation_}, dtype, buffer);
}

}  // namespace eplb
