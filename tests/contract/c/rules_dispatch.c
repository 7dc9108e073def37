/* Static dispatch: what its maps say of any weights, placements and clusters; the order of its
 * calls, what discards what, and what is refused. */
#include <math.h>
#include <string.h>

#include "dispatch.h"
#include "harness.h"
#include "plan.h"
#include "split.h"

enum { LAYERS = 2, EXPERTS = 12, SLOTS = 24, GPUS = 6, LENGTH = LAYERS * SLOTS };

static input in; /* 6 GPUs of 4 slots */

/* Of every number of ranks and swaps, on GPUs that may differ. */
static void any_placements(void) {
  static const int64_t few[GPUS] = {4, 0, 3, 4, 2, 4};
  static const double speeds[GPUS] = {1, 1, 0.75, 0.0625, 0.5, 0.25};
  static const cluster gpus[4] = {
      {NULL, NULL, NULL}, {few, NULL, NULL}, {NULL, speeds, NULL}, {few, speeds, NULL}};
  static const int64_t ranks[5] = {0, 1, 5, 12, 64}, swaps[3] = {0, 1, -1};
  eplb_context *context = context_make(2);
  int64_t placement[LENGTH];
  uint32_t seed;
  dispatch d;
  if (context == NULL || !input_upload(context, &in)) return;
  for (seed = 0; seed < 60 && !test_has_failed(); seed++) {
    const cluster *own = &gpus[seed % 4];
    const int64_t r = ranks[seed % 5], most = swaps[seed % 3];
    any_placement(&in, own, placement, seed);
    EXPECT(EPLB_OK, CALL(upload_cluster)(context, own->slots, own->speeds, NULL, GPUS, ERR));
    if (!dispatch_over(context, &in, placement, r, most) ||
        !dispatch_fetch(&d, context, &in, r == 0 ? GPUS : r))
      break;
    dispatch_holds(&in, own, placement, most, &d);
    dispatch_free(&d);
  }
  CALL(context_destroy)(context);
}

/* Weights of any type, and of any magnitude. */
static void every_dtype(void) {
  eplb_dtype dtype;
  dispatch first = {0}, d;
  plan p;
  for (dtype = EPLB_FLOAT32; dtype <= EPLB_INT64; dtype++) {
    input same = input_make(dtype, LAYERS, EXPERTS, SLOTS, GPUS, 29);
    eplb_context *context = context_solved(&same);
    if (context != NULL && plan_fetch(&p, context, &same) &&
        dispatch_over(context, &same, NULL, 0, 3) && dispatch_fetch(&d, context, &same, GPUS)) {
      dispatch_holds(&same, NULL, p.ints[0], 3, &d);
      plan_still_there(&p, context, &same);
      /* The weights are whole: every dtype holds the same ones. */
      if (dtype == EPLB_FLOAT32) first = d;
      if (dtype != EPLB_FLOAT32) dispatch_same(&first, &d);
      if (dtype != EPLB_FLOAT32) dispatch_free(&d);
      plan_free(&p);
    }
    CALL(context_destroy)(context);
    input_free(&same);
  }
  dispatch_free(&first);
}

static void any_magnitude(void) {
  static const double factors[5] = {0, 1.0 / 3, 1e290, 1e-290, 4e-324};
  size_t i, k;
  for (i = 0; i < sizeof factors / sizeof *factors; i++) {
    input scaled = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, SLOTS, GPUS, 37);
    eplb_context *context;
    dispatch d;
    plan p;
    for (k = 0; k < LAYERS * EXPERTS; k++) ((double *)scaled.weights)[k] *= factors[i];
    context = context_solved(&scaled);
    if (context != NULL && plan_fetch(&p, context, &scaled) &&
        dispatch_over(context, &scaled, NULL, 0, -1) &&
        dispatch_fetch(&d, context, &scaled, GPUS)) {
      if (factors[i] != 4e-324) dispatch_holds(&scaled, NULL, p.ints[0], -1, &d);
      CHECK(d.imbalance[0] >= 1 && d.imbalance[0] <= GPUS && d.bound[0] >= 0);
      dispatch_free(&d);
      plan_free(&p);
    }
    CALL(context_destroy)(context);
    input_free(&scaled);
  }
}

/* Swaps stay on their nodes, and ranks use their own nodes first: with all replicas of an expert
 * on other GPUs than the rank's. */
static void nodes_count(void) {
  static const float weights[4] = {6, 6, 6, 6};
  static const int64_t placement[8] = {0, 1, 2, 3, 0, 1, 2, 3};
  input four = input_of(weights, 4, 8, 4);
  eplb_context *context = context_make(1);
  dispatch d;
  int64_t r, e;
  four.problem.num_nodes = 2;
  if (context != NULL && input_upload(context, &four) &&
      dispatch_over(context, &four, placement, 0, 0) && dispatch_fetch(&d, context, &four, 4)) {
    dispatch_holds(&four, NULL, placement, 0, &d);
    for (r = 0; r < 4; r++)
      for (e = 0; e < 4; e++) EQUAL(r / 2, d.slot[r * 4 + e] / 4);
    dispatch_free(&d);
  }
  CALL(context_destroy)(context);
  input_free(&four);
}

static void swaps_stay_on_nodes(void) {
  input grouped = input_make(EPLB_INT64, LAYERS, EXPERTS, SLOTS, GPUS, 53);
  eplb_context *context;
  dispatch d;
  plan p;
  grouped.problem.num_nodes = 2;
  grouped.problem.num_groups = 4;
  grouped.problem.policy = EPLB_POLICY_HIERARCHICAL;
  grouped.options.strategy = EPLB_STRATEGY_GREEDY;
  context = context_solved(&grouped);
  if (context != NULL && plan_fetch(&p, context, &grouped) &&
      dispatch_over(context, &grouped, NULL, 0, -1) &&
      dispatch_fetch(&d, context, &grouped, GPUS)) {
    dispatch_holds(&grouped, NULL, p.ints[0], -1, &d);
    CHECK(memcmp(p.ints[0], d.placement, LENGTH * 8) != 0);
    dispatch_free(&d);
    plan_free(&p);
  }
  CALL(context_destroy)(context);
  input_free(&grouped);
}

/* ---- Calls. */

/* A context with a plan, and a split and a static dispatch over it. */
typedef struct scene {
  eplb_context *context;
  plan p;
  split s;
  dispatch d;
} scene;

static int begin(scene *of) {
  of->context = context_solved(&in);
  return of->context != NULL && plan_fetch(&of->p, of->context, &in) &&
         dispatch_over(of->context, &in, NULL, 0, 2) &&
         dispatch_fetch(&of->d, of->context, &in, GPUS) &&
         EXPECT(EPLB_OK, CALL(split)(of->context, NULL, NULL, 0, 0, NULL, ERR)) &&
         split_fetch(&of->s, of->context, &in);
}

static int all_is_there(const scene *of) {
  return plan_still_there(&of->p, of->context, &in) & split_still_there(&of->s, of->context, &in) &
         dispatch_still_there(&of->d, of->context, &in);
}

static void end(scene *of) {
  plan_free(&of->p);
  split_free(&of->s);
  dispatch_free(&of->d);
  CALL(context_destroy)(of->context);
}

static void before_anything(void) {
  eplb_context *context = context_make(1);
  dispatch_is_gone(context);
  REFUSED(EPLB_INVALID_STATE, CALL(static_dispatch)(context, NULL, NULL, 0, 0, NULL, ERR),
          "eplb_upload_weights");
  if (input_upload(context, &in)) {
    REFUSED(EPLB_INVALID_STATE, CALL(static_dispatch)(context, NULL, NULL, 0, 0, NULL, ERR),
            "eplb_split_prepare");
    REFUSED(EPLB_INVALID_STATE, CALL(static_dispatch)(context, &in.problem, NULL, 0, 0, NULL, ERR),
            "eplb_solve");
  }
  CALL(context_destroy)(context);
}

/* Over what a split was prepared for, and the other way; a placement that is given discards both. */
static void both_share_what_is_prepared(void) {
  int64_t placement[LENGTH];
  scene of;
  if (!begin(&of)) return;
  all_is_there(&of);
  any_placement(&in, NULL, placement, 5);
  if (split_over(of.context, &in, placement, 0)) dispatch_is_gone(of.context);
  if (dispatch_over(of.context, &in, of.p.ints[0], 0, 2)) split_is_gone(of.context);
  dispatch_still_there(&of.d, of.context, &in);
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR));
  all_is_there(&of);
  EXPECT(EPLB_OK,
         CALL(split_prepare)(of.context, &in.problem, of.p.ints[0], LENGTH, EPLB_INT64, ERR));
  split_is_gone(of.context);
  dispatch_is_gone(of.context);
  end(&of);
}

static void uploads_discard_it(void) {
  static const double speeds[GPUS] = {1, 2, 1, 1, 1, 1};
  scene of;
  if (!begin(&of)) return;
  if (input_upload(of.context, &in)) {
    dispatch_is_gone(of.context);
    if (dispatch_over(of.context, &in, of.p.ints[0], 0, 2))
      dispatch_still_there(&of.d, of.context, &in);
  }
  EXPECT(EPLB_OK, CALL(upload_cluster)(of.context, NULL, speeds, NULL, GPUS, ERR));
  dispatch_is_gone(of.context);
  end(&of);
}

static void options_are_checked(void) {
  eplb_static_dispatch_options options, bad;
  scene of;
  if (!begin(&of)) return;
#define TRY(...) \
  INVALID(CALL(static_dispatch)(of.context, NULL, NULL, 0, 0, &bad, ERR), __VA_ARGS__)
  EXPECT(EPLB_OK, CALL(static_dispatch_options_init)(&options, sizeof options, ERR));
  EQUAL(0, options.num_ranks);
  EQUAL(0, options.max_swaps);
  CHECK(options.tolerance == 0);
  bad = options;
  bad.num_ranks = -1;
  TRY("num_ranks", "-1", "4096");
  bad.num_ranks = 4097;
  TRY("num_ranks", "4097", "4096");
  bad = options;
  bad.max_swaps = -2;
  TRY("max_swaps", "-2");
  bad = options;
  bad.tolerance = NAN;
  TRY("tolerance", "NaN");
  bad.tolerance = 1.5;
  TRY("tolerance", "1500 / 1000");
#undef TRY
  INVALID(CALL(static_dispatch)(of.context, &in.problem, of.p.ints[0], LENGTH - 1, EPLB_INT64, NULL,
                                ERR),
          "placement_length");
  INVALID(CALL(static_dispatch)(NULL, NULL, NULL, 0, 0, NULL, ERR), "context");
  all_is_there(&of);
  options.max_swaps = INT64_MAX;
  options.tolerance = 1;
  EXPECT(EPLB_OK, CALL(static_dispatch)(of.context, NULL, NULL, 0, 0, &options, ERR));
  end(&of);
}

static void many_gpus_need_a_number_of_ranks(void) {
  enum { MANY = 4097 };
  static float weights[MANY];
  input wide;
  eplb_context *context;
  eplb_static_dispatch_options options;
  int i;
  for (i = 0; i < MANY; i++) weights[i] = 1;
  wide = input_of(weights, MANY, MANY, MANY);
  context = context_solved(&wide);
  if (context == NULL) return;
  INVALID(CALL(static_dispatch)(context, &wide.problem, NULL, 0, 0, NULL, ERR), "num_ranks", "4097",
          "4096");
  EXPECT(EPLB_OK, CALL(static_dispatch_options_init)(&options, sizeof options, ERR));
  options.num_ranks = 3;
  EXPECT(EPLB_OK, CALL(static_dispatch)(context, &wide.problem, NULL, 0, 0, &options, ERR));
  CALL(context_destroy)(context);
  input_free(&wide);
}

static void tables_have_a_limit(void) {
  enum { MANY = 1 << 13 };
  static float weights[MANY];
  eplb_static_dispatch_options options;
  eplb_context *context;
  input wide;
  int i;
  for (i = 0; i < MANY; i++) weights[i] = 1;
  wide = input_of(weights, MANY, MANY, 1);
  context = context_solved(&wide);
  if (context == NULL) return;
  EXPECT(EPLB_OK, CALL(static_dispatch_options_init)(&options, sizeof options, ERR));
  options.num_ranks = 2049;
  INVALID(CALL(static_dispatch)(context, &wide.problem, NULL, 0, 0, &options, ERR), "num_ranks",
          "2049", "8192", "2^24");
  options.num_ranks = 2048;
  EXPECT(EPLB_OK, CALL(static_dispatch)(context, &wide.problem, NULL, 0, 0, &options, ERR));
  CALL(context_destroy)(context);
  input_free(&wide);
}

static void fetches_are_checked(void) {
  double buffer[LAYERS * GPUS * EXPERTS], before[LAYERS * GPUS * EXPERTS];
  scene of;
  int i;
  if (!begin(&of)) return;
  memset(buffer, 0x5A, sizeof buffer);
  memcpy(before, buffer, sizeof before);
  for (i = 0; i < DISPATCH_MAPS; i++) {
    const eplb_map map = FIRST_DISPATCH_MAP + i;
    const int64_t length = dispatch_map_length(&of.d, map);
    const eplb_dtype right = dispatch_map_is_int(map) ? EPLB_INT64 : EPLB_FLOAT64;
    const eplb_dtype wrong = dispatch_map_is_int(map) ? EPLB_FLOAT64 : EPLB_INT64;
    INVALID(CALL(fetch_map)(of.context, map, wrong, buffer, length, ERR), "dtype", "DISPATCH_");
    INVALID(CALL(fetch_map)(of.context, map, right, buffer, length - 1, ERR), "length");
    INVALID(CALL(fetch_map)(of.context, map, right, NULL, length, ERR), "buffer", "NULL");
  }
  CHECK(memcmp(before, buffer, sizeof buffer) == 0);
  all_is_there(&of);
  end(&of);
}

void rules_dispatch(void) {
  test_begin("the input of the tests of static dispatch");
  in = input_make(EPLB_INT32, LAYERS, EXPERTS, SLOTS, GPUS, 29);
  test_end();
  RUN(any_placements);
  RUN(every_dtype);
  RUN(any_magnitude);
  RUN(nodes_count);
  RUN(swaps_stay_on_nodes);
  RUN(before_anything);
  RUN(both_share_what_is_prepared);
  RUN(uploads_discard_it);
  RUN(options_are_checked);
  RUN(many_gpus_need_a_number_of_ranks);
  RUN(tables_have_a_limit);
  RUN(fetches_are_checked);
  input_free(&in);
}
