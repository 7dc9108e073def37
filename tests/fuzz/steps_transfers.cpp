#include <algorithm>

#include "expect.h"
#include "failure.h"
#include "program.h"
#include "transfers.h"

namespace eplb::fuzz {
namespace {

struct Question {
  Sized<eplb_problem> problem;
  eplb_problem seen;
  eplb_transfer_order order;
  std::vector<int64_t> current, placement;
  int64_t length;
};

Question draw_question(Program& program) {
  Bytes& bytes = program.bytes;
  const Gpus gpus = program.gpus();
  Sized<eplb_problem> problem = draw_sized_problem(program);
  const eplb_problem seen = problem.seen(defaults().problem);
  const uint8_t order = bytes.byte();
  Question question{std::move(problem),
                    seen,
                    order < 250 ? order % 3 : order - 251,
                    draw_placement(bytes, program.shape, gpus, {}),
                    {},
                    0};
  question.placement = draw_placement(bytes, program.shape, gpus, question.current);
  const auto length = static_cast<int64_t>(question.placement.size());
  question.length = draw_wrong_length(bytes, length, seen.num_slots);
  return question;
}

// What of a problem it looks at.
bool fits(const Known& known, Question& question) {
  eplb_problem only = defaults().problem;
  only.num_slots = question.seen.num_slots;
  only.num_gpus = question.seen.num_gpus;
  only.num_nodes = question.seen.num_nodes;
  only.policy = EPLB_POLICY_GLOBAL;
  const auto length = static_cast<int64_t>(question.placement.size());
  return question.problem.is_legal() && question.length == length && question.order >= 0 &&
         question.order <= EPLB_TRANSFER_EXCLUSIVE && is_legal_problem(only, known.cluster, 1, 1) &&
         length % only.num_slots == 0;
}

bool closed_hold_nothing(const Gpus& gpus, const std::vector<int64_t>& placement) {
  const int64_t slots = gpus.places * gpus.count();
  for (size_t i = 0; i < placement.size(); ++i)
    if (placement[i] >= 0 && !gpus.is_open(static_cast<int64_t>(i) % slots)) return false;
  return true;
}

Wanted expect_transfers(const Known& known, Question& question) {
  if (!fits(known, question)) return Wanted::kRefusal;
  return success_if(
      are_ids(question.current) && are_ids(question.placement) &&
          closed_hold_nothing(gpus_of(known.cluster, question.seen), question.placement),
      Wanted::kInvalidPlacement);
}

}  // namespace

void plan_transfers(Program& program) {
  const Known& known = program.subject().known;
  Question question = draw_question(program);
  const uint8_t missing = program.bytes.byte() < 32 ? program.bytes.byte() % 8 : 0;
  const std::vector<std::byte> before = as_dtype(question.current, EPLB_INT64),
                               after = as_dtype(question.placement, EPLB_INT64);
  Sized<eplb_report> report(draw_size<eplb_report>(program.bytes), defaults().report);
  TransferMaps maps{std::vector<int64_t>(question.placement.size(), -7), {}, {}};
  maps.group = maps.round = maps.source;
  const Wanted wanted = report.is_legal() ? expect_transfers(known, question) : Wanted::kRefusal;
  trace("plan_transfers: order %d", question.order);
  const bool done = program.make(
      wanted, Call::kPlanTransfers,
      {output(maps.source), output(maps.round), output(maps.group), output(report)},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_plan_transfers(context, question.problem.get(), question.order, before.data(),
                                   after.data(), missing & 1 ? nullptr : maps.source.data(),
                                   missing & 2 ? nullptr : maps.round.data(),
                                   missing & 4 ? nullptr : maps.group.data(), question.length,
                                   EPLB_INT64, report.get(), err);
      });
  if (!done || missing) return;
  const MoveFigures figures =
      carry_out(question.current, question.placement, maps, gpus_of(known.cluster, question.seen),
                question.order, nullptr);
  if (report.bytes() >= sizeof(eplb_report)) check_report(figures, *report.get());
}

}  // namespace eplb::fuzz
