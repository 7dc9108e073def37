/* Memory that runs out: each step is tried with the first allocation refused, the second, ... until
 * none is left. */
#include <string.h>

#include "allocations.h"
#include "harness.h"
#include "invariants.h"
#include "split.h"

static struct {
  eplb_context *context;
  /* Large: what a step asks for; small: what the context holds before and after it failed. */
  input small, large;
  plan before;
  split split;
} state;

/* All that the steps write: a failed one writes nothing. */
static struct outputs {
  int64_t maps[3][2 * 16];
  double imbalance[2], bound[2];
  int64_t duplicates[2];
  char text[256];
  eplb_report report;
} outputs, untouched;

static void poison_outputs(void) {
  memset(&outputs, 0xA5, sizeof outputs);
  EXPECT(EPLB_OK, CALL(report_init)(&outputs.report, sizeof outputs.report, ERR));
  memcpy(&untouched, &outputs, sizeof outputs);
}

static eplb_status try_create(eplb_error *err) {
  eplb_context *context = NULL;
  eplb_status status = CALL(context_create)(&context, NULL, err);
  if (status != EPLB_OK && context != NULL) return EPLB_INTERNAL_ERROR;
  CALL(context_destroy)(context);
  return status;
}
static eplb_status try_upload(eplb_error *err) {
  const input *in = &state.large;
  return CALL(upload_weights)(state.context, in->weights, input_length(in), in->dtype, 1,
                              in->layers, in->experts, err);
}
static eplb_status try_solve(eplb_error *err) {
  eplb_problem problem = state.small.problem;
  problem.num_slots *= 40;
  return CALL(solve)(state.context, &problem, NULL, err);
}
static eplb_status try_reserve(eplb_error *err) {
  const input *in = &state.large;
  return CALL(context_reserve)(state.context, in->dtype, 4, in->layers, in->experts, &in->problem,
                               NULL, err);
}
static eplb_status try_fetch(eplb_error *err) {
  return CALL(fetch_map)(state.context, EPLB_MAP_REPLICA_SLOTS, EPLB_INT64, outputs.maps[0],
                         state.before.lengths[3], err);
}
static eplb_status try_report(eplb_error *err) {
  return CALL(fetch_report)(state.context, &outputs.report, err);
}
static eplb_status try_evaluate(eplb_error *err) {
  return CALL(evaluate)(state.context, &state.small.problem, state.before.ints[0],
                        state.before.lengths[0], EPLB_INT64, &outputs.report, outputs.imbalance,
                        outputs.bound, outputs.duplicates, state.small.layers, err);
}
static eplb_status try_windows(eplb_error *err) {
  return CALL(evaluate_windows)(state.context, &state.small.problem, state.before.ints[0],
                                state.before.lengths[0], EPLB_INT64, outputs.imbalance,
                                outputs.bound, 2, err);
}
static eplb_status try_current(eplb_error *err) {
  return CALL(upload_placement)(state.context, state.before.ints[0], state.before.lengths[0],
                                EPLB_INT64, state.small.layers, state.small.problem.num_slots, err);
}
static eplb_status try_prices(eplb_error *err) {
  static const double prices[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  return CALL(upload_prices)(state.context, prices, 8, 1, 8, err);
}
static eplb_status try_window_weights(eplb_error *err) {
  static const double weights[1] = {1};
  return CALL(upload_window_weights)(state.context, weights, 1, err);
}
static eplb_status try_moves(eplb_error *err) {
  return CALL(fetch_map)(state.context, EPLB_MAP_MOVE_ROUND, EPLB_INT64, outputs.maps[0],
                         state.before.lengths[0], err);
}
static eplb_status try_transfers(eplb_error *err) {
  return CALL(plan_transfers)(state.context, &state.small.problem, EPLB_TRANSFER_IN_PLACE,
                              state.before.ints[3], state.before.ints[0], outputs.maps[0],
                              outputs.maps[1], outputs.maps[2], state.before.lengths[0], EPLB_INT64,
                              &outputs.report, err);
}
static eplb_status try_prepare(eplb_error *err) {
  return CALL(split_prepare)(state.context, &state.small.problem, state.before.ints[0],
                             state.before.lengths[0], EPLB_INT64, err);
}

/* Over many more slots than what the context has split, of which all maps are known. */
static eplb_status try_split(eplb_error *err) {
  enum { MORE = 40, MOST = 2 * 16 * MORE };
  static int64_t placement[MOST];
  eplb_problem problem = state.small.problem;
  int64_t i, length = state.before.lengths[0] * MORE;
  for (i = 0; i < length; i++) placement[i] = i % (length / 2) % 8;
  problem.num_slots *= MORE;
  problem.policy = EPLB_POLICY_GLOBAL;
  return CALL(split)(state.context, &problem, placement, length, EPLB_INT64, NULL, err);
}
static eplb_status try_shares(eplb_error *err) {
  eplb_status status = CALL(split)(state.context, NULL, NULL, 0, 0, NULL, err);
  if (status != EPLB_OK) return status;
  return CALL(fetch_map)(state.context, EPLB_MAP_SHARE, EPLB_INT64, outputs.maps[0],
                         state.before.lengths[0], err);
}
/* Of many more ranks than any before. */
static eplb_status try_dispatch(eplb_error *err) {
  eplb_static_dispatch_options options;
  eplb_status status = CALL(static_dispatch_options_init)(&options, sizeof options, err);
  if (status != EPLB_OK) return status;
  options.num_ranks = 4096;
  return CALL(static_dispatch)(state.context, NULL, NULL, 0, 0, &options, err);
}
static eplb_status try_information(eplb_error *err) {
  eplb_status status =
      CALL(backend_info)(EPLB_DEVICE_CUDA, NULL, outputs.text, sizeof outputs.text, err);
  if (status != EPLB_OK) return status;
  poison_outputs(); /* the first one has succeeded */
  return CALL(device_name)(EPLB_DEVICE_CPU, 0, outputs.text, sizeof outputs.text, err);
}

/* A refusal needs a text too, and nothing to make it of. */
static eplb_status try_refusal(eplb_error *err) {
  eplb_status status =
      CALL(upload_weights)(state.context, state.small.weights, 1, EPLB_FLOAT32, 1, 2, 8, err);
  return status == EPLB_INVALID_ARGUMENT ? EPLB_OK : status;
}

static void survive(eplb_status (*step)(eplb_error *), int from_then_on) {
  int64_t after, refused = 1;
  for (after = 0; refused > 0 && after < 2000; after++) {
    eplb_error err;
    eplb_status status;
    memset(&err, 0xAA, sizeof err);
    poison_outputs();
    allocations_fail(after, from_then_on);
    status = step(&err);
    refused = allocations_work();
    if (refused == 0 || status == EPLB_OK) {
      EXPECT(EPLB_OK, status);
      if (refused == 0) break;
      continue;
    }
    if (!EQUAL(EPLB_OUT_OF_MEMORY, status) || !CHECK(err.code == status && err.text[0] != 0)) break;
    if (!CHECK(memcmp(&outputs, &untouched, sizeof outputs) == 0)) break;
    if (!plan_still_there(&state.before, state.context, &state.small)) break;
    if (!split_still_there(&state.split, state.context, &state.small)) break;
  }
  CHECK(after < 2000);
}

/* What an evaluation works out differs: two slots per GPU for the threshold bound. */
static void choose_options(int option) {
  eplb_problem *problem = &state.small.problem;
  state.small = input_make(EPLB_FLOAT32, 2, 8, 16, 8, 59);
  if (option == 0) return;
  problem->bound_kind = EPLB_BOUND_THRESHOLD;
  problem->num_nodes = 2;
  problem->num_groups = 4;
  problem->policy = option == 1   ? EPLB_POLICY_HIERARCHICAL
                    : option == 2 ? EPLB_POLICY_GLOBAL
                                  : EPLB_POLICY_SOFT;
  state.small.options.strategy = EPLB_STRATEGY_BEST;
  if (option == 3) input_set_prices(&state.small, 8, 3);
}

static void run_out_of_memory_in(eplb_status (*step)(eplb_error *), int option, int from_then_on) {
  choose_options(option);
  state.large = input_make(EPLB_FLOAT64, 40, 128, 256, 16, 61);
  state.context = context_solved(&state.small);
  if (state.context == NULL || !plan_fetch(&state.before, state.context, &state.small) ||
      !split_over(state.context, &state.small, NULL, 0) ||
      !split_fetch(&state.split, state.context, &state.small))
    return;
  if (step == try_moves) {
    EXPECT(EPLB_OK, try_current(ERR));
    input_solve(state.context, &state.small);
  }
  survive(step, from_then_on);
  EXPECT(EPLB_OK, CALL(upload_placement)(state.context, NULL, 0, 0, 0, 0, ERR));
  if (input_upload_and_solve(state.context, &state.large))
    invariants_hold(state.context, &state.large, NULL);
  plan_free(&state.before);
  split_free(&state.split);
  CALL(context_destroy)(state.context);
  input_free(&state.small);
  input_free(&state.large);
}

static void run_out_of_memory_anywhere(void) {
  static eplb_status (*const steps[])(eplb_error *) = {
      try_create,   try_fetch,          try_report,    try_current,     try_moves,
      try_evaluate, try_windows,        try_transfers, try_information, try_refusal,
      try_prices,   try_window_weights, try_solve,     try_upload,      try_reserve,
      try_prepare,  try_split,          try_shares,    try_dispatch};
  size_t i;
  int option, from_then_on;
  for (i = 0; i < sizeof steps / sizeof *steps; i++)
    for (option = 0; option < 4; option++)
      for (from_then_on = 0; from_then_on < 2; from_then_on++)
        run_out_of_memory_in(steps[i], option, from_then_on);
}

/* In a child, for a crash is one of the things that it may find. */
static void memory_may_run_out_anywhere(void) {
  if (allocations_are_counted())
    run_in_child(run_out_of_memory_anywhere);
  else
    test_skip("a sanitizer owns malloc");
}

void rules_out_of_memory(void) { RUN(memory_may_run_out_anywhere); }
