/* The same weights, problem and options give the same placement: on any thread, at any time, in any
 * batch. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"
#include "layers.h"

enum { LAYERS = 13 };

/* A global problem with redundancy, one without, and a hierarchical one, each for every strategy that
 * is there; and a soft one for BEST. */
static input problem_number(int number, eplb_strategy strategy) {
  input in;
  if (number == 0) {
    in = input_make(EPLB_FLOAT32, LAYERS, 64, 80, 16, 23);
  } else if (number == 1) {
    in = input_make(EPLB_INT64, LAYERS, 48, 48, 12, 29);
  } else if (number == 3) {
    in = input_make(EPLB_INT32, LAYERS, 64, 84, 14, 37);
    in.problem.num_nodes = 3;
    in.problem.num_groups = 7;
    in.problem.policy = EPLB_POLICY_SOFT;
  } else {
    in = input_make(EPLB_FLOAT64, LAYERS, 64, 96, 16, 31);
    in.problem.num_nodes = 4;
    in.problem.num_groups = 8;
    in.problem.policy = EPLB_POLICY_AUTO;
  }
  in.options.strategy = strategy;
  return in;
}

static int strategy_is_there(eplb_strategy strategy) {
  input in = problem_number(0, strategy);
  eplb_context *context = context_make(1);
  eplb_status status = EPLB_INTERNAL_ERROR;
  if (context != NULL && input_upload(context, &in))
    status = CALL(solve)(context, &in.problem, &in.options, NULL);
  CALL(context_destroy)(context);
  input_free(&in);
  return status != EPLB_UNAVAILABLE;
}

static void for_every_problem(void (*body)(const input *in, const plan *p)) {
  int number, strategy;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_BEST; strategy++) {
    if (!strategy_is_there(strategy)) continue;
    for (number = 0; number < (strategy == EPLB_STRATEGY_BEST ? 4 : 3); number++) {
      input in = problem_number(number, strategy);
      eplb_context *context = context_solved(&in);
      plan p;
      if (context != NULL && invariants_hold(context, &in, &p)) {
        body(&in, &p);
        plan_free(&p);
      }
      CALL(context_destroy)(context);
      input_free(&in);
    }
  }
}

static void solved_by_so_many(const input *in, const plan *p) {
  int64_t threads;
  for (threads = 2; threads <= 8; threads++) {
    eplb_context *context = context_make(threads);
    if (input_upload_and_solve(context, in)) plan_still_there(p, context, in);
    CALL(context_destroy)(context);
  }
}

static void any_number_of_threads(void) { for_every_problem(solved_by_so_many); }

/* More threads than layers, and more than any machine has. */
static void absurd_numbers_of_threads(void) {
  static const int64_t numbers[] = {1000, INT32_MAX, INT64_MAX};
  input in = problem_number(0, EPLB_STRATEGY_LPT_SWAP);
  eplb_context *one = context_solved(&in);
  plan p;
  size_t i;
  if (one == NULL || !plan_fetch(&p, one, &in)) return;
  for (i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    eplb_context *context = context_make(numbers[i]);
    if (input_upload_and_solve(context, &in)) plan_still_there(&p, context, &in);
    CALL(context_destroy)(context);
  }
  plan_free(&p);
  CALL(context_destroy)(one);
  input_free(&in);
}

static void solved_again(const input *in, const plan *p) {
  eplb_context *context = context_solved(in);
  input other = problem_number(1, EPLB_STRATEGY_LPT_SWAP);
  int round;
  if (context == NULL) return;
  for (round = 0; round < 3; round++)
    if (input_solve(context, in)) plan_still_there(p, context, in);
  /* Nothing may be left over from another problem in the same memory. */
  if (input_upload_and_solve(context, &other) && input_upload_and_solve(context, in))
    plan_still_there(p, context, in);
  CALL(context_destroy)(context);
  input_free(&other);
}

static void a_second_solve(void) { for_every_problem(solved_again); }

static void solved_layer_by_layer(const input *in, const plan *p) {
  layers_solved_alone_agree(in, p);
}

static void layers_split_over_calls(void) { for_every_problem(solved_layer_by_layer); }

/* The weights are whole numbers below 2^20: every dtype holds the same ones. */
static void the_dtype_of_the_weights(void) {
  int dtype, strategy;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_LPT_SWAP; strategy++) {
    input first = input_make(EPLB_FLOAT32, LAYERS, 64, 80, 16, 37);
    eplb_context *context;
    plan p;
    first.options.strategy = strategy;
    context = context_solved(&first);
    if (context == NULL || !plan_fetch(&p, context, &first)) return;
    for (dtype = EPLB_FLOAT64; dtype <= EPLB_INT64; dtype++) {
      input in = input_make(dtype, LAYERS, 64, 80, 16, 37);
      in.options.strategy = strategy;
      if (input_upload_and_solve(context, &in)) plan_still_there(&p, context, &in);
      input_free(&in);
    }
    plan_free(&p);
    CALL(context_destroy)(context);
    input_free(&first);
  }
}

/* Three windows are their sum. */
static void windows_are_summed(void) {
  input whole = input_make(EPLB_FLOAT32, 3, 16, 24, 4, 41), split = whole;
  eplb_context *context = context_solved(&whole);
  plan p;
  int64_t i, length = input_length(&whole);
  float *thirds;
  if (context == NULL || !plan_fetch(&p, context, &whole)) return;
  split.windows = 3;
  split.weights = thirds = calloc((size_t)(3 * length), sizeof *thirds);
  for (i = 0; i < length; i++) {
    float weight = ((float *)whole.weights)[i];
    thirds[i] = 1;
    thirds[length + i] = (float)(int)(weight / 4);
    thirds[2 * length + i] = weight - thirds[i] - thirds[length + i];
  }
  if (input_upload_and_solve(context, &split)) plan_still_there(&p, context, &split);
  plan_free(&p);
  CALL(context_destroy)(context);
  free(thirds);
  input_free(&whole);
}

/* Neither of these two draws lots, so a seed must not matter; for those that do, the same seed is
 * the same answer. */
static void seeds(void) {
  int strategy, seed;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_BEST; strategy++) {
    input in = problem_number(0, strategy);
    for (seed = 0; strategy_is_there(strategy) && seed < 3; seed++) {
      eplb_context *first, *second;
      plan p;
      in.options.seed = strategy <= EPLB_STRATEGY_LPT_SWAP ? 0 : UINT64_MAX - (uint64_t)seed;
      first = context_solved(&in);
      in.options.seed = UINT64_MAX - (uint64_t)seed;
      second = context_solved(&in);
      if (first != NULL && second != NULL && plan_fetch(&p, first, &in)) {
        plan_still_there(&p, second, &in);
        plan_free(&p);
      }
      CALL(context_destroy)(first);
      CALL(context_destroy)(second);
    }
    input_free(&in);
  }
}

/* Ten tiny problems whose every size is a corner. */
static void corners(void) {
  static const int64_t shapes[][3] = {{1, 1, 1}, {1, 4, 4}, {1, 8, 2}, {2, 2, 1}, {2, 2, 2},
                                      {3, 9, 3}, {2, 9, 9}, {5, 5, 5}, {7, 8, 1}, {3, 64, 2}};
  size_t i;
  int strategy;
  for (i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_BEST; strategy++) {
      input in = input_make(EPLB_FLOAT32, 1, shapes[i][0], shapes[i][1], shapes[i][2], 43);
      eplb_context *context;
      in.options.strategy = strategy;
      context = strategy_is_there(strategy) ? context_solved(&in) : NULL;
      if (context != NULL) invariants_hold(context, &in, NULL);
      CALL(context_destroy)(context);
      input_free(&in);
    }
}

void rules_answers(void) {
  RUN(any_number_of_threads);
  RUN(absurd_numbers_of_threads);
  RUN(a_second_solve);
  RUN(layers_split_over_calls);
  RUN(the_dtype_of_the_weights);
  RUN(windows_are_summed);
  RUN(seeds);
  RUN(corners);
}
