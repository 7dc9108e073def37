#include "session/session.h"

#include <functional>

#include "core/check_problem.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/move_limits.h"
#include "core/strategy.h"
#include "session/clock.h"

namespace eplb {
namespace {

// A strategy that computes in float32 has no answer for what does not fit there.
void check_float32(const Weights& weights, eplb_strategy strategy) {
  if (!traits_of(strategy).float32 || weights.fits_float32) return;
  for (int64_t l = 0; l < weights.layers; ++l) {
    const auto [fault, expert] = beyond_float32(weights, l);
    if (expert >= 0) fail_with(fault, {l, expert});
  }
}

// A strategy that knows no caps may have exceeded the one that was asked for.
void check_cap(const Plan& plan) {
  const int cap = plan.problem.limits.refused_above, experts = plan.problem.experts;
  if (cap == 0) return;
  const auto& counts = plan.replica_count;
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > cap)
      fail(EPLB_INVALID_ARGUMENT,
           "max_replicas is %d, but %s gives expert %lld of layer %lld %d replicas", cap,
           traits_of(plan.problem.options.strategy).name, ll(i) % experts, ll(i) / experts,
           counts[i]);
}

}  // namespace

// -------------------------------------------------------------------------------------- host calls

void Session::reserve(eplb_dtype dtype, int64_t windows, int64_t layers, int64_t experts,
                      const eplb_problem& problem, const eplb_solve_options& options) {
  check_shape(dtype, windows, layers, experts);
  Problem checked = check_problem(problem, options, tables_.cluster, layers, experts);
  set_tables(windows_kept(windows), checked);
  // All new first: what was uploaded and solved is given up only when there is memory for what
  // comes.
  Resident<Weights> weights;
  Resident<Plan> plan;
  Evaluation evaluation;
  WindowFigures window_figures;
  auto take_memory = [&] {
    weights.resize(is_integer(dtype), layers, experts, windows);
    plan.resize(checked);
    evaluation.resize(layers, checked.cluster.gpus);
    window_figures.resize(layers, checked.windows);
  };
  catch_up();
  bring_current();
  machine_->reserve(checked, std::ref(take_memory));
  weights_ = std::move(weights);
  plan_ = std::move(plan);
  evaluation_ = std::move(evaluation);
  windows_ = std::move(window_figures);
  reserved_ = checked;
  forget_split_placement();
  send_current();
}

void Session::synchronize() {
  if (streams_ == nullptr) return;
  streams_->wait();
  streams_->throw_fault();
}

void Session::upload(const WeightSource& source) {
  check_source(source);
  if (streams_) streams_->wait();
  const bool send = streams_ && streams_->prepare_send(source.layers, source.experts);
  read_weights(source, weights_.spare);
  weights_.keep_spare(kOnHost);
  plan_.place = kNowhere;
  forget_splits();
  if (!send) return;
  streams_->send(weights_.value);
  weights_.place = kOnBoth;
}

void Session::take_tables(Tables tables) {
  if (streams_) {
    streams_->wait();
    streams_->send(tables);
  }
  tables_ = std::move(tables);
  plan_.place = kNowhere;
  forget_split_placement();
}

// What of a problem follows from windows and tables: the cluster is there already.
void Session::set_tables(int64_t windows, Problem& problem) const {
  set_windows(windows, problem);
  set_window_weights(tables_.window_weights, problem);
  set_prices(tables_.prices, problem);
}

// Without an array there is none any more.
void Session::upload_current(const PlacementSource& source) {
  if (source.data) check_source(source);
  if (streams_) streams_->wait();
  if (source.data) {
    read_any_placement("placement", source, current_.spare.expert);
    current_.spare.layers = source.layers;
    current_.spare.slots = source.slots;
    current_.keep_spare(kOnHost);
  } else {
    current_.place = kNowhere;
  }
  plan_.place = kNowhere;
  send_current();
}

void Session::send_current() {
  if (!current_.exists()) return;
  current_.place = streams_ && streams_->send(current_.value) ? kOnBoth : kOnHost;
}

const Weights& Session::need_weights() {
  bring_weights();
  if (!weights_.exists())
    fail(EPLB_INVALID_STATE, "there are no weights: call eplb_upload_weights first");
  return weights_.value;
}
void Session::need_plan() const {
  if (!plan_.exists()) fail(EPLB_INVALID_STATE, "there is no plan: call eplb_solve first");
}

// Waits for device calls. Where work was captured it may have run again without a call.
void Session::catch_up() {
  if (streams_ == nullptr) return;
  streams_->wait();
  if (!streams_->replays()) return;
  for (Place* const place :
       {&weights_.place, &current_.place, &plan_.place, &split_over_.place, &split_.place})
    if (*place == kOnBoth) *place = kOnMachine;
}

// Copies to the host what device calls have left.
void Session::bring_weights() {
  catch_up();
  if (weights_.on_host() || !weights_.on_machine()) return;
  Weights& brought = weights_.spare;
  const bool has_windows = streams_->keeps_windows(weights_.value);
  brought.resize(weights_.value.integer, weights_.value.layers, weights_.value.experts,
                 has_windows ? weights_.value.windows : 0);
  brought.fits_float32 = false;  // not known
  streams_->bring(brought);
  const bool replaced = !brought.same_sums(weights_.value);
  weights_.keep_spare(kOnBoth);
  evaluation_.known = 0;
  windows_.known = 0;
  if (!replaced) return;
  if (!split_.on_machine()) split_.place = kNowhere;
  dispatch_.place = kNowhere;
}

void Session::bring_current() {
  if (current_.on_host() || !current_.on_machine()) return;
  CurrentPlacement& brought = current_.spare;
  brought.resize(current_.value.layers, current_.value.slots);
  streams_->bring(brought);
  current_.keep_spare(kOnBoth);
}

void Session::bring_plan() {
  bring_weights();
  if (plan_.on_host() || !plan_.on_machine()) return;
  Plan& brought = plan_.spare;
  brought.resize(plan_.value.problem);
  brought.problem.windows = weights_.value.windows;  // their sum may have come back without them
  if (!streams_->bring(brought))
    fail(EPLB_INVALID_STATE,
         "the reserved device memory does not hold the plan of the last solve: was that one "
         "captured and never launched, or a graph of another problem replayed?");
  if (solved_on_stream_) microseconds_ = streams_->microseconds();
  plan_.keep_spare(kOnBoth);
  forget_figures();
}

Problem Session::problem_of(const eplb_problem& asked, const eplb_solve_options& options) const {
  Problem problem =
      check_problem(asked, options, tables_.cluster, weights_.value.layers, weights_.value.experts);
  set_tables(weights_.value.windows, problem);
  if (current_.exists()) {
    check_current(current_.value, current_.on_host(), problem);
    problem.current.expert =
        current_.on_host() ? current_.value.expert.data() : streams_->current();
  }
  if (problem.options.strategy != EPLB_STRATEGY_REBALANCE) return problem;
  if (!current_.exists())
    fail(EPLB_INVALID_STATE,
         "there is no current placement to rebalance: call eplb_upload_placement first");
  if (current_.on_host()) check_forced_moves(problem);
  return problem;
}

void Session::solve(const eplb_problem& asked, const eplb_solve_options& options) {
  const Weights& weights = need_weights();
  bring_current();
  const double start = now_microseconds();
  const Problem problem = problem_of(asked, options);
  check_float32(weights, problem.options.strategy);
  Plan& plan = plan_.spare;
  plan.resize(problem);
  std::vector<int32_t> shares;
  if (shares_moves(problem)) {
    shares = share_moves(weights, problem);
    plan.problem.moves.layer_most = shares.data();
  }
  plan_.prepare_keep();  // before the machine gives up the plan that it has
  const bool on_machine = machine_->solve(weights, weights_.on_machine(), plan);
  check_cap(plan);
  if (has_limits(problem)) check_move_limits(plan);
  plan.problem.moves.layer_most = nullptr;
  plan_.keep_spare(on_machine ? kOnBoth : kOnHost);
  // What replays left on the machine is older than this plan, unless it was solved from that there.
  if (on_machine || (streams_ && streams_->replays())) {
    weights_.place = on_machine ? kOnBoth : kOnHost;
    if (current_.exists()) current_.place = weights_.place;
  }
  forget_figures();
  solved_on_stream_ = false;
  microseconds_ = now_microseconds() - start;
}

MapShape Session::shape(eplb_map map) const {
  const MapEntry& entry = map_entry(map);
  if (entry.needs_of_split) return entry.shape(need_split_placement().problem);
  if (entry.needs_dispatch) return entry.shape(need_dispatch().problem);
  if (plan_.exists()) return entry.shape(plan_.value.problem);
  if (reserved_) return entry.shape(*reserved_);
  fail(EPLB_INVALID_STATE, "there is no plan: call eplb_solve or eplb_context_reserve first");
}

void Session::fetch(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length) {
  const MapEntry& entry = map_entry(map);
  if (entry.needs_of_split) return fetch_of_split(entry, dtype, buffer, length);
  if (entry.needs_dispatch) return fetch_of_dispatch(entry, dtype, buffer, length);
  bring_plan();
  need_plan();
  check_map_buffer(entry, dtype, buffer, length, entry.shape(plan_.value.problem));
  const Answer answer{
      .plan = &plan_.value,
      .evaluation = &evaluation_with(entry.needs),
      .windows = entry.needs_of_windows ? &windows_with(entry.needs_of_windows) : nullptr,
      .transfers = entry.needs_transfers ? &transfers() : nullptr};
  write_map(entry, answer, dtype, buffer);
}

uint64_t Session::fingerprint() {
  bring_plan();
  need_plan();
  return eplb::fingerprint(plan_.value);
}

int64_t Session::bytes() const {
  return static_cast<int64_t>(sizeof *this) + weights_.bytes() + plan_.bytes() + tables_.bytes() +
         current_.bytes() + evaluation_.bytes() + windows_.bytes() + transfers_.bytes() +
         split_over_.bytes() + split_.bytes() + split_evaluation_.bytes() + dispatch_.bytes() +
         machine_->bytes();
}

// ------------------------------------------------------------------------------------ device calls

StreamMachine& Session::streams_for(const char* function) {
  if (streams_ == nullptr)
    fail(EPLB_INVALID_ARGUMENT,
         "%s needs a CUDA context, this is a CPU context: call it without _device", function);
  return *streams_;
}

void Session::upload_device(const WeightSource& source, void* stream) {
  StreamMachine& machine = streams_for("eplb_upload_weights_device");
  check_source(source);
  machine.upload_on(source, stream);
  weights_.value.integer = is_integer(source.dtype);
  weights_.value.windows = windows_kept(source.windows);
  weights_.value.layers = source.layers;
  weights_.value.experts = source.experts;
  weights_.place = kOnMachine;
  plan_.place = kNowhere;
  forget_splits();
}

void Session::upload_current_device(const PlacementSource& source, void* stream) {
  StreamMachine& machine = streams_for("eplb_upload_placement_device");
  if (source.data) {
    check_source(source);
    machine.upload_on(source, stream);
    current_.value.layers = source.layers;
    current_.value.slots = source.slots;
    current_.place = kOnMachine;
  } else {
    current_.place = kNowhere;
  }
  plan_.place = kNowhere;
}

void Session::solve_device(const eplb_problem& asked, const eplb_solve_options& options,
                           void* stream) {
  StreamMachine& machine = streams_for("eplb_solve_device");
  if (!weights_.on_machine())
    fail(EPLB_INVALID_STATE,
         "there are no weights in the reserved device memory: call eplb_context_reserve and "
         "eplb_upload_weights_device first");
  Problem problem = problem_of(asked, options);
  if (shares_moves(problem))
    fail(EPLB_UNAVAILABLE,
         "max_moves_total is not shared out on a stream by this version: call eplb_solve, or limit "
         "max_moves");
  if (moves_for_splits(problem))
    fail(EPLB_UNAVAILABLE,
         "EPLB_STRATEGY_REBALANCE has EPLB_OBJECTIVE_SPLIT on the host only: call eplb_solve");
  if (current_.exists() && !current_.on_machine())
    fail(EPLB_INVALID_STATE,
         "the current placement is not in the reserved device memory any more: upload it again");
  if (current_.exists()) problem.current.expert = machine.current();
  // Shapes of maps promise nothing that cannot be fetched.
  if (!weights_.on_host() && !machine.keeps_windows(weights_.value)) problem.windows = 0;
  machine.solve_on(problem, weights_.value.integer, stream);
  plan_.value.problem = problem;
  plan_.place = kOnMachine;
  solved_on_stream_ = true;
  microseconds_ = 0;
}

void Session::fetch_device(eplb_map map, eplb_dtype dtype, void* buffer, int64_t length,
                           void* stream) {
  StreamMachine& machine = streams_for("eplb_fetch_map_device");
  const MapEntry& entry = map_entry(map);
  if (entry.needs_of_split) return fetch_split_device(entry, map, dtype, buffer, length, stream);
  if (entry.needs_dispatch)
    fail(EPLB_UNAVAILABLE, "EPLB_MAP_%s is worked out on the host only: call eplb_fetch_map",
         entry.name);
  if (!plan_.on_machine())
    fail(EPLB_INVALID_STATE,
         "there is no plan in the reserved device memory: call eplb_solve_device first");
  if (entry.needs_of_windows || (entry.needs & kHomes))
    fail(EPLB_UNAVAILABLE, "EPLB_MAP_%s is worked out on the host only: call eplb_fetch_map",
         entry.name);
  Problem problem = plan_.value.problem;
  if (entry.needs_transfers) {
    check_has_current(problem);
    problem.current.expert = machine.current();
  }
  check_map_buffer(entry, dtype, buffer, length, entry.shape(problem));
  machine.fetch_on(problem, weights_.value.integer, map, dtype, buffer, stream);
}

void Session::abandon() {
  if (streams_) streams_->abandon();
}

}  // namespace eplb
