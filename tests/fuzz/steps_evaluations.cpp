#include <algorithm>
#include <cstring>

#include "expect.h"
#include "failure.h"
#include "figures.h"
#include "plans.h"
#include "program.h"
#include "questions.h"

namespace eplb::fuzz {
namespace {

// Where the answers of eplb_evaluate go, with as many elements as there are layers. Those whose bit
// is set are NULL.
struct Answers {
  uint8_t missing;
  Sized<eplb_report> report;
  std::vector<double> imbalance, bound;
  std::vector<int64_t> duplicates;
  int64_t length;

  Answers(Bytes& bytes, int64_t layers)
      : missing(bytes.byte()),
        report(draw_size<eplb_report>(bytes), defaults().report),
        imbalance(static_cast<size_t>(layers), -1),
        bound(imbalance),
        duplicates(imbalance.size(), -1),
        length(draw_near(bytes, layers)) {}

  bool has_report() const { return !(missing & 1); }
  bool has_imbalance() const { return !(missing & 2); }
  bool has_bound() const { return !(missing & 4); }
  bool has_duplicates() const { return !(missing & 8); }
  bool fits() const {
    const auto layers = static_cast<int64_t>(imbalance.size());
    const bool has_layers = has_imbalance() || has_bound() || has_duplicates();
    return (length == layers || !has_layers) && (!has_report() || report.is_legal());
  }
};

void check_answers(const Judged& judged, const Answers& answers) {
  const AllLayers figures = figures_of(judged);
  for (size_t layer = 0; layer < figures.loads.size(); ++layer) {
    REQUIRE(answers.imbalance[layer] ==
            (answers.has_imbalance() ? figures.loads[layer].imbalance : -1));
    REQUIRE(answers.duplicates[layer] ==
            (answers.has_duplicates() ? figures.places[layer].duplicates : -1));
  }
  std::vector<double> bound;
  if (answers.has_bound()) bound = answers.bound;
  if (answers.has_bound()) check_bounds(judged, figures, bound);
  if (!answers.has_report() || answers.report.bytes() < sizeof(eplb_report)) return;
  const eplb_report report = answers.report.seen(defaults().report);
  check_report(judged, figures, bound, report);
  REQUIRE(report.strategy == -1);
}

// The same ones, unless its options have another cap.
void check_bounds_of_plan(Subject& subject, const std::vector<double>& bound) {
  const KnownPlan& plan = *subject.known.plan;
  if (plan.cap() != plan.problem.max_replicas) return;
  REQUIRE(subject.fetch_real(EPLB_MAP_BOUND, plan.layers) == bound);
}

Judged judged_of(const Known& known, const Question& question, const Gpus& gpus) {
  return {known, question.seen, gpus, question.placement, question.seen.off_home_target};
}

}  // namespace

void check_part(Sized<eplb_report>& part, Sized<eplb_report>& whole) {
  const size_t common = std::min(part.bytes(), sizeof(eplb_report));
  const eplb_report seen = part.seen(*whole.get());
  eplb_report expected = *whole.get();
  expected.struct_size = static_cast<int64_t>(part.bytes());
  expected.microseconds = seen.microseconds;
  expected.context_bytes = seen.context_bytes;
  REQUIRE(std::memcmp(part.data(), &expected, common) == 0);
}

void evaluate(Program& program) {
  const Known& known = program.subject().known;
  Question question = draw_question(program);
  Answers answers(program.bytes, known.weights ? known.weights->layers : 1);
  const bool fits =
      answers.fits() && known.weights && prices_fit(known, question.seen, known.weights->experts);
  trace("evaluate: %lld slots, %lld GPUs, policy %d",
        static_cast<long long>(question.seen.num_slots),
        static_cast<long long>(question.seen.num_gpus), question.seen.policy);
  const bool done = program.make(
      expect_answer(known, question, fits), Call::kEvaluate,
      {output(answers.report), output(answers.imbalance), output(answers.bound),
       output(answers.duplicates)},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_evaluate(context, question.problem.get(), question.data.data(), question.length,
                             question.dtype, answers.has_report() ? answers.report.get() : nullptr,
                             answers.has_imbalance() ? answers.imbalance.data() : nullptr,
                             answers.has_bound() ? answers.bound.data() : nullptr,
                             answers.has_duplicates() ? answers.duplicates.data() : nullptr,
                             answers.length, err);
      });
  if (!done) return;
  const Gpus gpus = gpus_of(known.cluster, question.seen);
  check_answers(judged_of(known, question, gpus), answers);
  if (answers.has_bound() && question.of_plan)
    check_bounds_of_plan(program.subject(), answers.bound);
}

void evaluate_windows(Program& program) {
  Bytes& bytes = program.bytes;
  const Known& known = program.subject().known;
  Question question = draw_question(program);
  const int64_t kept = known.weights ? known.weights->kept() : 0;
  const int64_t length = kept > 0 ? known.weights->layers * kept : 1;
  const uint8_t missing = bytes.byte();
  std::vector<double> imbalance(static_cast<size_t>(length), -1), bound = imbalance;
  const int64_t given = draw_near(bytes, length);
  const bool fits = kept > 0 && ((missing & 3) == 3 || given == length);
  trace("evaluate_windows");
  const bool done =
      program.make(expect_answer(known, question, fits), Call::kEvaluateWindows,
                   {output(imbalance), output(bound)}, [&](eplb_context* context, eplb_error* err) {
                     return eplb_evaluate_windows(
                         context, question.problem.get(), question.data.data(), question.length,
                         question.dtype, missing & 1 ? nullptr : imbalance.data(),
                         missing & 2 ? nullptr : bound.data(), given, err);
                   });
  if (!done) return;
  const Gpus gpus = gpus_of(known.cluster, question.seen);
  if (missing & 1) imbalance.clear();
  if (missing & 2) bound.clear();
  check_window_figures(judged_of(known, question, gpus), imbalance, bound);
}

}  // namespace eplb::fuzz
