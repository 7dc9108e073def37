#include <limits>

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
                 .maps = {}};
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
  Over over = of_prepared
                  ? Over{Question{Sized<eplb_problem>(sizeof(eplb_problem), defaults().problem),
                                  defaults().problem,
                                  {},
                                  false},
                         false, false}
                  : draw_over(program);
  over.has_problem = !of_prepared;
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

}  // namespace eplb::fuzz
