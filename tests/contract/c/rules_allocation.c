/* Memory: a second solve of the same shape allocates nothing, all is given back, and it may be short of
 * what threads need. */
#include <stdlib.h>

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
  RUN(threads_may_not_be_had);
}
