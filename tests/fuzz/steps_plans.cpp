#include <algorithm>

#include "dispatches.h"
#include "expect.h"
#include "failure.h"
#include "plans.h"
#include "program.h"
#include "splits.h"
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
  trace(
      "solve: %lld slots, %lld GPUs, %lld nodes, %lld groups, policy %d, bound %d, objective %d, "
      "target %.17g, cap %lld",
      ll{problem.num_slots}, ll{problem.num_gpus}, ll{problem.num_nodes}, ll{problem.num_groups},
      problem.policy, problem.bound_kind, problem.objective, problem.off_home_target,
      ll{problem.max_replicas});
  trace(
      "  strategy %d, effort %d, seed %llu, cap %lld, order %d, empty %d, moves %lld %lld %lld, "
      "target %.17g, price %.17g",
      options.strategy, options.effort, static_cast<unsigned long long>(options.seed),
      ll{options.max_replicas}, options.transfer_order, options.allow_empty, ll{options.max_moves},
      ll{options.max_moves_total}, ll{options.max_arrivals}, options.target, options.move_price);
}

eplb_map draw_map(Bytes& bytes) {
  const uint8_t byte = bytes.byte();
  if (byte == 255) return -1;
  if (byte == 254) return EPLB_MAP_DISPATCH_BOUND + 1;
  if (byte == 253) return EPLB_MAP_DISPATCH_SLOT + bytes.below(6);
  return byte >= 240 ? EPLB_MAP_SHARE + byte % 6 : byte % 16;
}

// What a fetch of a map must return, if nothing else is wrong with it.
Wanted expect_map(const Known& known, eplb_map map) {
  if (is_of_split(map))
    return success_if(known.split && known.split->tolerance, Wanted::kInvalidState);
  if (is_of_dispatch(map))
    return success_if(known.split && known.split->dispatch, Wanted::kInvalidState);
  if (!known.plan || map < 0 || map > EPLB_MAP_OFF_HOME_BOUND)
    return known.plan && map > 0 ? Wanted::kUnavailable : Wanted::kRefusal;
  if (is_of_moves(map)) return success_if(known.plan->has_current, Wanted::kInvalidState);
  return success_if(!is_of_windows(map) || known.weights->kept() > 0, Wanted::kUnavailable);
}

}  // namespace

void solve(Program& program) {
  Bytes& bytes = program.bytes;
  const Known& known = program.subject().known;
  Sized<eplb_problem> problem = draw_sized_problem(program);
  Sized<eplb_solve_options> options = draw_sized_options(program, problem.seen(defaults().problem));
  const bool has_options = !bytes.one_in(32), has_problem = !bytes.one_in(64);
  const eplb_problem seen = problem.seen(defaults().problem);
  const eplb_solve_options seen_options =
      has_options ? options.seen(defaults().options) : defaults().options;
  const bool legal = has_problem && problem.is_legal() && (!has_options || options.is_legal());
  const Wanted wanted = legal ? expect_solve(known, seen, seen_options) : Wanted::kInvalidArgument;
  trace_solve(seen, seen_options);
  program.work +=
      program.shape.slots * program.shape.layers * program.shape.windows * cost_of(seen_options);
  const bool done =
      program.make(wanted, Call::kSolve, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_solve(context, has_problem ? problem.get() : nullptr,
                          has_options ? options.get() : nullptr, err);
      });
  if (!done) return;
  take_plan(program.subject(), seen, seen_options);
  if (!bytes.one_in(3)) check_plan(program.subject());
}

void check_all(Program& program) {
  check_split(program.subject());
  check_dispatch(program.subject());
  if (program.subject().known.plan) check_plan(program.subject());
}

namespace {

struct Fetch {
  eplb_map map;
  eplb_dtype dtype;
  int64_t length;  // of the map; of what is not there, any
  bool fits;       // is the type one of the map's?
};

Fetch draw_fetch(Bytes& bytes, const Known& known) {
  const eplb_map map = draw_map(bytes);
  const Wanted wanted = expect_map(known, map);
  const bool has_dims = wanted == Wanted::kSuccess || wanted == Wanted::kInvalidState;
  Fetch fetch{map, EPLB_FLOAT64, 8, true};
  if (is_of_split(map) && known.split)
    fetch.length = dims_of(map, *known.split).elements();
  else if (is_of_dispatch(map) && wanted == Wanted::kSuccess)
    fetch.length = dispatch_dims_of(map, *known.split).elements();
  else if (!is_of_split(map) && !is_of_dispatch(map) && has_dims)
    fetch.length = dims_of(map, sizes_of(known)).elements();
  if (!is_real(map)) fetch.dtype = bytes.one_in(2) ? EPLB_INT32 : EPLB_INT64;
  if (!bytes.one_in(40)) return fetch;
  fetch.dtype = bytes.pick({-1, 0, 1, 2, 3, 4});
  fetch.fits = is_real(map) ? fetch.dtype == EPLB_FLOAT64
                            : fetch.dtype == EPLB_INT32 || fetch.dtype == EPLB_INT64;
  return fetch;
}

}  // namespace

void fetch(Program& program) {
  Bytes& bytes = program.bytes;
  const Known& known = program.subject().known;
  const auto [map, dtype, length, fits] = draw_fetch(bytes, known);
  if (length > kMostElements) return;
  const int64_t given = draw_near(bytes, length);
  const bool narrow = dtype == EPLB_INT32 || dtype == EPLB_FLOAT32;
  std::vector<std::byte> buffer(static_cast<size_t>(length * (narrow ? 4 : 8)), std::byte{0xa5});
  void* const data = bytes.one_in(40) ? nullptr : buffer.data();
  const bool others_fit = fits && given == length && data != nullptr;
  trace("fetch: map %d, dtype %d, length %lld", map, dtype, ll{given});
  const bool done =
      program.make(others_fit ? expect_map(known, map) : Wanted::kRefusal, Call::kFetchMap,
                   {output(buffer)}, [&, map = map, dtype = dtype](auto* context, auto* err) {
                     return eplb_fetch_map(context, map, dtype, data, given, err);
                   });
  if (done && is_of_split(map)) return check_split(program.subject());
  if (done && is_of_dispatch(map)) return check_dispatch(program.subject());
  if (done && !is_of_moves(map)) check_map(program.subject(), map);
}

namespace {

struct Shown {
  int32_t rank = -7, unused = 0;
  int64_t dims[5] = {-7, -7, -7, -7, -7};
};

// Of the plan, of what was reserved, of what is prepared for splits, or of a static dispatch.
std::optional<Dims> known_dims(const Known& known, eplb_map map) {
  if (is_of_split(map)) {
    if (!known.split) return std::nullopt;
    return dims_of(map, *known.split);
  }
  if (is_of_dispatch(map)) {
    if (!known.split || !known.split->dispatch) return std::nullopt;
    return dispatch_dims_of(map, *known.split);
  }
  if ((!known.plan && !known.reserve) || map < 0 || map > EPLB_MAP_OFF_HOME_BOUND)
    return std::nullopt;
  const KnownReserve sizes = known.plan ? sizes_of(known) : *known.reserve;
  if (is_of_windows(map) && sizes.windows > kMostWindows) return std::nullopt;
  return dims_of(map, sizes);
}

}  // namespace

void map_shape(Program& program) {
  Bytes& bytes = program.bytes;
  const eplb_map map = draw_map(bytes);
  const std::optional<Dims> expected = known_dims(program.subject().known, map);
  const int64_t length = bytes.one_in(16) ? draw_near(bytes, 3) : 4;
  const bool has_rank = !bytes.one_in(40), has_dims = !bytes.one_in(40);
  Shown shown;
  trace("map_shape: map %d", map);
  const bool done = program.make(
      success_if(expected && length >= 4 && has_rank && has_dims, Wanted::kRefusal),
      Call::kMapShape, {{&shown, sizeof shown}}, [&](eplb_context* context, eplb_error* err) {
        return eplb_map_shape(context, map, has_rank ? &shown.rank : nullptr,
                              has_dims ? shown.dims : nullptr, length, err);
      });
  if (!done) return;
  REQUIRE(shown.rank == expected->rank && shown.dims[4] == -7);
  REQUIRE(std::equal(expected->dims, expected->dims + 4, shown.dims));
}

void report(Program& program) {
  Bytes& bytes = program.bytes;
  const bool has_plan = program.subject().known.plan.has_value(), null = bytes.one_in(64);
  Sized<eplb_report> given(draw_size<eplb_report>(bytes), defaults().report, bytes.one_in(32));
  trace("fetch_report");
  const bool done = program.make(
      !null && given.is_legal() ? success_if(has_plan, Wanted::kInvalidState)
                                : Wanted::kInvalidArgument,
      Call::kFetchReport, {output(given)}, [&](eplb_context* context, eplb_error* err) {
        return eplb_fetch_report(context, null ? nullptr : given.get(), err);
      });
  if (!done) return;
  Sized<eplb_report> whole(sizeof(eplb_report), defaults().report);
  program.subject().must(Call::kFetchReport, {output(whole)},
                         [&](eplb_context* context, eplb_error* err) {
                           return eplb_fetch_report(context, whole.get(), err);
                         });
  check_part(given, whole);
}

void fingerprint(Program& program) {
  const std::optional<KnownPlan>& plan = program.subject().known.plan;
  const bool null = program.bytes.one_in(8);
  uint64_t value = 7;
  const bool done = program.make(
      null ? Wanted::kInvalidArgument : success_if(plan.has_value(), Wanted::kInvalidState),
      Call::kFingerprint, {{&value, sizeof value}}, [&](eplb_context* context, eplb_error* err) {
        return eplb_fingerprint(context, null ? nullptr : &value, err);
      });
  if (done) REQUIRE(value == plan->fingerprint);
}

}  // namespace eplb::fuzz
