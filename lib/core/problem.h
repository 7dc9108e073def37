// What a solve is given, checked, and the figures of its answer: plain values, the same types in
// the session, on every machine and in the stages of every instruction set. Nothing here has
// functions: the linker would keep one copy of each for all instruction sets.
#pragma once

#include <cstdint>

#include "eplb.h"

namespace eplb {

// Largest num_slots: replica counts are compared exactly through 64-bit quotients, which needs c1 *
// c2 <= 2^34.
inline constexpr int64_t kMaxSlots = int64_t{1} << 18;

// The GPUs. Each has places for slots / gpus slots. What follows is by GPU, [G], and null where all
// are equal: then all slots are open, GPUs are equally fast, and nodes have consecutive GPUs.
struct Cluster {
  int slots = 1, gpus = 1;
  int nodes = 1;                       // as the caller gave them, whatever the policy
  const int32_t* gpu_slots = nullptr;  // how many of its places are slots, the first ones
  const int32_t* gpu_node = nullptr;
  const double* gpu_speed = nullptr;  // those of open GPUs have the mean 1
  const int32_t* gpu_pace = nullptr;  // the same as a share of kFastest, for searches
  int closed = 0, closed_gpus = 0;    // places that are no slots, and GPUs that have no other
};
inline constexpr int kFastest = 1 << 16;
inline constexpr int kWindowShare = 1 << 16;
inline constexpr int kToleranceUnits = 1 << 16;  // of a split

// What a placement must keep to.
struct Limits {
  eplb_policy policy = EPLB_POLICY_GLOBAL;  // never EPLB_POLICY_AUTO
  eplb_policy_reason reason = EPLB_POLICY_REASON_ASKED;
  int groups = 1;                 // of experts, as the caller gave them, whatever the policy
  double off_home_target = 1.01;  // the imbalance up to which groups may leave home
  int max_replicas = 0;           // of an expert, as the caller gave it; 0: no cap
  int most_replicas = 1;          // the same, which the strategy keeps to; num_slots: any number
  // The same for a strategy that knows no caps: a plan with more is refused afterwards. 0: no cap.
  int refused_above = 0;
};

// What load costs by the node that serves it, as the caller gave it: in parts of the highest price,
// by node and expert or group.
struct PriceList {
  const int32_t* units = nullptr;  // [N,columns], 0 to kPriceUnits; null: groups say it
  const double* shares = nullptr;  // [N,columns], the same unrounded
  int columns = 0;
};
inline constexpr int kPriceUnits = 64;

// What is solved apart, whole groups on equal nodes: under the global policy there is one of each.
struct Partition {
  int nodes = 1, groups = 1;
};

// Where experts are now.
struct Current {
  const int32_t* expert = nullptr;  // [L,S], -1: nothing that can be read; null: not known
};

// How far a plan may be from the current placement: limits of EPLB_STRATEGY_REBALANCE.
struct MoveLimits {
  int most = 1 << 30;                   // moves of a layer
  int64_t most_total = -1;              // over all layers; -1: any
  const int32_t* layer_most = nullptr;  // [L]: each layer's share of that; null: as `most` says
  int most_arrivals = 1 << 30;          // moves to a GPU
  int target = 0;            // the imbalance that is good enough, in kImbalanceUnits; 0: none
  int price = 0;             // the imbalance that a move must gain, in kImbalanceUnits
  bool allow_empty = false;  // may a slot become empty?
};
inline constexpr int kImbalanceUnits = 1 << 20;

// Source ranks that use one slot of an expert each.
struct DispatchLimits {
  int ranks = 0;
  int tolerance = 0;   // by how much of the bound a GPU may have more, in kToleranceUnits
  int most_swaps = 0;  // of two slots' experts; 0: the placement stays
};

struct Options {
  eplb_strategy strategy = EPLB_STRATEGY_GREEDY;
  eplb_effort effort = EPLB_EFFORT_FAST;
  uint64_t seed = 0;
  eplb_bound_kind bound_kind = EPLB_BOUND_SIMPLE;
  eplb_transfer_order transfer_order = EPLB_TRANSFER_BUFFERED;
  eplb_objective objective = EPLB_OBJECTIVE_SUM;
};

// The same for every layer of a model. Weights are passed separately.
struct Problem {
  int64_t windows = 1;  // of the weights; 0: they were not kept
  int64_t layers = 0;
  int windows_apart = 1;  // that a solve balances each; 1: their sum
  // How much each window matters, of kWindowShare; null: all as much.
  const int32_t* window_share = nullptr;
  int experts = 1;
  Cluster cluster{};
  Limits limits{};
  PriceList prices{};
  Partition partition{};
  Current current{};
  MoveLimits moves{};
  DispatchLimits dispatch{};
  Options options{};
};

// Weights of one layer, of a window or of all of them: one of each two. Those of a window begin
// `stride` after the one before.
struct LayerWeights {
  const double* real;                      // [E], summed over windows
  const int64_t* whole;                    // [E]
  const double* real_windows = nullptr;    // [T,E], if windows are kept
  const int64_t* whole_windows = nullptr;  // [T,E]
  int64_t stride = 0;
};

// What of an evaluation is wanted, or known, as bits: each part costs time of its own.
using EvaluationParts = unsigned;
inline constexpr EvaluationParts kLoads = 1, kDuplicates = 2, kBounds = 4, kAllParts = 7;
// Worked out in core, by no machine.
inline constexpr EvaluationParts kHomes = 8;

struct LayerFigures {
  // Part kLoads; of GPUs with different speeds the mean and the largest are of times. A layer
  // without weight has imbalance 1.
  double mean_load = 0, largest_load = 0, imbalance = 1;
  // Part kDuplicates; most_lost: experts that are on one GPU alone, and most so on one.
  int64_t duplicates = 0, unavoidable_duplicates = 0, most_lost = 0;
  // Part kBounds. No placement has a largest load, or time, below the bound. nodes_proven: under a
  // hierarchical policy, was every way to put groups on nodes tried?
  double bound = 0;
  bool nodes_proven = false;
  // Part kHomes: shares of the load.
  double off_home = 0, off_home_bound = 0;
};

// How good a split of a layer's tokens is: see the SPLIT_ maps.
struct SplitFigures {
  double imbalance = 1, bound = 0;
};

// Where what a split of a layer says goes; each may be null.
struct SplitOutputs {
  int32_t* share = nullptr;                  // [S]
  double *quota = nullptr, *load = nullptr;  // [S], [G]
  SplitFigures* figures = nullptr;
};

// Where what a static dispatch of a layer says goes.
struct DispatchOutputs {
  int32_t *placement, *units;  // [S], after swaps: its expert, or -1, and how many ranks use it
  int32_t* table;              // [R,E]: the slot, or -1 if the expert has none
  double* load;                // [G]
  SplitFigures* figures;
};

// How a layer's placement differs from the current one.
struct LayerMoves {
  int moves = 0;          // GPUs and experts that they get
  int between_nodes = 0;  // slots with contents from another node
  int reloads = 0;        // slots whose expert no slot holds
  int rounds = 0;
  int most_sent = 0, most_received = 0;  // by a GPU
  bool changed = false;
};

}  // namespace eplb
