// What a context holds in host memory, whatever solves it: the weights last uploaded, the plan last solved, and the order in
// which calls may come.
#pragma once

#include <cstdint>
#include <optional>

#include "core/plan.h"
#include "core/report.h"
#include "core/weights.h"

namespace eplb {

double now_microseconds();

// New weights and plans are written into a spare one and exchanged on success, so that a failed call changes nothing; and the
// next of the same shape allocates nothing.
class Store {
 public:
  // Discards what there is.
  void reserve(eplb_dtype dtype, int64_t layers, const Problem& problem, const Options& options);
  void forget() { has_ = Has::kNothing; }

  void upload(const WeightSource& source);
  // For weights that are known to be good: to be filled between the two.
  Weights& begin_upload(bool integer, int64_t layers, int64_t experts);
  void end_upload();

  // Checks what is asked and gives a plan to fill; end_solve makes it the plan, unless it breaks what was asked.
  Plan& begin_solve(const eplb_problem& asked, const eplb_solve_options& wanted);
  void end_solve();
  // For a plan that was solved elsewhere, of what was checked there; false if what was filled in is none.
  Plan& begin_plan(const Problem& problem, const Options& options);
  bool end_plan(double microseconds);

  const Weights& weights() const { return weights_; }
  double microseconds() const { return plan_.microseconds; }
  MapShape shape(eplb_map map) const;
  void fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) const;
  // bytes: what the context holds beside this.
  void report(eplb_report& report, int64_t bytes) const;
  void evaluate(const eplb_problem& asked, const void* placement, int64_t length, eplb_dtype dtype, eplb_report& report,
                const LayerOutputs& outputs, int64_t outputs_length, int64_t bytes) const;
  int64_t bytes() const;

 private:
  enum class Has { kNothing, kWeights, kPlan };
  struct PlanShape {
    int64_t layers;
    Problem problem;
    Options options;
  };
  void keep_plan(double microseconds);
  void need_weights() const;
  void need_plan() const;

  Has has_ = Has::kNothing;
  std::optional<PlanShape> reserved_;  // what the shapes of maps are while there is no plan
  Weights weights_, spare_weights_;
  Plan plan_, spare_plan_;
  double started_ = 0;
};

}  // namespace eplb
