#include <algorithm>

#include "expect.h"
#include "failure.h"
#include "plans.h"
#include "program.h"
#include "transfers.h"

namespace eplb::fuzz {
namespace {

using ll = long long;

// More chains take longer: in units of one descent, roughly.
int64_t cost_of(const eplb_solve_options& options) {
  constexpr int64_t kCosts[] = {1, 1, 1, 4, 64, 128, 16, 32};
  const auto strategy = static_cast<size_t>(std::clamp(options.strategy, 0, 7));
  const bool searches = strategy >= EPLB_STRATEGY_BEST;
  constexpr int64_t kEfforts[] = {1, 10, 40};
  return kCosts[strategy] * (searches ? kEfforts[std::clamp(options.effort, 0, 2)] : 1);
}

void trace_solve(const eplb_problem& problem, const eplb_solve_options& options) {
  if (!is_tracing()) return;
  trace("solve: %lld slots, %lld GPUs, %lld nodes, %lld groups, policy %d, bound %d, objective %d, "
        "target %.17g, cap %lld",
        ll{problem.num_slots}, ll{problem.num_gpus}, ll{problem.num_nodes}, ll{problem.num_groups},
        problem.policy, problem.bound_kind, problem.objective, problem.off_home_target,
        ll{problem.max_replicas});
  trace("  strategy %d, effort %d, seed %llu, cap %lld, order %d, empty %d, moves %lld %lld %lld, "
        "target %.17g, price %.17g",
        options.strategy, options.effort, static_cast<unsigned long long>(options.seed),
        ll{options.max_replicas}, options.transfer_order, options.allow_empty,
        ll{options.max_moves}, ll{options.max_moves_total}, ll{options.max_arrivals},
        options.target, options.move_price);
}

eplb_map draw_map(Bytes& bytes) {
  const uint8_t byte = bytes.byte();
  return byte == 255 ? -1 : byte == 254 ? EPLB_MAP_OFF_HOME_BOUND + 1 : byte % 16;
}

// What a problem is solved with, but for weights and current placement.
void upload_tables(Subject& subject, const Known& known) {
  const auto or_null = [](const auto& values) { return values.empty() ? nullptr : values.data(); };
  const KnownCluster& cluster = known.cluster;
  subject.must(Call::kUploadCluster, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_cluster(context, or_null(cluster.slots), or_null(cluster.speeds),
                               or_null(cluster.nodes), cluster.gpus, err);
  });
  if (known.prices)
    subject.must(Call::kUploadPrices, {}, [&](eplb_context* context, eplb_error* err) {
      const KnownPrices& prices = *known.prices;
      return eplb_upload_prices(context, prices.prices.data(), prices.nodes * prices.columns,
                                prices.nodes, prices.columns, err);
    });
  const std::vector<double>& shares = known.window_weights;
  subject.must(Call::kUploadWindowWeights, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_window_weights(context, or_null(shares),
                                      static_cast<int64_t>(shares.size()), err);
  });
}

// What a fetch of a map must return, if nothing else is wrong with it.
Wanted expect_map(const Known& known, eplb_map map) {
  if (!known.plan || map < 0 || map > EPLB_MAP_OFF_HOME_BOUND)
    return known.plan && map > 0 ? Wanted::kUnavailable : Wanted::kRefusal;
  if (is_of_moves(map)) return success_if(known.plan->has_current, Wanted::kInvalidState);
  return success_if(!is_of_windows(map) || known.weights->kept() > 0, Wanted::kUnavailable);
}

}  // namespace

void solve(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  Known& known = subject.known;
  const auto problem_size = draw_size<eplb_problem>(bytes);
  Sized<eplb_problem> problem(problem_size, draw_problem(bytes, program.shape, defaults().problem));
  const auto options_size = draw_size<eplb_solve_options>(bytes);
  Sized<eplb_solve_options> options(options_size,
                                    draw_options(bytes, program.shape, problem.seen(defaults().problem),
                                                 known.current.has_value(), defaults().options),
                                    bytes.one_in(64));
  const bool has_options = !bytes.one_in(32), has_problem = !bytes.one_in(64);
  const eplb_problem seen = problem.seen(defaults().problem);
  const eplb_solve_options seen_options =
      has_options ? options.seen(defaults().options) : defaults().options;
  const bool legal =
      has_problem && problem.is_legal() && (!has_options || options.is_legal());
  const Wanted wanted =
      legal ? expect_solve(known, seen, seen_options) : Wanted::kInvalidArgument;
  trace_solve(seen, seen_options);
  subject.disturb(draw_disturbance(bytes));
  const Subject::Body body = [&](eplb_context* context, eplb_error* err) {
    return eplb_solve(context, has_problem ? problem.get() : nullptr,
                      has_options ? options.get() : nullptr, err);
  };
  program.work += program.shape.slots * program.shape.layers * program.shape.windows *
                  cost_of(seen_options);
  if (!subject.call_as(wanted, Call::kSolve, {}, body)) return;
  take_plan(subject, seen, seen_options);
  if (!bytes.one_in(3)) check_plan(subject);
}

void check_all(Program& program) {
  if (program.subject().known.plan) check_plan(program.subject());
}

// The answer for a layer does not depend on others.
void solve_alone(Program& program) {
  const Known& known = program.subject().known;
  if (!known.plan || known.plan->options.max_moves_total >= 0) return;
  const KnownPlan& plan = *known.plan;
  const int64_t layer = program.bytes.below(plan.layers), slots = plan.problem.num_slots;
  trace("solve layer %lld alone", ll{layer});
  Subject alone(1, 0, 0);
  const KnownWeights& weights = *known.weights;
  if (weights.dtype == EPLB_INT64) return;  // of which only the nearest doubles are known
  // Where windows are not balanced apart, their sum is enough.
  const bool sum = plan.problem.objective == EPLB_OBJECTIVE_SUM && program.bytes.one_in(2);
  std::vector<double> rows;
  for (int64_t window = 0; window < (sum ? 1 : weights.windows); ++window) {
    const double* const row = sum ? weights.row(layer) : weights.row(window, layer);
    rows.insert(rows.end(), row, row + weights.experts);
  }
  alone.must(Call::kUploadWeights, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_weights(context, rows.data(), static_cast<int64_t>(rows.size()),
                               EPLB_FLOAT64, sum ? 1 : weights.windows, 1, weights.experts, err);
  });
  upload_tables(alone, known);
  if (plan.has_current) {
    const int64_t* const row = &known.current->expert[static_cast<size_t>(layer * slots)];
    alone.must(Call::kUploadPlacement, {}, [&](eplb_context* context, eplb_error* err) {
      return eplb_upload_placement(context, row, slots, EPLB_INT64, 1, slots, err);
    });
  }
  alone.must(Call::kSolve, {}, [&](eplb_context* context, eplb_error* err) {
    return eplb_solve(context, &plan.problem, &plan.options, err);
  });
  const std::vector<int64_t> row = alone.fetch_whole(EPLB_MAP_PHYSICAL_TO_LOGICAL, slots);
  REQUIRE(std::equal(row.begin(), row.end(), plan.placement.begin() + layer * slots));
}

void fetch(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Known& known = subject.known;
  const eplb_map map = draw_map(bytes);
  const Wanted wanted = expect_map(known, map);
  const bool has_dims = wanted == Wanted::kSuccess || wanted == Wanted::kInvalidState;
  const int64_t length = has_dims ? dims_of(map, sizes_of(known)).elements() : 8;
  if (length > kMostElements) return;
  const int64_t given = draw_near(bytes, length);
  eplb_dtype dtype = bytes.one_in(2) ? EPLB_INT32 : EPLB_INT64;
  if (is_real(map)) dtype = EPLB_FLOAT64;
  const uint8_t wrong = bytes.byte();
  if (wrong >= 250) dtype = bytes.pick({-1, 0, 1, 2, 3, 4});
  const bool fits = is_real(map) ? dtype == EPLB_FLOAT64 : dtype == EPLB_INT32 || dtype == EPLB_INT64;
  const bool narrow = dtype == EPLB_INT32 || dtype == EPLB_FLOAT32;
  std::vector<std::byte> buffer(static_cast<size_t>(length * (narrow ? 4 : 8)), std::byte{0xa5});
  void* const data = wrong == 249 ? nullptr : buffer.data();
  trace("fetch: map %d, dtype %d, length %lld", map, dtype, ll{given});
  subject.disturb(draw_disturbance(bytes));
  const bool done = subject.call_as(
      fits && given == length && data != nullptr ? wanted : Wanted::kRefusal, Call::kFetchMap, {output(buffer)},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_fetch_map(context, map, dtype, data, given, err);
      });
  if (done && !is_of_moves(map)) check_map(subject, map);
}

void map_shape(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Known& known = subject.known;
  const eplb_map map = draw_map(bytes);
  const bool is_map = map >= 0 && map <= EPLB_MAP_OFF_HOME_BOUND;
  const bool has_sizes = known.plan || known.reserve;
  KnownReserve sizes{};
  if (has_sizes) sizes = known.plan ? sizes_of(known) : *known.reserve;
  const bool has = is_map && has_sizes && !(is_of_windows(map) && sizes.windows > kMostWindows);
  const int64_t length = bytes.one_in(16) ? draw_near(bytes, 3) : 4;
  struct {
    int32_t rank = -7, unused = 0;
    int64_t dims[5] = {-7, -7, -7, -7, -7};
  } shape;
  const uint8_t missing = bytes.byte();
  trace("map_shape: map %d", map);
  subject.disturb(draw_disturbance(bytes));
  const bool done = subject.call_as(
      success_if(has && length >= 4 && missing < 250, Wanted::kRefusal), Call::kMapShape, {{&shape, sizeof shape}},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_map_shape(context, map, missing == 250 ? nullptr : &shape.rank,
                              missing > 250 ? nullptr : shape.dims, length, err);
      });
  if (!done) return;
  const Dims expected = dims_of(map, sizes);
  REQUIRE(shape.rank == expected.rank && shape.dims[4] == -7);
  REQUIRE(std::equal(expected.dims, expected.dims + 4, shape.dims));
}

void report(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const bool null = bytes.one_in(64);
  Sized<eplb_report> given(draw_size<eplb_report>(bytes), defaults().report, bytes.one_in(32));
  trace("fetch_report");
  subject.disturb(draw_disturbance(bytes));
  const bool done = subject.call_as(
      !null && given.is_legal() ? success_if(subject.known.plan.has_value(), Wanted::kInvalidState)
                                : Wanted::kInvalidArgument,
      Call::kFetchReport, {output(given)},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_fetch_report(context, null ? nullptr : given.get(), err);
      });
  if (!done) return;
  Sized<eplb_report> whole(sizeof(eplb_report), defaults().report);
  subject.must(Call::kFetchReport, {output(whole)}, [&](eplb_context* context, eplb_error* err) {
    return eplb_fetch_report(context, whole.get(), err);
  });
  check_part(given, whole);
}

void fingerprint(Program& program) {
  Subject& subject = program.subject();
  const bool null = program.bytes.one_in(8);
  uint64_t value = 7;
  subject.disturb(draw_disturbance(program.bytes));
  const bool done = subject.call_as(
      null ? Wanted::kInvalidArgument
           : success_if(subject.known.plan.has_value(), Wanted::kInvalidState),
      Call::kFingerprint, {{&value, sizeof value}},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_fingerprint(context, null ? nullptr : &value, err);
      });
  if (done) REQUIRE(value == subject.known.plan->fingerprint);
}

}  // namespace eplb::fuzz
