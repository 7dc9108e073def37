/* What a weight may be, and that a weight that may not be is named. */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"

enum { LAYERS = 4, EXPERTS = 20, LENGTH = LAYERS * EXPERTS };

static eplb_context *context;
static input base;
static plan before;

static eplb_status upload(const void *weights, eplb_dtype dtype, int64_t windows, eplb_error *err) {
  return CALL(upload_weights)(context, weights, windows * LENGTH, dtype, windows, LAYERS, EXPERTS,
                              err);
}

static void not_a_weight(double bad, const char *word) {
  double wide[LENGTH];
  float narrow[LENGTH];
  int i;
  for (i = 0; i < LENGTH; i++) narrow[i] = (float)(wide[i] = i);
  narrow[3 * EXPERTS + 17] = (float)(wide[3 * EXPERTS + 17] = bad);
  REFUSED(EPLB_INVALID_WEIGHT, upload(wide, EPLB_FLOAT64, 1, ERR), "weights", "layer 3",
          "expert 17", word);
  REFUSED(EPLB_INVALID_WEIGHT, upload(narrow, EPLB_FLOAT32, 1, ERR), "weights", "layer 3",
          "expert 17", word);
}

static void floats_that_are_no_weights(void) {
  not_a_weight(NAN, "NaN");
  not_a_weight(-NAN, "NaN");
  not_a_weight(INFINITY, "inf");
  not_a_weight(-INFINITY, "negative");
  not_a_weight(-1.5, "negative");
  not_a_weight(-1e-40, "negative");
}

static void negative_integers(void) {
  int32_t narrow[LENGTH];
  int64_t wide[LENGTH];
  int i;
  for (i = 0; i < LENGTH; i++) narrow[i] = (int32_t)(wide[i] = i);
  narrow[EXPERTS + 2] = -5;
  wide[EXPERTS + 2] = INT64_MIN;
  REFUSED(EPLB_INVALID_WEIGHT, upload(narrow, EPLB_INT32, 1, ERR), "layer 1", "expert 2",
          "negative");
  REFUSED(EPLB_INVALID_WEIGHT, upload(wide, EPLB_INT64, 1, ERR), "layer 1", "expert 2", "negative");
}

/* The one that is named must not depend on how the weights were scanned. */
static void the_lowest_of_several_is_named(void) {
  float weights[LENGTH] = {0};
  weights[2 * EXPERTS + 1] = NAN;
  weights[1 * EXPERTS + 19] = -1;
  weights[1 * EXPERTS + 18] = INFINITY;
  REFUSED(EPLB_INVALID_WEIGHT, upload(weights, EPLB_FLOAT32, 1, ERR), "layer 1", "expert 18");
}

/* Windows that cancel out or hide a bad value in their sum are still bad. */
static void every_window_is_looked_at(void) {
  double weights[3 * LENGTH];
  int i, t;
  for (t = 0; t < 3; t++) {
    for (i = 0; i < 3 * LENGTH; i++) weights[i] = 10;
    weights[t * LENGTH + 2 * EXPERTS + 7] = -1;
    REFUSED(EPLB_INVALID_WEIGHT, upload(weights, EPLB_FLOAT64, 3, ERR), "layer 2", "expert 7");
  }
}

static void sums_out_of_range(void) {
  double wide[2 * LENGTH];
  int64_t whole[2 * LENGTH];
  int i;
  for (i = 0; i < 2 * LENGTH; i++) wide[i] = whole[i] = 1;
  wide[EXPERTS + 3] = wide[LENGTH + EXPERTS + 3] = DBL_MAX;
  REFUSED(EPLB_INVALID_WEIGHT, upload(wide, EPLB_FLOAT64, 2, ERR), "layer 1", "expert 3");
  whole[3 * EXPERTS + 4] = INT64_MAX - 1;
  whole[LENGTH + 3 * EXPERTS + 4] = 2;
  REFUSED(EPLB_INVALID_WEIGHT, upload(whole, EPLB_INT64, 2, ERR), "layer 3", "expert 4");
  wide[LENGTH + EXPERTS + 3] = 1;
  wide[2 * EXPERTS + 5] = wide[2 * EXPERTS + 9] = DBL_MAX;
  REFUSED(EPLB_INVALID_WEIGHT, upload(wide, EPLB_FLOAT64, 1, ERR), "layer 2");
}

static void failures_left_the_plan_alone(void) { plan_still_there(&before, context, &base); }

/* Solves by every strategy and checks the placement; GREEDY may refuse what its float32 cannot
 * hold. */
static void solves(const void *weights, eplb_dtype dtype, int64_t windows) {
  input in = base;
  int strategy;
  in.dtype = dtype;
  in.windows = windows;
  in.weights = malloc((size_t)(windows * LENGTH) * input_element_size(dtype));
  memcpy(in.weights, weights, (size_t)(windows * LENGTH) * input_element_size(dtype));
  for (strategy = EPLB_STRATEGY_GREEDY;
       input_upload(context, &in) && strategy <= EPLB_STRATEGY_BEST; strategy++) {
    eplb_status status;
    in.options.strategy = strategy;
    status = CALL(solve)(context, &in.problem, &in.options, ERR);
    if (status == EPLB_INVALID_WEIGHT && strategy == EPLB_STRATEGY_GREEDY)
      REFUSED(EPLB_INVALID_WEIGHT, status, "layer", "float32");
    else if (status != EPLB_UNAVAILABLE && EXPECT(EPLB_OK, status))
      invariants_hold(context, &in, NULL);
  }
  input_free(&in);
}

static void extremes_that_are_weights(void) {
  double wide[LENGTH];
  float narrow[LENGTH];
  int64_t whole[LENGTH];
  int i;
  for (i = 0; i < LENGTH; i++) {
    wide[i] = i % 3 ? 4.9e-324 * i : 0;
    narrow[i] = i % 3 ? 1.4e-45f * (float)i : 0;
  }
  solves(wide, EPLB_FLOAT64, 1);
  solves(narrow, EPLB_FLOAT32, 1);
  for (i = 0; i < LENGTH; i++) {
    wide[i] = i % 7 ? 1e-300 : DBL_MAX / 32;
    narrow[i] = i % 7 ? FLT_MIN : FLT_MAX;
    whole[i] = i % 7 ? ((int64_t)1 << 53) + i : INT64_MAX;
  }
  solves(wide, EPLB_FLOAT64, 1);
  solves(narrow, EPLB_FLOAT32, 1);
  solves(whole, EPLB_INT64, 1);
}

/* Sums of integers are exact, beyond 2^53 too: these two windows sum to one, and equal weights in
 * all layers. */
static void integer_windows_are_summed_exactly(void) {
  int64_t split[2 * LENGTH], whole[LENGTH];
  input in = base;
  plan a, b;
  int i;
  for (i = 0; i < LENGTH; i++) {
    whole[i] = ((int64_t)1 << 54) + i % 5;
    split[i] = whole[i] - 1;
    split[LENGTH + i] = 1;
  }
  in.dtype = EPLB_INT64;
  in.weights = whole;
  if (!input_upload_and_solve(context, &in) || !plan_fetch(&a, context, &in)) return;
  in.windows = 2;
  in.weights = split;
  if (input_upload_and_solve(context, &in) && plan_fetch(&b, context, &in)) {
    plan_same(&a, &b);
    plan_free(&b);
  }
  plan_free(&a);
}

/* -0.0 is zero, not negative: it comes out of ordinary float arithmetic. */
static void minus_zero_is_zero(void) {
  float plus[LENGTH], minus[LENGTH];
  input in = base;
  plan a, b;
  int i;
  for (i = 0; i < LENGTH; i++) {
    plus[i] = i % 4 ? (float)i : 0.0f;
    minus[i] = i % 4 ? (float)i : -0.0f;
  }
  in.dtype = EPLB_FLOAT32;
  in.weights = plus;
  if (!input_upload_and_solve(context, &in) || !plan_fetch(&a, context, &in)) return;
  in.weights = minus;
  if (input_upload_and_solve(context, &in) && plan_fetch(&b, context, &in)) {
    plan_same(&a, &b);
    plan_free(&b);
  }
  plan_free(&a);
}

/* A layer of zeros is solved as a layer of equal weights: replicas spread evenly, lowest ids first.
 * */
static void zeros_are_solved_like_equals(void) {
  input in = base;
  int strategy, i;
  plan zeros, ones;
  in.dtype = EPLB_INT32;
  in.weights = calloc(LENGTH, 4);
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_LPT_SWAP; strategy++) {
    in.options.strategy = strategy;
    memset(in.weights, 0, LENGTH * 4);
    if (!input_upload_and_solve(context, &in) || !invariants_hold(context, &in, &zeros)) break;
    for (i = 0; i < LENGTH; i++) ((int32_t *)in.weights)[i] = 1;
    if (input_upload_and_solve(context, &in) && invariants_hold(context, &in, &ones)) {
      size_t bytes = (size_t)zeros.lengths[EPLB_MAP_REPLICA_SLOTS] * 8;
      CHECK(memcmp(zeros.ints[EPLB_MAP_REPLICA_SLOTS], ones.ints[EPLB_MAP_REPLICA_SLOTS], bytes) ==
            0);
      for (i = 0; i < EXPERTS; i++)
        EQUAL(i < 24 - EXPERTS ? 2 : 1, zeros.ints[EPLB_MAP_REPLICA_COUNT][i]);
      for (i = 0; i < LAYERS; i++) CHECK(zeros.doubles[EPLB_MAP_IMBALANCE][i] == 1);
      plan_free(&ones);
    }
    plan_free(&zeros);
  }
  input_free(&in);
}

/* ---- Another thread writes the weights while they are read, by mistake: each element is read
 * once, so what is accepted was good. */

static struct {
  float *weights;
  int stop;
} written;

static void *write_without_pause(void *unused) {
  uint32_t i = 0;
  while (!__atomic_load_n(&written.stop, __ATOMIC_RELAXED)) {
    float value = ++i % 2 ? (float)NAN : 1;
    __atomic_store(&written.weights[(i - 1) / 2 * 7919 % LENGTH], &value, __ATOMIC_RELAXED);
  }
  return unused;
}

static void weights_may_change_meanwhile(void) {
  eplb_context *own = context_make(1);
  input in = input_make(EPLB_FLOAT32, LAYERS, EXPERTS, 24, 4, 8);
  pthread_t writer;
  int upload, layer, accepted = 0;
  if (HARNESS_SANITIZED) {
    test_skip("a race, on purpose");
  } else {
    memset(&written, 0, sizeof written);
    written.weights = in.weights;
    CHECK(pthread_create(&writer, NULL, write_without_pause, NULL) == 0);
    for (upload = 0; upload < 3000; upload++) {
      eplb_status status =
          CALL(upload_weights)(own, in.weights, LENGTH, EPLB_FLOAT32, 1, LAYERS, EXPERTS, ERR);
      double imbalance[LAYERS];
      if (status == EPLB_INVALID_WEIGHT) continue;
      accepted++;
      if (!EXPECT(EPLB_OK, status) || !input_solve(own, &in)) break;
      EXPECT(EPLB_OK,
             CALL(fetch_map)(own, EPLB_MAP_IMBALANCE, EPLB_FLOAT64, imbalance, LAYERS, ERR));
      for (layer = 0; layer < LAYERS; layer++)
        CHECK(imbalance[layer] >= 1 && imbalance[layer] <= 4);
    }
    __atomic_store_n(&written.stop, 1, __ATOMIC_RELAXED);
    pthread_join(writer, NULL);
    CHECK(accepted > 0);
  }
  CALL(context_destroy)(own);
  input_free(&in);
}

void rules_weights(void) {
  int ready;
  test_begin("the input of the weight tests");
  base = input_make(EPLB_FLOAT32, LAYERS, EXPERTS, 24, 4, 7);
  context = context_solved(&base);
  ready = CHECK(context != NULL && plan_fetch(&before, context, &base));
  test_end();
  if (!ready) return;
  RUN(floats_that_are_no_weights);
  RUN(negative_integers);
  RUN(the_lowest_of_several_is_named);
  RUN(every_window_is_looked_at);
  RUN(sums_out_of_range);
  RUN(failures_left_the_plan_alone);
  RUN(extremes_that_are_weights);
  RUN(integer_windows_are_summed_exactly);
  RUN(minus_zero_is_zero);
  RUN(zeros_are_solved_like_equals);
  RUN(weights_may_change_meanwhile);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&base);
}
