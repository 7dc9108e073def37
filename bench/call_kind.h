// Kinds of calls, and contexts that make them.
#pragma once

#include <string>
#include <vector>

#include "sweep_grid.h"
#include "trace.h"

namespace bench {

// An evaluation computes the figures of a placement that is given; a split takes tokens over one,
// and fetches all that it says; a static dispatch has as many ranks and swaps as there may be.
enum class Timed { kSolve, kEvaluation, kTransfers, kSplit, kStaticDispatch };

// How GPUs differ: some lack a slot and one has none; speeds are 1, 5/4 and 3/2.
enum class Gpus { kEqual, kFewerSlots, kSlotsAndSpeeds };

// What is not named is the library's default. A solve is at EPLB_EFFORT_FAST.
struct Kind {
  std::string name;
  Timed timed = Timed::kSolve;
  eplb_strategy strategy = EPLB_STRATEGY_BEST;
  eplb_policy policy = EPLB_POLICY_AUTO;
  Gpus gpus = Gpus::kEqual;
  int windows = 1;  // more: EPLB_OBJECTIVE_WINDOWS
  bool is_for_splits = false;
  eplb_bound_kind bound = EPLB_BOUND_SIMPLE;
  eplb_transfer_order order = EPLB_TRANSFER_BUFFERED;
  int max_moves = -1, max_moves_total = -1, max_arrivals = 0;
  double target = -1, move_price = 0;
  bool allow_empty = false;
  bool caps_replicas = false;  // few more copies than there are in the mean
  bool has_prices = false;
};

const std::vector<Kind>& all_kinds();

// Can a shape be solved like that?
bool fits(const Kind& kind, const GridShape& shape);

// A context that makes calls of a kind, on one thread. What they need is made before: a current
// placement is what GREEDY finds for weights that differ. Throws std::runtime_error with the
// library's words.
class Call {
 public:
  // trace: one layer.
  Call(const Kind& kind, const Trace& trace, const GridShape& shape);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void make();
  // Of what a solve has found: figures and bounds.
  void report();
  // Is what a solve has found a placement? Throws if it is not.
  void check_plan();

 private:
  void check(eplb_status status) const;
  void upload(const Trace& trace, int windows);
  void upload_cluster(Gpus gpus);
  void upload_prices();
  std::vector<int32_t> place_greedily();
  std::vector<int32_t> fetch();
  void begin_current(const Trace& trace);
  void ask();
  void evaluate();
  void plan_transfers();
  void split();
  void dispatch();
  void solve();

  const Kind kind_;
  const GridShape shape_;
  eplb_problem problem_;
  eplb_solve_options options_;
  eplb_report report_;
  mutable eplb_error error_;
  eplb_context* context_ = nullptr;
  std::vector<double> quota_;
  std::vector<int32_t> current_, placement_, source_, round_;
};

}  // namespace bench
