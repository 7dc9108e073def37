#include <algorithm>
#include <cstring>

#include "expect.h"
#include "failure.h"
#include "figures.h"
#include "plans.h"
#include "program.h"
#include "transfers.h"

namespace eplb::fuzz {
namespace {

using ll = long long;

// A placement to be judged and the problem that it is judged under.
struct Question {
  Sized<eplb_problem> problem;
  eplb_problem seen;
  std::vector<int64_t> placement;
  std::vector<std::byte> data;
  eplb_dtype dtype;
  int64_t length;
  bool of_plan;
  bool fits;  // is all legal but the placement?
  bool is_placement;

  Wanted wanted(bool others_fit) const {
    return fits && others_fit ? success_if(is_placement, Wanted::kInvalidPlacement)
                              : Wanted::kRefusal;
  }
};

// Of an array of `length` elements; another one must be refused, for there is no more to read.
int64_t draw_wrong_length(Bytes& bytes, int64_t length, int64_t slots) {
  const int64_t drawn = draw_near(bytes, length);
  return slots > 0 && drawn % slots == 0 ? length : drawn;
}

bool are_placements(const Known& known, const eplb_problem& problem,
                    const std::vector<int64_t>& placement) {
  const Gpus gpus = gpus_of(known.cluster, problem);
  const auto slots = static_cast<size_t>(problem.num_slots);
  for (size_t first = 0; first < placement.size(); first += slots)
    if (!is_placement(&placement[first], known.weights->experts, problem, gpus,
                      problem.max_replicas))
      return false;
  return true;
}

Question draw_question(Program& program) {
  Bytes& bytes = program.bytes;
  const Known& known = program.subject().known;
  const auto size = draw_size<eplb_problem>(bytes);
  const bool of_plan = known.plan && size == sizeof(eplb_problem) && bytes.one_in(2);
  eplb_problem drawn = draw_problem(bytes, program.shape, defaults().problem);
  if (of_plan) drawn = known.plan->problem;
  Question question{.problem = Sized<eplb_problem>(size, drawn),
                    .seen = drawn,
                    .placement = {},
                    .data = {},
                    .dtype = EPLB_INT32 + static_cast<eplb_dtype>(bytes.below(2)),
                    .length = 0,
                    .of_plan = of_plan,
                    .fits = false,
                    .is_placement = false};
  question.seen = question.problem.seen(defaults().problem);
  question.placement =
      of_plan ? known.plan->placement
              : draw_placement(bytes, program.shape, program.gpus(),
                               known.plan ? known.plan->placement : std::vector<int64_t>());
  question.data = as_dtype(question.placement, question.dtype);
  const auto length = static_cast<int64_t>(question.placement.size());
  question.length = draw_wrong_length(bytes, length, question.seen.num_slots);
  question.fits =
      known.weights && question.problem.is_legal() && question.length == length &&
      is_legal_problem(question.seen, known.cluster, known.weights->layers,
                       known.weights->experts) &&
      length == known.weights->layers * question.seen.num_slots;
  question.is_placement =
      question.fits && are_placements(known, question.seen, question.placement);
  return question;
}

}  // namespace

// Of a shorter or longer report, what a whole one has; the rest stays as it was.
void check_part(Sized<eplb_report>& part, Sized<eplb_report>& whole) {
  const size_t common = std::min(part.bytes(), sizeof(eplb_report));
  const eplb_report seen = part.seen(*whole.get());
  eplb_report expected = *whole.get();
  expected.struct_size = static_cast<int64_t>(part.bytes());
  expected.microseconds = seen.microseconds;
  expected.context_bytes = seen.context_bytes;
  REQUIRE(std::memcmp(part.data(), &expected, common) == 0);
}

// The same ones, unless its options have another cap.
void check_bounds_of_plan(Subject& subject, const std::vector<double>& bound) {
  const KnownPlan& plan = *subject.known.plan;
  if (plan.cap() != plan.problem.max_replicas || plan.options.allow_empty ||
      plan.options.strategy == EPLB_STRATEGY_REBALANCE)  // FAULT 2
    return;
  REQUIRE(subject.fetch_real(EPLB_MAP_BOUND, plan.layers) == bound);
}

void evaluate(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Known& known = subject.known;
  Question question = draw_question(program);
  const int64_t layers = known.weights ? known.weights->layers : 1;
  const uint8_t missing = bytes.byte();
  Sized<eplb_report> report(draw_size<eplb_report>(bytes), defaults().report);
  std::vector<double> imbalance(static_cast<size_t>(layers), -1), bound = imbalance;
  std::vector<int64_t> duplicates(imbalance.size(), -1);
  const int64_t given = draw_near(bytes, layers);
  const bool wants = (missing & 14) != 14;
  const bool others_fit = (!wants || given == layers) && (missing & 1 || report.is_legal()) &&
                          known.weights &&
                          prices_fit(known, question.seen, known.weights->experts);
  trace("evaluate: %lld slots, %lld GPUs, policy %d", ll{question.seen.num_slots},
        ll{question.seen.num_gpus}, question.seen.policy);
  subject.disturb(draw_disturbance(bytes));
  const auto or_null = [&](int bit, auto* data) { return missing & bit ? nullptr : data; };
  const bool done = subject.call_as(
      question.wanted(others_fit), Call::kEvaluate,
      {output(report), output(imbalance), output(bound), output(duplicates)},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_evaluate(context, question.problem.get(), question.data.data(),
                             question.length, question.dtype, or_null(1, report.get()),
                             or_null(2, imbalance.data()), or_null(4, bound.data()),
                             or_null(8, duplicates.data()), given, err);
      });
  if (!done) return;
  const Gpus gpus = gpus_of(known.cluster, question.seen);
  const Judged judged{known, question.seen, gpus, question.placement,
                      question.seen.off_home_target};
  const AllLayers figures = figures_of(judged);
  for (size_t layer = 0; layer < imbalance.size(); ++layer) {
    REQUIRE(imbalance[layer] == (missing & 2 ? -1 : figures.loads[layer].imbalance));
    REQUIRE(duplicates[layer] == (missing & 8 ? -1 : figures.places[layer].duplicates));
  }
  if (!(missing & 4)) check_bounds(judged, figures, bound);
  if (!(missing & 4) && question.of_plan) check_bounds_of_plan(subject, bound);
  if (missing & 1 || report.bytes() < sizeof(eplb_report)) return;
  const eplb_report whole = report.seen(defaults().report);
  check_report(judged, figures, missing & 4 ? std::vector<double>() : bound, whole);
  REQUIRE(whole.strategy == -1);
}

void evaluate_windows(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Known& known = subject.known;
  Question question = draw_question(program);
  const int64_t length = known.weights ? known.weights->layers * known.weights->kept() : 1;
  const uint8_t missing = bytes.byte();
  std::vector<double> imbalance(static_cast<size_t>(length), -1), bound = imbalance;
  const int64_t given = draw_near(bytes, length);
  const bool wants = (missing & 3) != 3;
  const bool others_fit = (!wants || given == length) && known.weights &&
                          known.weights->kept() > 0;
  trace("evaluate_windows");
  subject.disturb(draw_disturbance(bytes));
  const bool done = subject.call_as(
      question.wanted(others_fit), Call::kEvaluateWindows, {output(imbalance), output(bound)},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_evaluate_windows(context, question.problem.get(), question.data.data(),
                                     question.length, question.dtype,
                                     missing & 1 ? nullptr : imbalance.data(),
                                     missing & 2 ? nullptr : bound.data(), given, err);
      });
  if (!done) return;
  const Gpus gpus = gpus_of(known.cluster, question.seen);
  const Judged judged{known, question.seen, gpus, question.placement,
                      question.seen.off_home_target};
  if (missing & 1) imbalance.clear();
  if (missing & 2) bound.clear();
  check_window_figures(judged, imbalance, bound);
}

namespace {

bool are_ids(const std::vector<int64_t>& placement) {
  return std::all_of(placement.begin(), placement.end(),
                     [](int64_t expert) { return expert >= -1 && expert < kMostSlots; });
}

// What of a problem the planner of transfers looks at.
bool is_legal_for_transfers(const Known& known, const eplb_problem& problem, int64_t length) {
  eplb_problem only = defaults().problem;
  only.num_slots = problem.num_slots;
  only.num_gpus = problem.num_gpus;
  only.num_nodes = problem.num_nodes;
  only.policy = EPLB_POLICY_GLOBAL;
  return is_legal_problem(only, known.cluster, 1, 1) && length >= 1 &&
         length % problem.num_slots == 0;
}

bool closed_hold_nothing(const Gpus& gpus, const std::vector<int64_t>& placement) {
  const int64_t slots = gpus.places * gpus.count();
  for (size_t i = 0; i < placement.size(); ++i)
    if (placement[i] >= 0 && !gpus.is_open(static_cast<int64_t>(i) % slots)) return false;
  return true;
}

template <class T> std::vector<int64_t> widened(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

void plan_transfers(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Known& known = subject.known;
  Sized<eplb_problem> problem(draw_size<eplb_problem>(bytes),
                              draw_problem(bytes, program.shape, defaults().problem));
  const eplb_problem seen = problem.seen(defaults().problem);
  const Gpus own = program.gpus();
  const std::vector<int64_t> current = draw_placement(bytes, program.shape, own, {}),
                             placement = draw_placement(bytes, program.shape, own, current);
  const auto length = static_cast<int64_t>(placement.size());
  const int64_t given = draw_wrong_length(bytes, length, seen.num_slots);
  const uint8_t order = bytes.byte(), missing = bytes.byte();
  const eplb_transfer_order asked = order < 250 ? order % 3 : order - 251;
  const std::vector<std::byte> before = as_dtype(current, EPLB_INT64),
                               after = as_dtype(placement, EPLB_INT64);
  Sized<eplb_report> report(draw_size<eplb_report>(bytes), defaults().report);
  TransferMaps maps;
  maps.source.assign(placement.size(), -7);
  maps.group = maps.round = maps.source;
  const bool fits = problem.is_legal() && report.is_legal() && given == length &&
                    is_legal_for_transfers(known, seen, length) && asked >= 0 &&
                    asked <= EPLB_TRANSFER_EXCLUSIVE;
  const bool legal = fits && are_ids(current) && are_ids(placement) &&
                     closed_hold_nothing(gpus_of(known.cluster, seen), placement);
  trace("plan_transfers: order %d", asked);
  subject.disturb(draw_disturbance(bytes));
  const bool some = missing < 32;
  const bool done = subject.call_as(
      fits ? success_if(legal, Wanted::kInvalidPlacement) : Wanted::kRefusal, Call::kPlanTransfers,
      {output(maps.source), output(maps.round), output(maps.group), output(report)},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_plan_transfers(context, problem.get(), asked, before.data(), after.data(),
                                   some && missing & 1 ? nullptr : maps.source.data(),
                                   some && missing & 2 ? nullptr : maps.round.data(),
                                   some && missing & 4 ? nullptr : maps.group.data(), given,
                                   EPLB_INT64, report.get(), err);
      });
  if (!done || (some && missing & 7)) return;
  const MoveFigures figures =
      carry_out(current, placement, maps, gpus_of(known.cluster, seen), asked, nullptr);
  if (report.bytes() >= sizeof(eplb_report)) check_report(figures, *report.get());
}

}  // namespace eplb::fuzz
