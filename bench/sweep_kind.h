// What the sweep measures: kinds of calls, and contexts that make them.
#pragma once

#include <string>
#include <vector>

#include "sweep_grid.h"
#include "trace.h"

namespace bench {

// A report is that of a fresh solve, which is not timed with it. An evaluation computes the same
// figures but those of moves, of a placement that is given.
enum class Timed { kSolve, kReport, kEvaluation, kTransfers };

// How GPUs differ: some lack a slot and one has none; speeds are 1, 5/4 and 3/2.
enum class Gpus { kEqual, kFewerSlots, kSpeeds, kSlotsAndSpeeds };

// Times are compared among calls of one kind.
struct Kind {
  std::string name;
  Timed timed = Timed::kSolve;
  eplb_strategy strategy = EPLB_STRATEGY_BEST;
  eplb_policy policy = EPLB_POLICY_AUTO;
  Gpus gpus = Gpus::kEqual;
  int windows = 1;  // more: EPLB_OBJECTIVE_WINDOWS
  eplb_bound_kind bound = EPLB_BOUND_SIMPLE;
  eplb_transfer_order order = EPLB_TRANSFER_BUFFERED;
  int max_moves = -1;
  int moves_of_layers = -1;  // max_moves_total, over the number of layers
  eplb_effort effort = EPLB_EFFORT_FAST;
};

// Kinds at FAST, and others that have no effort.
const std::vector<Kind>& all_kinds();

// The same at another effort. Does the effort change anything?
Kind at_effort(Kind kind, eplb_effort effort);
bool has_effort(const Kind& kind);
const char* effort_name(eplb_effort effort);

// Its name, with the effort.
std::string title(const Kind& kind);

// Can a shape be solved like that?
bool fits(const Kind& kind, const GridShape& shape);

// Microseconds of this process, which other processes do not lengthen as they do those of the wall
// clock.
double processor_time();

// A context that makes calls of a kind again and again. What they need is made before: a current
// placement is what GREEDY finds for weights that differ. Throws std::runtime_error with the
// library's words.
class Call {
 public:
  // trace: windows * layers.
  Call(const Kind& kind, const Trace& trace, const GridShape& shape);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void make();
  void report();
  // Microseconds of processor time of one call, the mean of some.
  double time(int calls);

 private:
  void check(eplb_status status) const;
  void upload(const Trace& trace, int windows);
  void upload_cluster(Gpus gpus);
  std::vector<int32_t> place_greedily();
  void begin_current(const Trace& trace);
  void evaluate();
  void plan_transfers();
  void solve();

  const Kind kind_;
  const GridShape shape_;
  const int64_t layers_;
  eplb_problem problem_;
  eplb_solve_options options_;
  eplb_report report_;
  mutable eplb_error error_;
  eplb_context* context_ = nullptr;
  std::vector<int32_t> current_, placement_, source_, round_;
};

}  // namespace bench
