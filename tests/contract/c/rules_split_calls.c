/* Calls of eplb_split_prepare and eplb_split: their order, what discards what, what is refused by name,
 * and that a failure changes nothing. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "plan.h"
#include "split.h"

enum { LAYERS = 2, EXPERTS = 8, SLOTS = 16, GPUS = 4, LENGTH = LAYERS * SLOTS };

static input in; /* 4 GPUs of 4 slots */

/* A context with a plan, what that is, and a split over it. */
typedef struct scene {
  eplb_context *context;
  plan p;
  split s;
} scene;

static int begin(scene *of) {
  of->context = context_solved(&in);
  return of->context != NULL && plan_fetch(&of->p, of->context, &in) &&
         split_over(of->context, &in, NULL, 0) && split_fetch(&of->s, of->context, &in);
}

static void end(scene *of) {
  plan_free(&of->p);
  split_free(&of->s);
  CALL(context_destroy)(of->context);
}

static int all_is_there(const scene *of) {
  return plan_still_there(&of->p, of->context, &in) & split_still_there(&of->s, of->context, &in);
}

static eplb_status prepare(const scene *of, const eplb_problem *problem, const void *placement) {
  return CALL(split_prepare)(of->context, problem, placement, LENGTH, EPLB_INT64, ERR);
}

static void before_anything(void) {
  static const int64_t placement[LENGTH];
  eplb_context *context = context_make(1);
  if (context == NULL) return;
  split_is_gone(context);
  REFUSED(EPLB_INVALID_STATE,
          CALL(split_prepare)(context, &in.problem, placement, LENGTH, EPLB_INT64, ERR),
          "eplb_upload_weights");
  REFUSED(EPLB_INVALID_STATE,
          CALL(split)(context, &in.problem, placement, LENGTH, EPLB_INT64, NULL, ERR),
          "eplb_upload_weights");
  REFUSED(EPLB_INVALID_STATE, CALL(split)(context, NULL, NULL, 0, 0, NULL, ERR), "eplb_");
  REFUSED(EPLB_INVALID_STATE, CALL(split_prepare)(context, &in.problem, NULL, 0, 0, ERR), "eplb_");
  REFUSED(EPLB_INVALID_STATE, CALL(split)(context, &in.problem, NULL, 0, 0, NULL, ERR), "eplb_");
  if (input_upload(context, &in)) {
    REFUSED(EPLB_INVALID_STATE, CALL(split_prepare)(context, &in.problem, NULL, 0, 0, ERR),
            "eplb_solve");
    REFUSED(EPLB_INVALID_STATE, CALL(split)(context, &in.problem, NULL, 0, 0, NULL, ERR),
            "eplb_solve");
    REFUSED(EPLB_INVALID_STATE, CALL(split)(context, NULL, NULL, 0, 0, NULL, ERR),
            "eplb_split_prepare");
  }
  split_is_unprepared(context);
  CALL(context_destroy)(context);
}

/* It says the shapes, but there are no maps yet; an earlier split is discarded. */
static void preparing_is_no_split(void) {
  scene of;
  int64_t dims[4];
  int32_t rank;
  if (!begin(&of)) return;
  EXPECT(EPLB_OK, prepare(&of, &in.problem, of.p.ints[0]));
  split_is_gone(of.context);
  EXPECT(EPLB_OK, CALL(map_shape)(of.context, EPLB_MAP_QUOTA, &rank, dims, 4, ERR));
  CHECK(rank == 2 && dims[0] == LAYERS && dims[1] == SLOTS);
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR));
  all_is_there(&of);
  end(&of);
}

/* The plan, given as a placement or not at all, under any of the names for it. */
static void the_plan_is_a_placement(void) {
  scene of;
  if (!begin(&of)) return;
  split_holds(&in, NULL, of.p.ints[0], 0, &of.s);
  if (split_over(of.context, &in, of.p.ints[0], 0)) all_is_there(&of);
  EXPECT(EPLB_OK, CALL(split_prepare)(of.context, &in.problem, NULL, 0, 0, ERR));
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR));
  all_is_there(&of);
  end(&of);
}

static void what_is_ignored_may_be_anything(void) {
  scene of;
  const void *nowhere = (const void *)&of;
  if (!begin(&of)) return;
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, nowhere, -7, 99, NULL, ERR));
  all_is_there(&of);
  EXPECT(EPLB_OK, CALL(split)(of.context, &in.problem, NULL, -7, 99, NULL, ERR));
  all_is_there(&of);
  EXPECT(EPLB_OK, CALL(split_prepare)(of.context, &in.problem, NULL, -7, 99, ERR));
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR));
  all_is_there(&of);
  end(&of);
}

static void an_upload_discards_the_split_alone(void) {
  scene of;
  if (!begin(&of)) return;
  if (input_upload(of.context, &in)) {
    split_is_gone(of.context);
    EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR));
    split_still_there(&of.s, of.context, &in);
  }
  end(&of);
}

/* Weights of another shape leave nothing to split them over; another dtype is no other shape. */
static void the_shape_must_stay(void) {
  input more = input_make(EPLB_FLOAT32, LAYERS + 1, EXPERTS, SLOTS, GPUS, 1);
  input fewer = input_make(EPLB_FLOAT32, LAYERS, EXPERTS - 1, SLOTS, GPUS, 1);
  input real = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, SLOTS, GPUS, 29);
  scene of;
  if (!begin(&of)) return;
  if (input_upload(of.context, &more))
    REFUSED(EPLB_INVALID_STATE, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR), "3 layers",
            "2 layers", "eplb_split_prepare");
  if (input_upload(of.context, &fewer))
    REFUSED(EPLB_INVALID_STATE, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR), "7 experts",
            "of 8", "eplb_split_prepare");
  split_is_gone(of.context);
  if (input_upload(of.context, &real) && split_over(of.context, &real, of.p.ints[0], 0))
    split_still_there(&of.s, of.context, &in);
  end(&of);
  input_free(&more);
  input_free(&fewer);
  input_free(&real);
}

/* What discards the plan need not discard the split. */
static void a_solve_and_a_current_placement_leave_it(void) {
  eplb_solve_options options = in.options;
  scene of;
  if (!begin(&of)) return;
  EXPECT(EPLB_OK,
         CALL(upload_placement)(of.context, of.p.ints[0], LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
  split_still_there(&of.s, of.context, &in);
  options.strategy = EPLB_STRATEGY_GREEDY;
  EXPECT(EPLB_OK, CALL(solve)(of.context, &in.problem, &options, ERR));
  split_still_there(&of.s, of.context, &in);
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, NULL, ERR));
  split_still_there(&of.s, of.context, &in);
  end(&of);
}

static eplb_status new_cluster(eplb_context *context) {
  static const double speeds[GPUS] = {1, 2, 1, 1};
  return CALL(upload_cluster)(context, NULL, speeds, NULL, GPUS, ERR);
}
static eplb_status no_cluster(eplb_context *context) {
  return CALL(upload_cluster)(context, NULL, NULL, NULL, 0, ERR);
}
static eplb_status new_prices(eplb_context *context) {
  static const double prices[EXPERTS] = {1};
  return CALL(upload_prices)(context, prices, EXPERTS, 1, EXPERTS, ERR);
}
static eplb_status no_prices(eplb_context *context) {
  return CALL(upload_prices)(context, NULL, 0, 0, 0, ERR);
}
static eplb_status new_window_weights(eplb_context *context) {
  static const double weights[1] = {1};
  return CALL(upload_window_weights)(context, weights, 1, ERR);
}
static eplb_status reserve(eplb_context *context) {
  return CALL(context_reserve)(context, EPLB_FLOAT32, 1, LAYERS, EXPERTS, &in.problem, NULL, ERR);
}

static void tables_and_a_reserve_discard_all(void) {
  static eplb_status (*const calls[])(eplb_context *) = {
      new_cluster, no_cluster, new_prices, no_prices, new_window_weights, reserve};
  size_t i;
  for (i = 0; i < sizeof calls / sizeof *calls; i++) {
    scene of;
    if (!begin(&of)) return;
    EXPECT(EPLB_OK, calls[i](of.context));
    if (calls[i] != reserve || input_upload(of.context, &in)) split_is_unprepared(of.context);
    end(&of);
  }
}

static void arguments_are_checked(void) {
  eplb_problem other = in.problem;
  int64_t wrong[LENGTH];
  scene of;
  if (!begin(&of)) return;
#define BOTH(check, context, problem, where, length, dtype, ...)                          \
  do {                                                                                    \
    check(CALL(split_prepare)(context, problem, where, length, dtype, ERR), __VA_ARGS__); \
    check(CALL(split)(context, problem, where, length, dtype, NULL, ERR), __VA_ARGS__);   \
  } while (0)
#define MISPLACED(call, ...) REFUSED(EPLB_INVALID_PLACEMENT, call, __VA_ARGS__)
  BOTH(INVALID, NULL, &in.problem, of.p.ints[0], LENGTH, EPLB_INT64, "context");
  INVALID(prepare(&of, NULL, of.p.ints[0]), "problem");
  INVALID(prepare(&of, NULL, NULL), "problem");
  BOTH(INVALID, of.context, &in.problem, of.p.ints[0], LENGTH - 1, EPLB_INT64, "placement_length",
       "31", "32");
  BOTH(INVALID, of.context, &in.problem, of.p.ints[0], -1, EPLB_INT64, "placement_length", "-1");
  BOTH(INVALID, of.context, &in.problem, of.p.ints[0], LENGTH, EPLB_FLOAT64, "dtype", "1",
       "EPLB_INT32 or EPLB_INT64");
  other.num_slots = 17;
  BOTH(INVALID, of.context, &other, of.p.ints[0], LENGTH, EPLB_INT64, "num_slots", "17");
  other.num_slots = 32;
  BOTH(INVALID, of.context, &other, NULL, 0, 0, "16 slots on 4 GPUs", "32 on 4");
  other.num_slots = SLOTS;
  other.num_gpus = 8;
  BOTH(INVALID, of.context, &other, NULL, 0, 0, "16 slots on 4 GPUs", "16 on 8");
  other = in.problem;
  other.struct_size = 7;
  BOTH(INVALID, of.context, &other, NULL, 0, 0, "problem", "struct_size", "7");
  memcpy(wrong, of.p.ints[0], sizeof wrong);
  wrong[SLOTS + 5] = EXPERTS;
  BOTH(MISPLACED, of.context, &in.problem, wrong, LENGTH, EPLB_INT64, "layer 1", "slot 5", "8");
  wrong[SLOTS + 5] = -2;
  BOTH(MISPLACED, of.context, &in.problem, wrong, LENGTH, EPLB_INT64, "layer 1", "slot 5", "-2");
  memset(wrong, 0, sizeof wrong);
  BOTH(MISPLACED, of.context, &in.problem, wrong, LENGTH, EPLB_INT64, "layer 0", "expert 1");
  all_is_there(&of);
  end(&of);
}

/* A replica too many, and one that is not on the node of its group. */
static void the_problem_must_be_kept(void) {
  eplb_problem other = in.problem;
  int64_t placement[LENGTH], i;
  scene of;
  if (!begin(&of)) return;
  for (i = 0; i < LENGTH; i++) placement[i] = i % SLOTS / 2;
  EXPECT(EPLB_OK, prepare(&of, &other, placement));
  other.max_replicas = 1;
  BOTH(MISPLACED, of.context, &other, placement, LENGTH, EPLB_INT64, "layer 0", "expert 0", "1");
  other.max_replicas = 2;
  other.num_nodes = other.num_groups = 2;
  other.policy = EPLB_POLICY_HIERARCHICAL;
  EXPECT(EPLB_OK, prepare(&of, &other, placement));
  placement[SLOTS - 1] = 0;
  placement[0] = EXPERTS - 1;
  BOTH(MISPLACED, of.context, &other, placement, LENGTH, EPLB_INT64, "layer 0");
  other.policy = 99;
  REFUSED(EPLB_UNAVAILABLE, prepare(&of, &other, placement), "policy", "99");
  end(&of);
}

static void closed_slots_are_refused(void) {
  static const int64_t slots[GPUS] = {4, 0, 3, 4};
  scene of;
  int64_t placement[LENGTH];
  if (!begin(&of)) return;
  EXPECT(EPLB_OK, CALL(upload_cluster)(of.context, slots, NULL, NULL, GPUS, ERR));
  memcpy(placement, of.p.ints[0], sizeof placement);
  BOTH(MISPLACED, of.context, &in.problem, placement, LENGTH, EPLB_INT64, "layer 0", "slot 4",
       "GPU 1 has 0 of 4");
  end(&of);
}
#undef BOTH
#undef MISPLACED

static void tolerances_are_checked(void) {
  static const struct {
    double value;
    const char *text;
  } bad[] = {{-0.001, "-1 / 1000"}, {1.001, "1001 / 1000"}, {NAN, "NaN"},
             {INFINITY, "1000"},    {-INFINITY, "-1000"},   {1e300, "1000"}};
  eplb_split_options options;
  scene of;
  size_t i;
  if (!begin(&of)) return;
  EXPECT(EPLB_OK, CALL(split_options_init)(&options, sizeof options, ERR));
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    options.tolerance = bad[i].value;
    INVALID(CALL(split)(of.context, NULL, NULL, 0, 0, &options, ERR), "tolerance", bad[i].text,
            "0 to 1");
    INVALID(CALL(split)(of.context, &in.problem, of.p.ints[0], LENGTH, EPLB_INT64, &options, ERR),
            "tolerance");
  }
  options.tolerance = 0.5;
  options.struct_size = 15;
  INVALID(CALL(split)(of.context, NULL, NULL, 0, 0, &options, ERR), "options", "struct_size", "15");
  all_is_there(&of);
  options.struct_size = sizeof options;
  options.tolerance = 1;
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, &options, ERR));
  EXPECT(EPLB_OK, CALL(split_options_init)(&options, sizeof options, ERR));
  EXPECT(EPLB_OK, CALL(split)(of.context, NULL, NULL, 0, 0, &options, ERR));
  all_is_there(&of); /* no options are the defaults */
  end(&of);
}

static void fetches_are_checked(void) {
  static const char *const names[SPLIT_MAPS] = {"SHARE",           "QUOTA",       "SPLIT_LOAD",
                                                "SPLIT_IMBALANCE", "SPLIT_BOUND", "SPLIT_TIGHT"};
  double buffer[LENGTH], before[LENGTH];
  scene of;
  int i;
  if (!begin(&of)) return;
  memset(buffer, 0x5A, sizeof buffer);
  memcpy(before, buffer, sizeof before);
  for (i = 0; i < SPLIT_MAPS; i++) {
    const eplb_map map = FIRST_SPLIT_MAP + i;
    const int is_int = split_map_is_int(map);
    const int64_t length = split_map_length(&of.s, map);
    const eplb_dtype right = is_int ? EPLB_INT64 : EPLB_FLOAT64;
    const eplb_dtype wrong = is_int ? EPLB_FLOAT64 : EPLB_INT64;
    INVALID(CALL(fetch_map)(of.context, map, wrong, buffer, length, ERR), "dtype", names[i]);
    INVALID(CALL(fetch_map)(of.context, map, right, buffer, length - 1, ERR), "length", names[i]);
    INVALID(CALL(fetch_map)(of.context, map, right, NULL, length, ERR), "buffer", "NULL");
  }
  CHECK(memcmp(before, buffer, sizeof buffer) == 0);
  all_is_there(&of);
  end(&of);
}

void rules_split_calls(void) {
  test_begin("the input of the tests of calls that split");
  in = input_make(EPLB_INT32, LAYERS, EXPERTS, SLOTS, GPUS, 29);
  test_end();
  RUN(before_anything);
  RUN(preparing_is_no_split);
  RUN(the_plan_is_a_placement);
  RUN(what_is_ignored_may_be_anything);
  RUN(an_upload_discards_the_split_alone);
  RUN(the_shape_must_stay);
  RUN(a_solve_and_a_current_placement_leave_it);
  RUN(tables_and_a_reserve_discard_all);
  RUN(arguments_are_checked);
  RUN(the_problem_must_be_kept);
  RUN(closed_slots_are_refused);
  RUN(tolerances_are_checked);
  RUN(fetches_are_checked);
  input_free(&in);
}
