/* Splits of tokens over replicas: what they say of any weights, placements and clusters, and that
 * nothing else matters. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "harness.h"
#include "layers.h"
#include "plan.h"
#include "split.h"

enum { LAYERS = 3, EXPERTS = 12, SLOTS = 24, GPUS = 6, LENGTH = LAYERS * SLOTS };
enum { EMPTY_LAYER = 1, EMPTY_EXPERT = 4 };

/* One layer and one expert of the others have no tokens. */
static input with_gaps(eplb_dtype dtype) {
  input in = input_make(dtype, LAYERS, EXPERTS, SLOTS, GPUS, 31);
  size_t size = input_element_size(dtype), i;
  memset((char *)in.weights + EMPTY_LAYER * EXPERTS * size, 0, EXPERTS * size);
  for (i = 0; i < LAYERS; i++)
    memset((char *)in.weights + (i * EXPERTS + EMPTY_EXPERT) * size, 0, size);
  return in;
}

static void every_dtype(void) {
  eplb_dtype dtype;
  split first, s;
  plan p;
  for (dtype = EPLB_FLOAT32; dtype <= EPLB_INT64; dtype++) {
    input in = with_gaps(dtype);
    eplb_context *context = context_solved(&in);
    if (context != NULL && plan_fetch(&p, context, &in) && split_over(context, &in, NULL, 0) &&
        split_fetch(&s, context, &in)) {
      split_holds(&in, NULL, p.ints[0], 0, &s);
      plan_still_there(&p, context, &in);
      /* The weights are whole: every dtype holds the same ones. */
      if (dtype == EPLB_FLOAT32) first = s;
      if (dtype != EPLB_FLOAT32) split_same(&first, &s);
      if (dtype != EPLB_FLOAT32) split_free(&s);
      plan_free(&p);
    }
    CALL(context_destroy)(context);
    input_free(&in);
  }
  split_free(&first);
}

static void any_placements(void) {
  input in = with_gaps(EPLB_INT32);
  eplb_context *context = context_make(1);
  uint32_t seed;
  int64_t placement[LENGTH];
  split s;
  if (context == NULL || !input_upload(context, &in)) return;
  for (seed = 0; seed < 60 && !test_has_failed(); seed++) {
    const double tolerance = seed % 3 == 0 ? seed / 60.0 : 0;
    any_placement(&in, NULL, placement, seed);
    if (!split_over(context, &in, placement, tolerance) || !split_fetch(&s, context, &in)) break;
    split_holds(&in, NULL, placement, tolerance, &s);
    split_free(&s);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Speeds are steps of 1/65536 of the fastest: nothing of them is rounded. */
static void gpus_that_differ(void) {
  static const int64_t slots[GPUS] = {4, 0, 3, 4, 1, 4};
  static const double speeds[GPUS] = {1, 1, 0.75, 0.0625, 0.5, 0.25};
  static const cluster gpus[3] = {{slots, NULL, NULL}, {NULL, speeds, NULL}, {slots, speeds, NULL}};
  input in = with_gaps(EPLB_INT64);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH];
  uint32_t seed;
  split s;
  if (context == NULL || !input_upload(context, &in)) return;
  for (seed = 0; seed < 60 && !test_has_failed(); seed++) {
    const cluster *own = &gpus[seed % 3];
    any_placement(&in, own, placement, seed);
    EXPECT(EPLB_OK, CALL(upload_cluster)(context, own->slots, own->speeds, NULL, GPUS, ERR));
    if (!split_over(context, &in, placement, 0) || !split_fetch(&s, context, &in)) break;
    split_holds(&in, own, placement, 0, &s);
    split_free(&s);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

/* An expert without tokens, twice on a fast GPU and once on one half as fast. */
static void even_shares_follow_speeds(void) {
  static const float weights[2] = {0, 0};
  static const double speeds[3] = {1, 0.5, 0.25};
  static const int64_t placement[6] = {0, 0, 1, 0, -1, 1};
  static const int64_t want[6] = {52429, 0, 43691, 13107, 0, 21845};
  input in = input_of(weights, 2, 6, 3);
  eplb_context *context = context_make(1);
  split s;
  int i;
  if (context == NULL || !input_upload(context, &in)) return;
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, NULL, speeds, NULL, 3, ERR));
  if (split_over(context, &in, placement, 0) && split_fetch(&s, context, &in)) {
    for (i = 0; i < 6; i++) EQUAL(want[i], s.ints[0][i]);
    split_free(&s);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Fractions, and numbers that a layer's tokens cannot be. */
static input of_magnitude(int kind) {
  input in = input_make(kind < 3 ? EPLB_FLOAT64 : EPLB_INT64, LAYERS, EXPERTS, SLOTS, GPUS, 37);
  int64_t i;
  for (i = 0; i < LAYERS * EXPERTS; i++) {
    double *real = (double *)in.weights + i;
    int64_t *whole = (int64_t *)in.weights + i;
    switch (kind) {
      case 0: *real /= 3; break;
      case 1: *real *= 1e290; break;
      case 2: *real *= 1e-290; break;
      case 3: *whole *= 1021; break;
      case 4: *whole = *whole * 1099511627 + i; break;
      default: *whole = INT64_MAX / (i + 1);
    }
  }
  return in;
}

/* Of an input over some placement. */
static void a_split_holds(const input *in, uint32_t seed) {
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH];
  split s;
  any_placement(in, NULL, placement, seed);
  if (context != NULL && input_upload(context, in) && split_over(context, in, placement, 0) &&
      split_fetch(&s, context, in)) {
    split_holds(in, NULL, placement, 0, &s);
    split_free(&s);
  }
  CALL(context_destroy)(context);
}

static void weights_of_any_magnitude(void) {
  int kind;
  for (kind = 0; kind < 6; kind++) {
    input in = of_magnitude(kind);
    a_split_holds(&in, 11);
    input_free(&in);
  }
}

static void windows_are_summed(void) {
  input in = input_make(EPLB_INT32, 3 * LAYERS, EXPERTS, SLOTS, GPUS, 41);
  in.windows = 3;
  in.layers = LAYERS;
  a_split_holds(&in, 5);
  input_free(&in);
}

/* In steps of 1/65536: what is less is none. */
static void a_tolerance_has_steps(void) {
  input in = with_gaps(EPLB_INT32);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH];
  split s;
  any_placement(&in, NULL, placement, 8);
  if (context != NULL && input_upload(context, &in) && split_over(context, &in, placement, 0) &&
      split_fetch(&s, context, &in)) {
    if (split_over(context, &in, placement, 0.9 / 65536)) split_still_there(&s, context, &in);
    if (split_over(context, &in, placement, -0.0)) split_still_there(&s, context, &in);
    split_free(&s);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

/* A prepared placement serves every later load as if it were prepared for it. */
static void prepared_once_split_often(void) {
  input in = input_make(EPLB_INT64, LAYERS, EXPERTS, SLOTS, GPUS, 43);
  eplb_context *context = context_make(1), *fresh = context_make(2);
  int64_t placement[LENGTH], i;
  int round;
  split s;
  any_placement(&in, NULL, placement, 9);
  if (context == NULL || fresh == NULL || !input_upload(context, &in)) return;
  EXPECT(EPLB_OK, CALL(split_prepare)(context, &in.problem, placement, LENGTH, EPLB_INT64, ERR));
  for (round = 0; round < 4; round++) {
    for (i = 0; i < LAYERS * EXPERTS; i++)
      ((int64_t *)in.weights)[i] = ((int64_t *)in.weights)[i] * 7919 % 100003;
    if (!input_upload(context, &in) || !input_upload(fresh, &in)) break;
    EXPECT(EPLB_OK, CALL(split)(context, NULL, NULL, 0, 0, NULL, ERR));
    if (!split_over(fresh, &in, placement, 0) || !split_fetch(&s, context, &in)) break;
    split_holds(&in, NULL, placement, 0, &s);
    split_still_there(&s, fresh, &in);
    split_free(&s);
  }
  CALL(context_destroy)(fresh);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void int32_placements_are_the_same(void) {
  input in = with_gaps(EPLB_FLOAT32);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH], i;
  int32_t narrow[LENGTH];
  split s;
  any_placement(&in, NULL, placement, 21);
  for (i = 0; i < LENGTH; i++) narrow[i] = (int32_t)placement[i];
  if (context != NULL && input_upload(context, &in) && split_over(context, &in, placement, 0) &&
      split_fetch(&s, context, &in)) {
    EXPECT(EPLB_OK, CALL(split)(context, &in.problem, narrow, LENGTH, EPLB_INT32, NULL, ERR));
    split_still_there(&s, context, &in);
    split_free(&s);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Of a layer alone: what it is among others. */
static void layer_agrees(const input *in, const int64_t *placement, const split *whole,
                         int64_t layer) {
  input part = layers_of(in, layer, 1);
  eplb_context *context = context_make(1);
  split alone;
  int i;
  if (context != NULL && input_upload(context, &part) &&
      split_over(context, &part, placement + layer * SLOTS, 0) &&
      split_fetch(&alone, context, &part)) {
    for (i = 0; i < SPLIT_MAPS; i++) {
      const int is_int = split_map_is_int(FIRST_SPLIT_MAP + i);
      const void *all = is_int ? (const void *)whole->ints[i] : (const void *)whole->doubles[i];
      const void *own = is_int ? (const void *)alone.ints[i] : (const void *)alone.doubles[i];
      const size_t bytes = (size_t)alone.lengths[i] * 8;
      CHECK(memcmp((const char *)all + (size_t)layer * bytes, own, bytes) == 0);
    }
    split_free(&alone);
  }
  CALL(context_destroy)(context);
  input_free(&part);
}

static void any_threads_and_layers(void) {
  input in = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, SLOTS, GPUS, 47);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH], i;
  split s;
  ((double *)in.weights)[3] /= 3;
  any_placement(&in, NULL, placement, 6);
  if (context == NULL || !input_upload(context, &in) || !split_over(context, &in, placement, 0) ||
      !split_fetch(&s, context, &in))
    return;
  for (i = 2; i < 6; i++) {
    eplb_context *other = context_make(i);
    if (other != NULL && input_upload(other, &in) && split_over(other, &in, placement, 0))
      split_still_there(&s, other, &in);
    CALL(context_destroy)(other);
  }
  for (i = 0; i < LAYERS; i++) layer_agrees(&in, placement, &s, i);
  split_free(&s);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Maps that are worked out when they are asked for do not depend on which came first. */
static void maps_in_any_order(void) {
  input in = with_gaps(EPLB_FLOAT32);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH], i;
  double buffer[LENGTH];
  split s;
  any_placement(&in, NULL, placement, 14);
  if (context == NULL || !input_upload(context, &in) || !split_over(context, &in, placement, 0) ||
      !split_fetch(&s, context, &in))
    return;
  for (i = 0; i < SPLIT_MAPS; i++) {
    const eplb_map map = FIRST_SPLIT_MAP + (eplb_map)i;
    if (!split_over(context, &in, placement, 0)) break;
    EXPECT(EPLB_OK, CALL(fetch_map)(context, map, split_map_is_int(map) ? EPLB_INT64 : EPLB_FLOAT64,
                                    buffer, split_map_length(&s, map), ERR));
    split_still_there(&s, context, &in);
  }
  split_free(&s);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* context_bytes says what malloc says of 58 layers that are prepared, split and fetched. */
static void a_split_is_counted(void) {
  input in;
  eplb_context *context;
  eplb_report report;
  int64_t before, bytes;
  split s;
  if (!allocations_are_counted()) {
    test_skip("a sanitizer owns malloc");
    return;
  }
  in = input_make(EPLB_FLOAT32, 58, 256, 288, 32, 57);
  before = allocated_bytes();
  context = context_solved(&in);
  if (split_over(context, &in, NULL, 0) && split_fetch(&s, context, &in)) split_free(&s);
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  EXPECT(EPLB_OK, CALL(fetch_report)(context, &report, ERR));
  bytes = allocated_bytes() - before;
  CHECK(report.context_bytes <= bytes);
  CHECK((double)report.context_bytes >= 0.9 * (double)bytes - 4096);
  CALL(context_destroy)(context);
  input_free(&in);
}

void rules_split(void) {
  RUN(every_dtype);
  RUN(any_placements);
  RUN(gpus_that_differ);
  RUN(even_shares_follow_speeds);
  RUN(weights_of_any_magnitude);
  RUN(windows_are_summed);
  RUN(a_tolerance_has_steps);
  RUN(prepared_once_split_often);
  RUN(int32_placements_are_the_same);
  RUN(any_threads_and_layers);
  RUN(maps_in_any_order);
  RUN(a_split_is_counted);
}
