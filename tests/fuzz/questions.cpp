#include "questions.h"

#include <algorithm>

namespace eplb::fuzz {

int64_t draw_wrong_length(Bytes& bytes, int64_t length, int64_t slots) {
  const int64_t drawn = draw_near(bytes, length);
  return slots > 0 && drawn % slots == 0 ? length : drawn;
}

Question draw_question(Program& program) {
  Bytes& bytes = program.bytes;
  const std::optional<KnownPlan>& plan = program.subject().known.plan;
  const bool of_plan = plan && bytes.one_in(2);
  Sized<eplb_problem> problem = of_plan ? Sized<eplb_problem>(sizeof(eplb_problem), plan->problem)
                                        : draw_sized_problem(program);
  const eplb_problem seen = problem.seen(defaults().problem);
  const std::vector<int64_t> near = plan ? plan->placement : std::vector<int64_t>();
  Question question{std::move(problem), seen,
                    of_plan ? near : draw_placement(bytes, program.shape, program.gpus(), near),
                    of_plan};
  if (bytes.one_in(2)) question.dtype = EPLB_INT64;
  question.data = as_dtype(question.placement, question.dtype);
  question.length = draw_wrong_length(bytes, static_cast<int64_t>(question.placement.size()),
                                      question.seen.num_slots);
  return question;
}

namespace {

bool are_placements(const Known& known, const Question& question) {
  const Gpus gpus = gpus_of(known.cluster, question.seen);
  const auto slots = static_cast<size_t>(question.seen.num_slots);
  for (size_t first = 0; first < question.placement.size(); first += slots)
    if (!is_placement(&question.placement[first], known.weights->experts, question.seen, gpus,
                      question.seen.max_replicas))
      return false;
  return true;
}

}  // namespace

Wanted expect_answer(const Known& known, Question& question, bool fits) {
  if (!known.weights || !fits || !question.problem.is_legal()) return Wanted::kRefusal;
  const auto length = static_cast<int64_t>(question.placement.size());
  const KnownWeights& weights = *known.weights;
  if (!is_legal_problem(question.seen, known.cluster, weights.layers, weights.experts) ||
      question.length != length || length != weights.layers * question.seen.num_slots)
    return Wanted::kRefusal;
  return success_if(are_placements(known, question), Wanted::kInvalidPlacement);
}

}  // namespace eplb::fuzz
