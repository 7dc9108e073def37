#include "program.h"

#include "failure.h"

namespace eplb::fuzz {
namespace {

struct Step {
  int often;
  void (*make)(Program&);
};

// What was uploaded fits another shape no more.
void draw_other_shape(Program& program) {
  program.shape = draw_shape(program.bytes);
  if (program.bytes.one_in(8)) return;
  upload_weights(program);
  if (program.subject().known.cluster.gpus > 0) upload_cluster(program);
  if (program.subject().known.current) upload_placement(program);
}
void choose_other(Program& program) {
  program.chosen = 1 - program.chosen;
  if (!program.subjects[program.chosen]) create(program);
}

// Splits have taken a few of the bytes of steps that end in what other steps check, too, so that most
// inputs of the corpus still make the calls that they were kept for.
constexpr Step kSteps[] = {{60, solve},
                           {28, upload_weights},
                           {26, upload_placement},
                           {14, upload_cluster},
                           {10, upload_prices},
                           {8, upload_window_weights},
                           {20, evaluate},
                           {6, evaluate_windows},
                           {4, prepare_split},
                           {16, plan_transfers},
                           {10, fetch},
                           {4, map_shape},
                           {4, report},
                           {2, fingerprint},
                           {2, check_all},
                           {4, split},
                           {2, dispatch},
                           {6, solve_alone},
                           {6, reserve},
                           {2, synchronize},
                           {2, interrupt},
                           {2, device_calls},
                           {2, information},
                           {4, initialise},
                           {2, strange_contexts},
                           {4, create},
                           {3, draw_other_shape},
                           {3, choose_other}};

void (*step_of(int number))(Program&) {
  for (const Step& step : kSteps) {
    if (number < step.often) return step.make;
    number -= step.often;
  }
  return check_all;
}

}  // namespace

const Defaults& defaults() {
  static const Defaults kDefaults = [] {
    Defaults made;
    REQUIRE(eplb_problem_init(&made.problem, sizeof made.problem, nullptr) == EPLB_OK);
    REQUIRE(eplb_solve_options_init(&made.options, sizeof made.options, nullptr) == EPLB_OK);
    REQUIRE(eplb_split_options_init(&made.split_options, sizeof made.split_options, nullptr) ==
            EPLB_OK);
    REQUIRE(eplb_static_dispatch_options_init(&made.dispatch_options, sizeof made.dispatch_options,
                                              nullptr) == EPLB_OK);
    REQUIRE(eplb_report_init(&made.report, sizeof made.report, nullptr) == EPLB_OK);
    return made;
  }();
  return kDefaults;
}

Sized<eplb_problem> draw_sized_problem(Program& program) {
  const auto size = draw_size<eplb_problem>(program.bytes);
  const eplb_problem drawn = draw_problem(program.bytes, program.shape, defaults().problem);
  return Sized<eplb_problem>(size, drawn, program.bytes.one_in(64));
}

Sized<eplb_solve_options> draw_sized_options(Program& program, const eplb_problem& problem) {
  const auto size = draw_size<eplb_solve_options>(program.bytes);
  const eplb_solve_options drawn =
      draw_options(program.bytes, program.shape, problem,
                   program.subject().known.current.has_value(), defaults().options);
  return Sized<eplb_solve_options>(size, drawn, program.bytes.one_in(64));
}

void run(Program& program) {
  constexpr int kMostSteps = 64;
  constexpr int64_t kMostWork = 200000;
  program.shape = draw_shape(program.bytes);
  create(program);
  upload_weights(program);
  for (int i = 0; i < kMostSteps && !program.bytes.empty() && program.work < kMostWork; ++i) {
    // Most calls need weights.
    if (!program.subject().known.weights && !program.bytes.one_in(8)) upload_weights(program);
    step_of(program.bytes.byte())(program);
  }
}

}  // namespace eplb::fuzz
