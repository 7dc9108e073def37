/* Memory: a second solve of the same shape allocates nothing, every refused allocation is survived,
 * all is given back. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "harness.h"
#include "invariants.h"

static int is_counted(void) {
  if (!allocations_are_counted()) test_skip("a sanitizer owns malloc");
  return allocations_are_counted();
}

static input input_for(eplb_policy policy, eplb_dtype dtype, eplb_strategy strategy,
                       uint64_t seed) {
  input in = input_make(dtype, 6, 64, 96, 16, seed);
  in.options.strategy = strategy;
  in.problem.policy = policy;
  in.problem.num_nodes = 4;
  in.problem.num_groups = 8;
  return in;
}

static eplb_status run_once(eplb_context *context, const input *in, int32_t *slots) {
  eplb_status status = CALL(upload_weights)(context, in->weights, input_length(in), in->dtype,
                                            in->windows, in->layers, in->experts, NULL);
  if (status == EPLB_OK) status = CALL(solve)(context, &in->problem, &in->options, NULL);
  if (status == EPLB_OK)
    status = CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, slots,
                             in->layers * in->problem.num_slots, NULL);
  return status;
}

/* Other weights of the same shape may take other paths: what is scratch must be as large as it will
 * ever be. */
static void second_run_allocates_nothing(const input *first, const input *second) {
  static int32_t slots[6 * 96];
  eplb_context *context = context_make(1);
  input smaller = input_make(first->dtype, 2, 8, 16, 8, 50);
  eplb_status status = run_once(context, &smaller, slots); /* a context may have had another life */
  if (status == EPLB_OK) status = run_once(context, first, slots);
  if (status != EPLB_UNAVAILABLE && EXPECT(EPLB_OK, status)) {
    int64_t before = allocations_so_far();
    status = run_once(context, second, slots);
    EQUAL(0, allocations_so_far() - before);
    EXPECT(EPLB_OK, status);
  }
  CALL(context_destroy)(context);
  input_free(&smaller);
}

static void second_solve_allocates_nothing(void) {
  int strategy, dtype, policy;
  if (!is_counted()) return;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_BEST; strategy++)
    for (dtype = EPLB_FLOAT32; dtype <= EPLB_INT64; dtype++)
      for (policy = EPLB_POLICY_HIERARCHICAL; policy <= EPLB_POLICY_SOFT; policy++) {
        input first = input_for(policy, dtype, strategy, 51),
              second = input_for(policy, dtype, strategy, 52);
        second_run_allocates_nothing(&first, &second);
        input_free(&first);
        input_free(&second);
      }
}

/* "Sizes all memory such that later calls up to this size allocate nothing." */
static void a_reserved_context_allocates_nothing(void) {
  static int32_t slots[6 * 96];
  int policy;
  if (!is_counted()) return;
  for (policy = EPLB_POLICY_HIERARCHICAL; policy <= EPLB_POLICY_SOFT; policy++) {
    eplb_strategy strategy =
        policy == EPLB_POLICY_SOFT ? EPLB_STRATEGY_BEST : EPLB_STRATEGY_LPT_SWAP;
    input in = input_for(policy, EPLB_INT64, strategy, 53);
    eplb_context *context = context_make(1);
    EXPECT(EPLB_OK,
           CALL(context_reserve)(context, in.dtype, 1, 6, 64, &in.problem, &in.options, ERR));
    {
      int64_t before = allocations_so_far();
      eplb_status status = run_once(context, &in, slots);
      EQUAL(0, allocations_so_far() - before);
      EXPECT(EPLB_OK, status);
    }
    CALL(context_destroy)(context);
    input_free(&in);
  }
}

/* Tables are there before; what they need is had when they come. */
static void a_solve_with_tables_allocates_nothing(void) {
  static const double ones[2] = {1, 0.5};
  static int32_t slots[6 * 96];
  input in;
  eplb_context *context;
  int64_t before;
  if (!is_counted()) return;
  in = input_for(EPLB_POLICY_SOFT, EPLB_INT64, EPLB_STRATEGY_BEST, 54);
  in.windows = 2;
  in.layers = 3;
  in.problem.objective = EPLB_OBJECTIVE_WINDOWS;
  input_set_prices(&in, 8, 3);
  context = context_make(1);
  input_upload_tables(context, &in);
  EXPECT(EPLB_OK, CALL(upload_window_weights)(context, ones, 2, ERR));
  EXPECT(EPLB_OK,
         CALL(context_reserve)(context, in.dtype, 2, 3, 64, &in.problem, &in.options, ERR));
  before = allocations_so_far();
  {
    eplb_status status = run_once(context, &in, slots);
    EQUAL(0, allocations_so_far() - before);
    EXPECT(EPLB_OK, status);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

/* A number of 8 bytes and one of 4 for each price, 4 bytes for each window; forgotten, they are gone. */
static void tables_are_counted(void) {
  enum { NODES = 64, COLUMNS = 512, PRICES = NODES * COLUMNS };
  input in = input_for(EPLB_POLICY_GLOBAL, EPLB_INT32, EPLB_STRATEGY_LPT_SWAP, 56);
  eplb_context *context = context_solved(&in);
  double *prices = calloc(PRICES, sizeof *prices);
  eplb_report without, with, after;
  EXPECT(EPLB_OK, CALL(report_init)(&without, sizeof without, ERR));
  with = after = without;
  prices[0] = 1;
  EXPECT(EPLB_OK, CALL(fetch_report)(context, &without, ERR));
  EXPECT(EPLB_OK, CALL(upload_prices)(context, prices, PRICES, NODES, COLUMNS, ERR));
  EXPECT(EPLB_OK, CALL(upload_window_weights)(context, prices, 64, ERR));
  if (input_solve(context, &in)) EXPECT(EPLB_OK, CALL(fetch_report)(context, &with, ERR));
  CHECK(with.context_bytes >= without.context_bytes + PRICES * 12 + 64 * 4);
  EXPECT(EPLB_OK, CALL(upload_prices)(context, NULL, 0, 0, 0, ERR));
  EXPECT(EPLB_OK, CALL(upload_window_weights)(context, NULL, 0, ERR));
  if (input_solve(context, &in)) EXPECT(EPLB_OK, CALL(fetch_report)(context, &after, ERR));
  EQUAL(without.context_bytes, after.context_bytes);
  free(prices);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void destroy_gives_everything_back(void) {
  input in;
  int64_t before = 0;
  int round, threads;
  if (!is_counted()) return;
  in = input_for(EPLB_POLICY_GLOBAL, EPLB_FLOAT32, EPLB_STRATEGY_LPT_SWAP, 55);
  for (threads = 1; threads <= 3; threads += 2)
    for (round = 0; round < 6; round++) {
      eplb_context *context = context_make(threads);
      if (input_upload_and_solve(context, &in)) invariants_hold(context, &in, NULL);
      CALL(context_destroy)(context);
      /* The first rounds may fill the C library's own caches. */
      if (round == 1) before = allocated_bytes();
      if (round > 1) EQUAL(0, allocated_bytes() - before);
    }
  input_free(&in);
}

/* 58 layers of 256 experts in 288 slots must fit in 4 MiB, and context_bytes must say what malloc
 * says. */
static void a_context_is_small_and_says_so(void) {
  input in;
  int64_t before;
  eplb_context *context;
  eplb_report report;
  int32_t *slots;
  if (!is_counted()) return;
  in = input_make(EPLB_FLOAT32, 58, 256, 288, 32, 57);
  slots = malloc(58 * 288 * sizeof *slots);
  before = allocated_bytes();
  context = context_make(1);
  EXPECT(EPLB_OK, run_once(context, &in, slots));
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  EXPECT(EPLB_OK, CALL(fetch_report)(context, &report, ERR));
  CHECK(allocated_bytes() - before <= 4 << 20);
  CHECK(report.context_bytes <= allocated_bytes() - before);
  CHECK((double)report.context_bytes >= 0.9 * (double)(allocated_bytes() - before) - 4096);
  CALL(context_destroy)(context);
  free(slots);
  input_free(&in);
}

/* ---- Memory that runs out. Each step is tried with the first allocation refused, the second, ...
 * until none is left. */

static struct {
  eplb_context *context;
  /* Large: what a step asks for; small: what the context holds before and after it failed. */
  input small, large;
  plan before;
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
  if (state.context == NULL || !plan_fetch(&state.before, state.context, &state.small)) return;
  if (step == try_moves) {
    EXPECT(EPLB_OK, try_current(ERR));
    input_solve(state.context, &state.small);
  }
  survive(step, from_then_on);
  EXPECT(EPLB_OK, CALL(upload_placement)(state.context, NULL, 0, 0, 0, 0, ERR));
  if (input_upload_and_solve(state.context, &state.large))
    invariants_hold(state.context, &state.large, NULL);
  plan_free(&state.before);
  CALL(context_destroy)(state.context);
  input_free(&state.small);
  input_free(&state.large);
}

static void run_out_of_memory_anywhere(void) {
  static eplb_status (*const steps[])(eplb_error *) = {
      try_create,   try_fetch,          try_report,    try_current,     try_moves,
      try_evaluate, try_windows,        try_transfers, try_information, try_refusal,
      try_prices,   try_window_weights, try_solve,     try_upload,      try_reserve};
  size_t i;
  int option, from_then_on;
  for (i = 0; i < sizeof steps / sizeof *steps; i++)
    for (option = 0; option < 4; option++)
      for (from_then_on = 0; from_then_on < 2; from_then_on++)
        run_out_of_memory_in(steps[i], option, from_then_on);
}

/* In a child, for a crash is one of the things that it may find. */
static void memory_may_run_out_anywhere(void) {
  if (is_counted()) run_in_child(run_out_of_memory_anywhere);
}

/* Threads need memory too: a solve that cannot have them all may fail or make do, but neither hang
 * nor die. */
static void run_out_of_threads(void) {
  input in = input_for(EPLB_POLICY_GLOBAL, EPLB_FLOAT32, EPLB_STRATEGY_LPT_SWAP, 63);
  eplb_context *context = context_make(4);
  int64_t after, refused = 1;
  for (after = 0; context != NULL && refused > 0 && after < 200; after++) {
    eplb_status status;
    if (!input_upload(context, &in)) break;
    allocations_fail(after, 1);
    status = CALL(solve)(context, &in.problem, &in.options, NULL);
    refused = allocations_work();
    CHECK(status == EPLB_OK || (status == EPLB_OUT_OF_MEMORY && refused > 0));
  }
  if (input_upload_and_solve(context, &in)) invariants_hold(context, &in, NULL);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void threads_may_not_be_had(void) {
  if (is_counted()) run_in_child(run_out_of_threads);
}

void rules_allocation(void) {
  RUN(second_solve_allocates_nothing);
  RUN(a_reserved_context_allocates_nothing);
  RUN(a_solve_with_tables_allocates_nothing);
  RUN(tables_are_counted);
  RUN(destroy_gives_everything_back);
  RUN(a_context_is_small_and_says_so);
  RUN(memory_may_run_out_anywhere);
  RUN(threads_may_not_be_had);
}
