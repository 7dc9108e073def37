// What a context is: weights, cluster and current placement last uploaded, the plan last solved,
// and the order in which calls may come, whatever machine does the work. The only place that knows
// this order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "core/placement.h"
#include "machines/machine.h"
#include "session/resident.h"

namespace eplb {

// Where the figures of an evaluation go, layer by layer, or window by window of each layer; each
// may be null.
struct LayerOutputs {
  double *imbalance = nullptr, *bound = nullptr;
  int64_t* duplicates = nullptr;
};

// A caller's placements before and after [L,S], and where the maps of transfers between them go;
// those may be null.
struct PlacementPair {
  const void *current, *placement;
  int64_t length;
  eplb_dtype dtype;
};
struct TransferOutputs {
  void *source, *round, *group;
};

// Over which placement [L,S] tokens are split: of the caller, or without one the plan.
struct SplitSource {
  const eplb_problem* problem;  // null: what was prepared
  const void* placement;
  int64_t length;
  eplb_dtype dtype;
};

class Session {
 public:
  explicit Session(std::unique_ptr<Machine> machine)
      : machine_(std::move(machine)), streams_(dynamic_cast<StreamMachine*>(machine_.get())) {}

  // Discards what there is.
  void reserve(eplb_dtype dtype, int64_t windows, int64_t layers, int64_t experts,
               const eplb_problem& problem, const eplb_solve_options& options);
  void synchronize();

  void upload(const WeightSource& source);
  template <class Table> void upload(Table Tables::*which, Table table) {
    Tables tables = tables_;
    tables.*which = std::move(table);
    take_tables(std::move(tables));
  }
  void upload_current(const PlacementSource& source);
  void solve(const eplb_problem& problem, const eplb_solve_options& options);
  MapShape shape(eplb_map map) const;
  void fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length);
  uint64_t fingerprint();
  void report(eplb_report& report);
  void evaluate(const eplb_problem& problem, const void* placement, int64_t length,
                eplb_dtype dtype, eplb_report& report, const LayerOutputs& outputs,
                int64_t outputs_length);
  void evaluate_windows(const eplb_problem& problem, const void* placement, int64_t length,
                        eplb_dtype dtype, const LayerOutputs& outputs, int64_t outputs_length);
  void plan_transfers(const eplb_problem& problem, eplb_transfer_order order,
                      const PlacementPair& pair, const TransferOutputs& outputs,
                      eplb_report& report);

  void prepare_split(const SplitSource& over);
  void split(const SplitSource& over, const eplb_split_options& options);
  void dispatch(const SplitSource& over, const eplb_static_dispatch_options& options);

  // The same in the order of a stream.
  void upload_device(const WeightSource& source, void* stream);
  void upload_current_device(const PlacementSource& source, void* stream);
  void solve_device(const eplb_problem& problem, const eplb_solve_options& options, void* stream);
  void fetch_device(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length, void* stream);
  void prepare_split_device(const SplitSource& over, void* stream);
  void split_device(const SplitSource& over, const eplb_split_options& options, void* stream);

  // The only one that may be called while another runs, from any thread and from signal handlers.
  void interrupt() { machine_->interrupt->ask(); }
  void forget_interrupt() { machine_->interrupt->forget(); }

  void abandon();  // in a forked process

 private:
  StreamMachine& streams_for(const char* function);
  void catch_up();
  void bring_weights();
  void bring_current();
  void bring_plan();
  const Weights& need_weights();
  void need_plan() const;
  const Evaluation& evaluation_with(EvaluationParts parts);
  const WindowFigures& windows_with(EvaluationParts parts);
  void add_figures(const Problem& problem, const int32_t* placement, EvaluationParts parts,
                   Evaluation& evaluation);
  void add_windows(const Problem& problem, const int32_t* placement, EvaluationParts parts,
                   WindowFigures& figures);
  void report_windows(const Problem& problem, const int32_t* placement, const Evaluation& sum,
                      eplb_report& report);
  const Transfers& transfers();
  void take_tables(Tables tables);
  void set_tables(int64_t windows, Problem& problem) const;
  void send_current();
  std::vector<int32_t> share_moves(const Weights& weights, const Problem& problem);
  void forget_figures();
  Problem split_problem_of(const SplitSource& over) const;
  void read_split_placement(const SplitSource& over);
  void keep_split_placement();
  const SplitPlacement& need_split_placement() const;
  void bring_split();
  void fetch_split_device(const MapEntry& entry, eplb_map map, eplb_dtype dtype, void* buffer,
                          int64_t length, void* stream);
  SplitPlacement& split_placement_of(const SplitSource& over, const Weights& weights);
  const StaticDispatch& need_dispatch() const;
  void forget_splits();
  void forget_split_placement();
  void fetch_of_split(const MapEntry& entry, eplb_dtype dtype, void* buffer, int64_t length);
  void fetch_of_dispatch(const MapEntry& entry, eplb_dtype dtype, void* buffer, int64_t length);
  double imbalance_to_judge(int64_t layer) const;
  void report_limits(eplb_report& report);
  std::vector<SplitFigures> split_figures_of_plan();
  Problem problem_of(const eplb_problem& asked, const eplb_solve_options& options) const;
  int64_t bytes() const;

  std::unique_ptr<Machine> machine_;
  StreamMachine* streams_;           // the same, if it also works in the order of streams
  std::optional<Problem> reserved_;  // what the shapes of maps are while there is no plan
  Resident<Weights> weights_;
  Resident<Plan> plan_;
  Tables tables_;
  Resident<CurrentPlacement> current_;
  Evaluation evaluation_;                // of the plan
  WindowFigures windows_;                // of the plan
  Transfers transfers_;                  // from the current placement to the plan
  Resident<SplitPlacement> split_over_;  // what tokens are split over
  Resident<Split> split_;                // of the weights, over that
  SplitEvaluation split_evaluation_;
  Resident<StaticDispatch> dispatch_;  // of the weights, over that
  bool solved_on_stream_ = false;      // the machine knows how long it took
  double microseconds_ = 0;
};

}  // namespace eplb
