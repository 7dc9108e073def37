// What a context must hold, as the calls that succeeded have left it: kept apart from the library,
// to work out what it should answer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "eplb.h"

namespace eplb::fuzz {

inline constexpr int64_t kMostWindows = 64;  // that are kept apart
inline constexpr int64_t kMostSlots = int64_t{1} << 18;

struct KnownWeights {
  eplb_dtype dtype = EPLB_FLOAT32;
  int64_t windows = 0, layers = 0, experts = 0;  // of the upload
  std::vector<double> each;                      // [T,L,E]
  std::vector<double> sum;                       // [L,E]
  // Quotients of weights that are nearly denormals, and the sums of these, lose bits.
  bool is_tiny = false;
  bool fits_float32 = true;

  int64_t kept() const { return windows <= kMostWindows ? windows : 0; }
  const double* row(int64_t layer) const { return &sum[static_cast<size_t>(layer * experts)]; }
  const double* row(int64_t window, int64_t layer) const {
    return &each[static_cast<size_t>((window * layers + layer) * experts)];
  }
};

// Arrays are empty where they were NULL.
struct KnownCluster {
  int64_t gpus = 0;
  std::vector<int64_t> slots, nodes;
  std::vector<double> speeds;
};

struct KnownPrices {
  int64_t nodes = 0, columns = 0;
  std::vector<double> prices;
};

struct KnownCurrent {
  int64_t layers = 0, slots = 0;
  std::vector<int64_t> expert;
};

// The GPUs of a problem.
struct Gpus {
  int64_t places = 0;         // per GPU, closed ones included
  std::vector<int64_t> open;  // slots
  std::vector<int64_t> node;
  std::vector<double> speed;  // mean 1 over GPUs that have slots; empty: all are equally fast
  int64_t open_slots = 0, open_gpus = 0;

  int64_t count() const { return static_cast<int64_t>(open.size()); }
  int64_t of(int64_t slot) const { return slot / places; }
  bool is_open(int64_t slot) const { return slot % places < open[static_cast<size_t>(of(slot))]; }
  int64_t node_of(int64_t slot) const { return node[static_cast<size_t>(of(slot))]; }
};
Gpus gpus_of(const KnownCluster& cluster, const eplb_problem& problem);

int64_t groups_of(const eplb_problem& problem);
bool is_hierarchical(const eplb_problem& problem);
eplb_policy policy_of(const eplb_problem& problem);

// 0 means no cap.
inline int64_t lower_cap(int64_t one, int64_t other) {
  return one > 0 && other > 0 ? (one < other ? one : other) : one + other;
}

struct KnownPlan {
  eplb_problem problem{};
  eplb_solve_options options{};
  int64_t layers = 0, experts = 0;
  Gpus gpus;
  bool has_current = false;
  std::vector<int64_t> placement, counts, replica_slots;
  uint64_t fingerprint = 0;
  // Bounds once they were fetched: they must not change.
  std::vector<double> bound, window_bound;

  int64_t cap() const { return lower_cap(problem.max_replicas, options.max_replicas); }
  double home_target() const;
};

// All maps of a split.
struct KnownQuotas {
  std::vector<int64_t> share, tight;
  std::vector<double> quota, load, imbalance, bound;

  bool operator==(const KnownQuotas&) const = default;
};

// All maps of a static dispatch.
struct KnownTables {
  std::vector<int64_t> slot, placement, ranks;
  std::vector<double> load, imbalance, bound;

  bool operator==(const KnownTables&) const = default;
};

struct KnownDispatch {
  int64_t ranks = 0, swaps = 0;     // swaps: 0, or there may be some
  std::optional<KnownTables> maps;  // once they were fetched: they must not change
};

// What is prepared for splits, and the last split and static dispatch over it.
struct KnownSplit {
  eplb_problem problem{};
  int64_t layers = 0, experts = 0;
  Gpus gpus;
  std::vector<int64_t> placement;
  std::optional<double> tolerance;  // none: there is no split
  std::optional<KnownQuotas> maps;  // once they were fetched: they must not change
  std::optional<KnownDispatch> dispatch;
};

// The arguments of the last reserve: what the shapes of maps are without a plan.
struct KnownReserve {
  int64_t windows, layers, experts;
  eplb_problem problem;
  eplb_solve_options options;
};

struct Known {
  std::optional<KnownWeights> weights;
  KnownCluster cluster;
  std::optional<KnownPrices> prices;
  std::vector<double> window_weights;
  std::optional<KnownCurrent> current;
  std::optional<KnownReserve> reserve;
  std::optional<KnownPlan> plan;
  std::optional<KnownSplit> split;

  // Other weights.
  void forget_answers() {
    plan.reset();
    if (!split) return;
    split->tolerance.reset();
    split->maps.reset();
    split->dispatch.reset();
  }
  // Other tables.
  void forget_problems() {
    plan.reset();
    split.reset();
  }
};

}  // namespace eplb::fuzz
