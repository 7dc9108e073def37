#include "call_kind.h"

#include <algorithm>
#include <stdexcept>

#include "layer_weights.h"

namespace bench {
namespace {

constexpr int kFewWindows = 2, kMostWindows = 64;

std::vector<Kind> bests() {
  return {
      {.name = "BEST"},
      {.name = "BEST, capped replicas", .caps_replicas = true},
      {.name = "BEST, fewer slots", .gpus = Gpus::kFewerSlots},
      {.name = "BEST, slots and speeds", .gpus = Gpus::kSlotsAndSpeeds},
      {.name = "BEST, 2 windows", .windows = kFewWindows},
      {.name = "BEST, 64 windows", .windows = kMostWindows},
      {.name = "BEST, for splits", .is_for_splits = true},
      {.name = "BEST, for splits, slots and speeds",
       .gpus = Gpus::kSlotsAndSpeeds,
       .is_for_splits = true},
      {.name = "BEST, soft", .policy = EPLB_POLICY_SOFT},
      {.name = "BEST, soft, prices, 64 windows, slots and speeds",
       .policy = EPLB_POLICY_SOFT,
       .gpus = Gpus::kSlotsAndSpeeds,
       .windows = kMostWindows,
       .has_prices = true},
  };
}

std::vector<Kind> presets() {
  constexpr const char* kNames[] = {"GREEDY",          "LPT_SWAP",       "L2_SWAP",
                                    "RANDOM_RESTARTS", "NOISE_SPECTRUM", "HYBRID_INIT"};
  std::vector<Kind> kinds;
  for (eplb_strategy s = EPLB_STRATEGY_GREEDY; s <= EPLB_STRATEGY_HYBRID_INIT; s++) {
    const std::string name = kNames[s - EPLB_STRATEGY_GREEDY];
    kinds.push_back({.name = name, .strategy = s});
    kinds.push_back({.name = name + ", fewer slots", .strategy = s, .gpus = Gpus::kFewerSlots});
    if (s == EPLB_STRATEGY_GREEDY) continue;  // knows no speeds
    kinds.push_back(
        {.name = name + ", slots and speeds", .strategy = s, .gpus = Gpus::kSlotsAndSpeeds});
  }
  return kinds;
}

std::vector<Kind> rebalances() {
  std::vector<Kind> kinds = {
      {.name = ""},
      {.name = ", 8 moves", .max_moves = 8},
      {.name = ", a total of 8 moves", .max_moves_total = 8},
      {.name = ", 2 arrivals", .max_arrivals = 2},
      {.name = ", a price of moves", .move_price = 1e-6},
      {.name = ", no target, empty slots", .target = 0, .allow_empty = true},
      {.name = ", capped replicas", .caps_replicas = true},
      {.name = ", slots and speeds", .gpus = Gpus::kSlotsAndSpeeds},
      {.name = ", 2 windows", .windows = kFewWindows},
      {.name = ", 64 windows", .windows = kMostWindows},
      {.name = ", no target, 64 windows", .windows = kMostWindows, .target = 0},
      {.name = ", for splits", .is_for_splits = true},
      {.name = ", for splits, no target", .is_for_splits = true, .target = 0},
      {.name = ", for splits, slots and speeds",
       .gpus = Gpus::kSlotsAndSpeeds,
       .is_for_splits = true},
      {.name = ", soft", .policy = EPLB_POLICY_SOFT},
      {.name = ", soft, 8 moves", .policy = EPLB_POLICY_SOFT, .max_moves = 8},
      {.name = ", soft, a total of 8 moves", .policy = EPLB_POLICY_SOFT, .max_moves_total = 8},
      {.name = ", soft, prices, 64 windows, slots and speeds",
       .policy = EPLB_POLICY_SOFT,
       .gpus = Gpus::kSlotsAndSpeeds,
       .windows = kMostWindows,
       .has_prices = true},
  };
  for (Kind& kind : kinds) {
    kind.name = "REBALANCE" + kind.name;
    kind.strategy = EPLB_STRATEGY_REBALANCE;
  }
  return kinds;
}

std::vector<Kind> others() {
  constexpr Timed kEvaluation = Timed::kEvaluation, kTransfers = Timed::kTransfers;
  constexpr Timed kSplit = Timed::kSplit, kDispatch = Timed::kStaticDispatch;
  return {
      {.name = "evaluation", .timed = kEvaluation},
      {.name = "evaluation, capped replicas", .timed = kEvaluation, .caps_replicas = true},
      {.name = "evaluation, 64 windows", .timed = kEvaluation, .windows = kMostWindows},
      {.name = "evaluation, soft", .timed = kEvaluation, .policy = EPLB_POLICY_SOFT},
      {.name = "evaluation, bound of thresholds",
       .timed = kEvaluation,
       .bound = EPLB_BOUND_THRESHOLD},
      {.name = "evaluation, slots and speeds", .timed = kEvaluation, .gpus = Gpus::kSlotsAndSpeeds},
      {.name = "transfers", .timed = kTransfers},
      {.name = "transfers, in place", .timed = kTransfers, .order = EPLB_TRANSFER_IN_PLACE},
      {.name = "transfers, exclusive", .timed = kTransfers, .order = EPLB_TRANSFER_EXCLUSIVE},
      {.name = "split", .timed = kSplit},
      {.name = "split, slots and speeds", .timed = kSplit, .gpus = Gpus::kSlotsAndSpeeds},
      {.name = "static dispatch", .timed = kDispatch},
      {.name = "static dispatch, slots and speeds",
       .timed = kDispatch,
       .gpus = Gpus::kSlotsAndSpeeds},
  };
}

std::vector<Kind> make_kinds() {
  std::vector<Kind> kinds;
  for (const std::vector<Kind>& some : {bests(), presets(), rebalances(), others()})
    kinds.insert(kinds.end(), some.begin(), some.end());
  return kinds;
}

// By GPU: the first has none, and every fourth one less, as far as experts have room. On each node
// the same, for the hierarchical policy needs that.
std::vector<int64_t> fewer_slots(const GridShape& shape) {
  std::vector<int64_t> slots(size_t(shape.gpus), shape.slots_per_gpu);
  const int node_gpus = shape.gpus / shape.nodes;
  int spare = (shape.slots() - shape.experts) / shape.nodes;
  std::vector<int64_t> of_node(size_t(node_gpus), shape.slots_per_gpu);
  if (spare >= shape.slots_per_gpu && node_gpus > 1) {
    of_node[0] = 0;
    spare -= shape.slots_per_gpu;
  }
  for (size_t gpu = 3; gpu < of_node.size() && spare > 0; gpu += 4, spare--) of_node[gpu]--;
  for (size_t gpu = 0; gpu < slots.size(); gpu++) slots[gpu] = of_node[gpu % of_node.size()];
  return slots;
}

int64_t most_replicas(const GridShape& shape) {
  return std::min(shape.slots() / shape.experts + 2, 1 << 18);
}

std::vector<double> speeds_of(const GridShape& shape) {
  std::vector<double> speeds;
  for (int gpu = 0; gpu < shape.gpus; gpu++)
    speeds.push_back(1 + gpu % (shape.gpus / shape.nodes) % 3 / 4.0);
  return speeds;
}

}  // namespace

const std::vector<Kind>& all_kinds() {
  static const std::vector<Kind> kinds = make_kinds();
  return kinds;
}

bool fits(const Kind& kind, const GridShape& shape) {
  constexpr int64_t kMostPrices = 1 << 26;  // of the soft policy, see eplb.h
  if (kind.policy == EPLB_POLICY_SOFT && int64_t{shape.nodes} * shape.experts > kMostPrices)
    return false;
  if (kind.gpus == Gpus::kEqual) return true;
  const auto slots = fewer_slots(shape);
  return std::any_of(slots.begin(), slots.end(),
                     [&](int64_t count) { return count < shape.slots_per_gpu; });
}

Call::Call(const Kind& kind, const Trace& trace, const GridShape& shape)
    : kind_(kind), shape_(shape) {
  check(eplb_problem_init(&problem_, sizeof problem_, &error_));
  check(eplb_solve_options_init(&options_, sizeof options_, &error_));
  check(eplb_report_init(&report_, sizeof report_, &error_));
  check(eplb_context_create(&context_, nullptr, &error_));
  problem_.num_slots = shape.slots();
  problem_.num_gpus = shape.gpus;
  problem_.num_nodes = shape.nodes;
  problem_.num_groups = shape.groups;
  if (kind.strategy == EPLB_STRATEGY_REBALANCE || kind.timed == Timed::kTransfers)
    begin_current(trace);
  upload_cluster(kind.gpus);
  upload(trace, kind.windows);
  if (kind.timed != Timed::kSolve) placement_ = place_greedily();
  source_.resize(placement_.size());
  quota_.resize(placement_.size());
  round_.resize(placement_.size());
  if (kind.has_prices) upload_prices();
  ask();
}

void Call::ask() {
  problem_.policy = kind_.policy;
  problem_.bound_kind = kind_.bound;
  if (kind_.windows > 1 && kind_.timed == Timed::kSolve)
    problem_.objective = EPLB_OBJECTIVE_WINDOWS;
  if (kind_.is_for_splits) problem_.objective = EPLB_OBJECTIVE_SPLIT;
  options_.strategy = kind_.strategy;
  options_.effort = EPLB_EFFORT_FAST;
  options_.max_moves = kind_.max_moves;
  options_.max_moves_total = kind_.max_moves_total;
  options_.max_arrivals = kind_.max_arrivals;
  options_.target = kind_.target;
  options_.move_price = kind_.move_price;
  options_.allow_empty = kind_.allow_empty;
  const int64_t cap = most_replicas(shape_);
  if (kind_.caps_replicas)
    (kind_.timed == Timed::kSolve ? options_.max_replicas : problem_.max_replicas) = cap;
}

Call::~Call() { eplb_context_destroy(context_); }

void Call::check(eplb_status status) const {
  if (status != EPLB_OK)
    throw std::runtime_error(kind_.name + ", " + to_string(shape_) + ": " + error_.text);
}

void Call::upload(const Trace& trace, int windows) {
  const std::vector<float> weights = windows_of(trace, windows);
  check(eplb_upload_weights(context_, weights.data(), int64_t(weights.size()), EPLB_FLOAT32,
                            windows, trace.layers, trace.experts, &error_));
}

void Call::upload_cluster(Gpus gpus) {
  if (gpus == Gpus::kEqual) return;
  const std::vector<int64_t> slots = fewer_slots(shape_);
  const std::vector<double> speeds = speeds_of(shape_);
  const bool has_speeds = gpus == Gpus::kSlotsAndSpeeds;
  check(eplb_upload_cluster(context_, slots.data(), has_speeds ? speeds.data() : nullptr, nullptr,
                            shape_.gpus, &error_));
}

// By expert, every node's its own.
void Call::upload_prices() {
  std::vector<double> prices;
  for (int node = 0; node < shape_.nodes; node++)
    for (int e = 0; e < shape_.experts; e++) prices.push_back(1 + (node * 7 + e * 3) % 11);
  check(eplb_upload_prices(context_, prices.data(), int64_t(prices.size()), shape_.nodes,
                           shape_.experts, &error_));
}

// GREEDY knows neither speeds nor caps.
std::vector<int32_t> Call::place_greedily() {
  const bool suffices = kind_.gpus != Gpus::kSlotsAndSpeeds && !kind_.caps_replicas;
  options_.strategy = suffices ? EPLB_STRATEGY_GREEDY : EPLB_STRATEGY_LPT_SWAP;
  options_.max_replicas = kind_.caps_replicas ? most_replicas(shape_) : 0;
  solve();
  return fetch();
}

std::vector<int32_t> Call::fetch() {
  std::vector<int32_t> placement(size_t(shape_.slots()));
  check(eplb_fetch_map(context_, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement.data(),
                       int64_t(placement.size()), &error_));
  return placement;
}

// Of equal GPUs: so experts have to leave those that are not.
void Call::begin_current(const Trace& trace) {
  upload(drifted(trace, 0), 1);
  current_ = place_greedily();
  if (kind_.timed == Timed::kTransfers) return;
  check(eplb_upload_placement(context_, current_.data(), int64_t(current_.size()), EPLB_INT32, 1,
                              shape_.slots(), &error_));
}

void Call::solve() { check(eplb_solve(context_, &problem_, &options_, &error_)); }

void Call::report() { check(eplb_fetch_report(context_, &report_, &error_)); }

void Call::check_plan() {
  placement_ = fetch();
  evaluate();
}

void Call::evaluate() {
  check(eplb_evaluate(context_, &problem_, placement_.data(), int64_t(placement_.size()),
                      EPLB_INT32, &report_, nullptr, nullptr, nullptr, 0, &error_));
}

void Call::plan_transfers() {
  check(eplb_plan_transfers(context_, &problem_, kind_.order, current_.data(), placement_.data(),
                            source_.data(), round_.data(), nullptr, int64_t(placement_.size()),
                            EPLB_INT32, &report_, &error_));
}

void Call::split() {
  check(eplb_split(context_, &problem_, placement_.data(), int64_t(placement_.size()), EPLB_INT32,
                   nullptr, &error_));
  check(eplb_fetch_map(context_, EPLB_MAP_SHARE, EPLB_INT32, source_.data(),
                       int64_t(source_.size()), &error_));
  check(eplb_fetch_map(context_, EPLB_MAP_QUOTA, EPLB_FLOAT64, quota_.data(),
                       int64_t(quota_.size()), &error_));
}

void Call::dispatch() {
  constexpr int64_t kMostRanks = 4096;
  eplb_static_dispatch_options options{};
  check(eplb_static_dispatch_options_init(&options, sizeof options, &error_));
  options.num_ranks = std::min(kMostRanks, (int64_t{1} << 24) / shape_.experts);
  options.max_swaps = -1;
  check(eplb_static_dispatch(context_, &problem_, placement_.data(), int64_t(placement_.size()),
                             EPLB_INT32, &options, &error_));
}

void Call::make() {
  switch (kind_.timed) {
    case Timed::kSolve: return solve();
    case Timed::kEvaluation: return evaluate();
    case Timed::kTransfers: return plan_transfers();
    case Timed::kSplit: return split();
    case Timed::kStaticDispatch: return dispatch();
  }
}

}  // namespace bench
