// A layer in the memory of a test, solved by the code for an instruction set.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "machines/cpu/instruction_set.h"
#include "solver/strategies/all.h"
#include "tests/solver/problems.h"

namespace eplb::tests {

struct Answer {
  std::vector<int32_t> physical_to_logical, replica_count, replica_slots;
  bool operator==(const Answer&) const = default;

  explicit Answer(const Problem& problem)
      : physical_to_logical(problem.cluster.slots),
        replica_count(problem.experts),
        replica_slots(problem.cluster.slots) {}
};

struct Layer {
  Sizes sizes;
  uint64_t seed;
  int64_t max_replicas;
  std::vector<double> real;
  std::vector<int64_t> whole;
  std::string name;
  ClusterArrays cluster{};
  std::vector<int32_t> current{};  // for a rebalance, like its limits
  eplb_solve_options limits{};
  int windows = 1;  // that are kept apart, [T,E]
  std::vector<double> real_windows{};
  std::vector<int64_t> whole_windows{};
  std::vector<int32_t> window_share{}, prices{};  // [T], [N,Q]

  Problem problem(eplb_strategy strategy, eplb_effort effort) const {
    eplb_solve_options options = limits;
    options.strategy = strategy;
    options.effort = effort;
    options.seed = seed;
    options.max_replicas = max_replicas;
    Problem checked = problem_of(sizes, options, 1, EPLB_BOUND_SIMPLE, cluster);
    if (!current.empty()) checked.current.expert = current.data();
    checked.windows_apart = windows;
    if (!window_share.empty()) checked.window_share = window_share.data();
    if (!prices.empty())
      checked.prices = {
          .units = prices.data(), .shares = nullptr, .columns = static_cast<int>(sizes.groups)};
    return checked;
  }
  LayerWeights weights() const {
    return {real.empty() ? nullptr : real.data(), whole.empty() ? nullptr : whole.data(),
            real_windows.data(), whole_windows.data(), sizes.experts};
  }
  void with_source(auto use) const {
    if (whole.empty())
      use(solver::RealWeights{real.data(), real_windows.data(), sizes.experts});
    else
      use(solver::WholeWeights{whole.data(), whole_windows.data(), sizes.experts});
  }
};

struct Memory {
  explicit Memory(int64_t bytes, int rubbish)
      : data(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64))) {
    std::memset(data, rubbish, bytes);
  }
  ~Memory() { std::free(data); }
  char* data;
};

inline Answer solve_on(const cpu::InstructionSet& instruction_set, const Layer& layer,
                       eplb_strategy strategy, eplb_effort effort, int rubbish) {
  const Problem problem = layer.problem(strategy, effort);
  Memory memory(instruction_set.workspace_bytes(problem), rubbish);
  Answer answer(problem);
  const cpu::LayerTask task{0, layer.weights(), answer.physical_to_logical.data(),
                            answer.replica_count.data(), answer.replica_slots.data()};
  instruction_set.solve(problem, task, {memory.data});
  return answer;
}

}  // namespace eplb::tests
