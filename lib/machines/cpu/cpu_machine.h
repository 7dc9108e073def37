// The machine that is always there: threads of the host, each with the fastest instruction set.
#pragma once

#include <cstddef>
#include <vector>

#include "machines/cpu/instruction_set.h"
#include "machines/machine.h"

namespace eplb::cpu {

class CpuMachine final : public Machine {
 public:
  // Which instruction set is a choice for tests; the answer does not depend on it.
  explicit CpuMachine(int64_t num_threads,
                      const InstructionSet& instruction_set = fastest_instruction_set());

  void reserve(const Problem& problem, const std::function<void()>& then) override;
  bool solve(const Weights& weights, bool resident, Plan& plan) override;
  void evaluate(const Weights& weights, bool resident, const Problem& problem,
                const int32_t* placement, EvaluationParts parts, Evaluation& evaluation) override;
  void evaluate_windows(const Weights& weights, const Problem& problem, const int32_t* placement,
                        EvaluationParts parts, WindowFigures& figures) override;
  void find_paths(const Weights& weights, bool resident, const Problem& problem,
                  MovePaths& paths) override;
  void plan_transfers(const Problem& problem, const int32_t* placement,
                      Transfers& transfers) override;
  void prepare_split(SplitPlacement& over) override;
  void split(const Weights& weights, SplitPlacement& over, int tolerance, Split& split) override;
  void evaluate_split(const Weights& weights, SplitPlacement& over, const Split& split,
                      SplitParts parts, SplitEvaluation& evaluation) override;
  void dispatch(const Weights& weights, SplitPlacement& over, StaticDispatch& dispatch) override;
  int64_t bytes() const override;

 private:
  // Calls work(layer, worker) once for each layer, on threads with a workspace of `bytes` each.
  void share_layers(int64_t count, int64_t bytes, const std::function<void(int64_t, int)>& work);
  // Lets as many workspaces have `bytes` as threads will share these layers: returns their number.
  int prepare_workers(int64_t layers, int64_t bytes);
  Workspace workspace_of(int worker) { return {memory_[worker].data(), interrupt->flag()}; }

  const InstructionSet& instruction_set_;
  int64_t num_threads_;
  std::vector<Lines> memory_;  // one per thread
};

}  // namespace eplb::cpu
