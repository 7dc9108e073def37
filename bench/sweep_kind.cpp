#include "sweep_kind.h"

#include <algorithm>
#include <ctime>
#include <stdexcept>

#include "sweep_weights.h"

namespace bench {
namespace {

constexpr int kFewWindows = 4;

Kind preset(const char* name, eplb_strategy strategy) {
  return {.name = name, .strategy = strategy};
}

std::vector<Kind> rebalances() {
  const Kind plain{.name = "REBALANCE", .strategy = EPLB_STRATEGY_REBALANCE};
  std::vector<Kind> kinds{plain, plain, plain, plain, plain, plain};
  kinds[1].name += ", 8 moves";
  kinds[1].max_moves = 8;
  kinds[2].name += ", a total of moves";
  kinds[2].moves_of_layers = 8;
  kinds[3].name += ", slots and speeds";
  kinds[3].gpus = Gpus::kSlotsAndSpeeds;
  kinds[4].name += ", windows";
  kinds[4].windows = kFewWindows;
  kinds[5].name += ", soft";
  kinds[5].policy = EPLB_POLICY_SOFT;
  return kinds;
}

std::vector<Kind> others() {
  return {
      {.name = "evaluation", .timed = Timed::kEvaluation},
      {.name = "evaluation, threshold bound",
       .timed = Timed::kEvaluation,
       .bound = EPLB_BOUND_THRESHOLD},
      {.name = "evaluation, slots and speeds",
       .timed = Timed::kEvaluation,
       .gpus = Gpus::kSlotsAndSpeeds},
      {.name = "report of REBALANCE",
       .timed = Timed::kReport,
       .strategy = EPLB_STRATEGY_REBALANCE,
       .max_moves = 8},
      {.name = "transfers", .timed = Timed::kTransfers},
      {.name = "transfers, in place", .timed = Timed::kTransfers, .order = EPLB_TRANSFER_IN_PLACE},
      {.name = "transfers, exclusive",
       .timed = Timed::kTransfers,
       .order = EPLB_TRANSFER_EXCLUSIVE},
  };
}

std::vector<Kind> make_kinds() {
  std::vector<Kind> kinds = {
      {.name = "BEST"},
      {.name = "BEST, fewer slots", .gpus = Gpus::kFewerSlots},
      {.name = "BEST, slots and speeds", .gpus = Gpus::kSlotsAndSpeeds},
      {.name = "BEST, windows", .windows = kFewWindows},
      {.name = "BEST, soft", .policy = EPLB_POLICY_SOFT},
      preset("GREEDY", EPLB_STRATEGY_GREEDY),
      preset("LPT_SWAP", EPLB_STRATEGY_LPT_SWAP),
      preset("L2_SWAP", EPLB_STRATEGY_L2_SWAP),
      preset("RANDOM_RESTARTS", EPLB_STRATEGY_RANDOM_RESTARTS),
      preset("NOISE_SPECTRUM", EPLB_STRATEGY_NOISE_SPECTRUM),
      preset("HYBRID_INIT", EPLB_STRATEGY_HYBRID_INIT),
      {.name = "GREEDY, fewer slots", .strategy = EPLB_STRATEGY_GREEDY, .gpus = Gpus::kFewerSlots},
      {.name = "LPT_SWAP, slots and speeds",
       .strategy = EPLB_STRATEGY_LPT_SWAP,
       .gpus = Gpus::kSlotsAndSpeeds},
      {.name = "HYBRID_INIT, slots and speeds",
       .strategy = EPLB_STRATEGY_HYBRID_INIT,
       .gpus = Gpus::kSlotsAndSpeeds},
  };
  for (const std::vector<Kind>& more : {rebalances(), others()})
    kinds.insert(kinds.end(), more.begin(), more.end());
  return kinds;
}

bool has_fewer_slots(Gpus gpus) {
  return gpus == Gpus::kFewerSlots || gpus == Gpus::kSlotsAndSpeeds;
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

bool has_effort(const Kind& kind) {
  return kind.timed == Timed::kSolve &&
         (kind.strategy == EPLB_STRATEGY_BEST || kind.strategy == EPLB_STRATEGY_REBALANCE);
}

Kind at_effort(Kind kind, eplb_effort effort) {
  kind.effort = effort;
  return kind;
}

const char* effort_name(eplb_effort effort) {
  constexpr const char* kNames[] = {"FAST", "NORMAL", "MAX"};
  return kNames[effort];
}

std::string title(const Kind& kind) {
  return has_effort(kind) ? kind.name + ", " + effort_name(kind.effort) : kind.name;
}

bool fits(const Kind& kind, const GridShape& shape) {
  constexpr int64_t kMostPrices = 1 << 26;  // of the soft policy, see eplb.h
  if (kind.policy == EPLB_POLICY_SOFT && int64_t{shape.nodes} * shape.experts > kMostPrices)
    return false;
  const auto slots = fewer_slots(shape);
  return !has_fewer_slots(kind.gpus) || std::any_of(slots.begin(), slots.end(), [&](int64_t count) {
    return count < shape.slots_per_gpu;
  });
}

double processor_time() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return 1e6 * double(now.tv_sec) + double(now.tv_nsec) / 1e3;
}

Call::Call(const Kind& kind, const Trace& trace, const GridShape& shape)
    : kind_(kind), shape_(shape), layers_(trace.layers) {
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
  if (kind.timed == Timed::kEvaluation || kind.timed == Timed::kTransfers)
    placement_ = place_greedily();
  source_.resize(placement_.size());
  round_.resize(placement_.size());
  problem_.policy = kind.policy;
  problem_.bound_kind = kind.bound;
  if (kind.windows > 1) problem_.objective = EPLB_OBJECTIVE_WINDOWS;
  options_.strategy = kind.strategy;
  options_.effort = kind.effort;
  options_.max_moves = kind.max_moves;
  if (kind.moves_of_layers >= 0) options_.max_moves_total = kind.moves_of_layers * layers_;
}

Call::~Call() { eplb_context_destroy(context_); }

void Call::check(eplb_status status) const {
  if (status != EPLB_OK)
    throw std::runtime_error(kind_.name + ", " + to_string(shape_) + ": " + error_.text);
}

void Call::upload(const Trace& trace, int windows) {
  const std::vector<float> weights = windows_of(trace, windows);
  check(eplb_upload_weights(context_, weights.data(), int64_t(weights.size()), EPLB_FLOAT32,
                            windows, layers_, trace.experts, &error_));
}

void Call::upload_cluster(Gpus gpus) {
  if (gpus == Gpus::kEqual) return;
  const std::vector<int64_t> slots = fewer_slots(shape_);
  const std::vector<double> speeds = speeds_of(shape_);
  const bool has_speeds = gpus == Gpus::kSpeeds || gpus == Gpus::kSlotsAndSpeeds;
  check(eplb_upload_cluster(context_, has_fewer_slots(gpus) ? slots.data() : nullptr,
                            has_speeds ? speeds.data() : nullptr, nullptr, shape_.gpus, &error_));
}

std::vector<int32_t> Call::place_greedily() {
  const bool has_speeds = kind_.gpus == Gpus::kSpeeds || kind_.gpus == Gpus::kSlotsAndSpeeds;
  options_.strategy = has_speeds ? EPLB_STRATEGY_LPT_SWAP : EPLB_STRATEGY_GREEDY;
  solve();
  std::vector<int32_t> placement(size_t(layers_) * shape_.slots());
  check(eplb_fetch_map(context_, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement.data(),
                       int64_t(placement.size()), &error_));
  return placement;
}

// Of equal GPUs: so experts have to leave those that are not.
void Call::begin_current(const Trace& trace) {
  upload(drifted(trace, 0), 1);
  current_ = place_greedily();
  if (kind_.timed == Timed::kTransfers) return;
  check(eplb_upload_placement(context_, current_.data(), int64_t(current_.size()), EPLB_INT32,
                              layers_, shape_.slots(), &error_));
}

void Call::solve() { check(eplb_solve(context_, &problem_, &options_, &error_)); }

void Call::report() { check(eplb_fetch_report(context_, &report_, &error_)); }

void Call::evaluate() {
  check(eplb_evaluate(context_, &problem_, placement_.data(), int64_t(placement_.size()),
                      EPLB_INT32, &report_, nullptr, nullptr, nullptr, 0, &error_));
}

void Call::plan_transfers() {
  check(eplb_plan_transfers(context_, &problem_, kind_.order, current_.data(), placement_.data(),
                            source_.data(), round_.data(), nullptr, int64_t(placement_.size()),
                            EPLB_INT32, &report_, &error_));
}

void Call::make() {
  switch (kind_.timed) {
    case Timed::kSolve: return solve();
    case Timed::kReport: return solve(), report();
    case Timed::kEvaluation: return evaluate();
    case Timed::kTransfers: return plan_transfers();
  }
}

double Call::time(int calls) {
  double spent = 0;
  for (int i = 0; i < calls && kind_.timed == Timed::kReport; i++) {
    solve();
    spent -= processor_time();
    report();
    spent += processor_time();
  }
  if (kind_.timed == Timed::kReport) return spent / calls;
  const double start = processor_time();
  for (int i = 0; i < calls; i++) make();
  return (processor_time() - start) / calls;
}

}  // namespace bench
