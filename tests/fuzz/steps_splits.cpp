#include <limits>

#include "dispatches.h"
#include "failure.h"
#include "questions.h"
#include "splits.h"

namespace eplb::fuzz {
namespace {

// Over what tokens are split: a placement, the plan, or what is prepared.
struct Over {
  Question question;
  bool of_plan, has_problem;

  const void* placement() const { return of_plan ? nullptr : question.data.data(); }
};

Over draw_over(Program& program) {
  Question question = draw_question(program);
  const bool of_plan = program.bytes.one_in(3);
  return {std::move(question), of_plan, !program.bytes.one_in(64)};
}

Wanted expect_prepared(const Known& known, Over& over) {
  if (!over.of_plan) return expect_answer(known, over.question, over.has_problem);
  const eplb_problem& seen = over.question.seen;
  return success_if(
      over.has_problem && over.question.problem.is_legal() && known.plan &&
          seen.num_slots == known.plan->problem.num_slots &&
          seen.num_gpus == known.plan->problem.num_gpus &&
          is_legal_problem(seen, known.cluster, known.weights->layers, known.weights->experts),
      Wanted::kRefusal);
}

void take_prepared(Known& known, const Over& over) {
  const eplb_problem& seen = over.question.seen;
  known.split =
      KnownSplit{.problem = seen,
                 .layers = known.weights->layers,
                 .experts = known.weights->experts,
                 .gpus = gpus_of(known.cluster, seen),
                 .placement = over.of_plan ? known.plan->placement : over.question.placement,
                 .tolerance = {},
                 .maps = {},
                 .dispatch = {}};
}

Sized<eplb_split_options> draw_split_options(Bytes& bytes) {
  constexpr double kTolerances[] = {0, 0, 0, 0.002, 0, 0.5, 1, 1e-9};
  constexpr double kOthers[] = {-1e-9, 1.0001, -1e300, std::numeric_limits<double>::infinity(),
                                std::numeric_limits<double>::quiet_NaN()};
  const auto size = draw_size<eplb_split_options>(bytes);
  eplb_split_options drawn = defaults().split_options;
  drawn.tolerance = bytes.one_in(24) ? bytes.pick(kOthers) : bytes.pick(kTolerances);
  return Sized<eplb_split_options>(size, drawn, bytes.one_in(64));
}

// Without a problem it is of what is prepared.
Over draw_over_or_none(Program& program, bool none) {
  if (!none) {
    Over over = draw_over(program);
    over.has_problem = true;
    return over;
  }
  const Sized<eplb_problem> any(sizeof(eplb_problem), defaults().problem);
  return {Question{any, defaults().problem, {}, false}, false, false};
}

Wanted expect_split_of_prepared(const Known& known) {
  return success_if(known.weights && known.split && known.split->layers == known.weights->layers &&
                        known.split->experts == known.weights->experts,
                    Wanted::kInvalidState);
}

}  // namespace

void prepare_split(Program& program) {
  Known& known = program.subject().known;
  Over over = draw_over(program);
  Question& question = over.question;
  trace("split_prepare: %s", over.of_plan ? "plan" : "placement");
  const bool done = program.make(expect_prepared(known, over), Call::kSplitPrepare, {},
                                 [&](eplb_context* context, eplb_error* err) {
                                   return eplb_split_prepare(
                                       context, over.has_problem ? question.problem.get() : nullptr,
                                       over.placement(), question.length, question.dtype, err);
                                 });
  if (done) take_prepared(known, over);
}

void split(Program& program) {
  Bytes& bytes = program.bytes;
  Known& known = program.subject().known;
  const bool of_prepared = bytes.one_in(known.split ? 2 : 16);
  Over over = draw_over_or_none(program, of_prepared);
  Question& question = over.question;
  Sized<eplb_split_options> options = draw_split_options(bytes);
  const bool has_options = !bytes.one_in(4);
  const eplb_split_options seen =
      has_options ? options.seen(defaults().split_options) : defaults().split_options;
  const bool legal =
      (!has_options || options.is_legal()) && seen.tolerance >= 0 && seen.tolerance <= 1;
  const Wanted wanted = !legal        ? Wanted::kRefusal
                        : of_prepared ? expect_split_of_prepared(known)
                                      : expect_prepared(known, over);
  trace("split: %s, tolerance %.17g", of_prepared ? "prepared" : "problem", seen.tolerance);
  const bool done =
      program.make(wanted, Call::kSplit, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_split(context, over.has_problem ? question.problem.get() : nullptr,
                          over.placement(), question.length, question.dtype,
                          has_options ? options.get() : nullptr, err);
      });
  if (!done) return;
  if (!of_prepared) take_prepared(known, over);
  known.split->maps.reset();
  known.split->tolerance = seen.tolerance;
  if (!bytes.one_in(3)) check_split(program.subject());
}

namespace {

Sized<eplb_static_dispatch_options> draw_dispatch_options(Program& program) {
  Bytes& bytes = program.bytes;
  constexpr double kTolerances[] = {0, 0, 0.0005, 1};
  constexpr int64_t kSwaps[] = {0, 1, -1, 1000};
  const int64_t ranks[] = {0, program.shape.gpus, 1, 5};
  const auto size = draw_size<eplb_static_dispatch_options>(bytes);
  eplb_static_dispatch_options drawn = defaults().dispatch_options;
  drawn.num_ranks = bytes.one_in(24) ? bytes.pick({-1, 4096, 4097}) : bytes.pick(ranks);
  drawn.max_swaps = bytes.one_in(24) ? -2 : bytes.pick(kSwaps);
  drawn.tolerance = bytes.one_in(24) ? -1e-9 : bytes.pick(kTolerances);
  return Sized<eplb_static_dispatch_options>(size, drawn, bytes.one_in(64));
}

bool is_legal(const eplb_static_dispatch_options& options) {
  return options.num_ranks >= 0 && options.num_ranks <= 4096 && options.max_swaps >= -1 &&
         options.tolerance >= 0 && options.tolerance <= 1;
}

}  // namespace

void dispatch(Program& program) {
  Bytes& bytes = program.bytes;
  Known& known = program.subject().known;
  const bool of_prepared = bytes.one_in(known.split ? 2 : 16);
  Over over = draw_over_or_none(program, of_prepared);
  Question& question = over.question;
  Sized<eplb_static_dispatch_options> options = draw_dispatch_options(program);
  const bool has_options = !bytes.one_in(4);
  const eplb_static_dispatch_options seen =
      has_options ? options.seen(defaults().dispatch_options) : defaults().dispatch_options;
  const bool legal = (!has_options || options.is_legal()) && is_legal(seen);
  const Wanted wanted = !legal        ? Wanted::kRefusal
                        : of_prepared ? expect_split_of_prepared(known)
                                      : expect_prepared(known, over);
  trace("static_dispatch: %s, %lld ranks, %lld swaps", of_prepared ? "prepared" : "problem",
        static_cast<long long>(seen.num_ranks), static_cast<long long>(seen.max_swaps));
  const bool done =
      program.make(wanted, Call::kStaticDispatch, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_static_dispatch(context, over.has_problem ? question.problem.get() : nullptr,
                                    over.placement(), question.length, question.dtype,
                                    has_options ? options.get() : nullptr, err);
      });
  if (!done) return;
  if (!of_prepared) take_prepared(known, over);
  const int64_t ranks = seen.num_ranks == 0 ? known.split->problem.num_gpus : seen.num_ranks;
  known.split->dispatch = KnownDispatch{ranks, seen.max_swaps, {}};
  if (!bytes.one_in(3)) check_dispatch(program.subject());
}

}  // namespace eplb::fuzz
