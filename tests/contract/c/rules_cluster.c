/* The cluster: what is refused by name, how long it stays, and that a failure changes nothing. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"

enum { LAYERS = 2, EXPERTS = 8, SLOTS = 16, GPUS = 4, LENGTH = LAYERS * SLOTS };

static input in; /* 4 GPUs of 4 slots */

static eplb_status upload(eplb_context *context, const int64_t *slots, const double *speeds,
                          const int64_t *nodes) {
  return CALL(upload_cluster)(context, slots, speeds, nodes, GPUS, NULL);
}

static eplb_status solve(eplb_context *context) {
  return CALL(solve)(context, &in.problem, &in.options, ERR);
}

static void arrays_of_equal_gpus_change_nothing(void) {
  static const int64_t slots[GPUS] = {4, 4, 4, 4}, nodes[GPUS] = {0, 0, 0, 0};
  static const double speeds[GPUS] = {0.3, 0.3, 0.3, 0.3};
  eplb_context *context = context_solved(&in);
  plan before;
  if (context == NULL || !CHECK(plan_fetch(&before, context, &in))) return;
  EXPECT(EPLB_OK, upload(context, slots, speeds, nodes));
  plan_is_gone(context);
  EXPECT(EPLB_OK, solve(context));
  plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
}

static void values_are_checked(void) {
  static const int64_t low[GPUS] = {4, -1, 4, 4}, none[GPUS] = {0}, far[GPUS] = {0, 0, 1 << 18, 0};
  double speeds[GPUS] = {1, 1, 1, 1};
  eplb_context *context = context_make(1);
  if (context == NULL) return;
  INVALID(CALL(upload_cluster)(context, low, NULL, NULL, GPUS, ERR), "slots[GPU 1]", "-1", "0 to");
  INVALID(CALL(upload_cluster)(context, none, NULL, NULL, GPUS, ERR), "slots", "4 GPUs", "1");
  INVALID(CALL(upload_cluster)(context, NULL, NULL, low, GPUS, ERR), "nodes[GPU 1]", "-1");
  INVALID(CALL(upload_cluster)(context, NULL, NULL, far, GPUS, ERR), "nodes[GPU 2]", "262143");
  INVALID(CALL(upload_cluster)(context, NULL, NULL, NULL, -1, ERR), "num_gpus", "-1", "0");
  INVALID(CALL(upload_cluster)(context, low, NULL, NULL, (1 << 18) + 1, ERR), "num_gpus", "262144");
  speeds[2] = 0;
  INVALID(CALL(upload_cluster)(context, NULL, speeds, NULL, GPUS, ERR), "speeds[GPU 2]", "is 0");
  speeds[2] = -2;
  INVALID(CALL(upload_cluster)(context, NULL, speeds, NULL, GPUS, ERR), "speeds[GPU 2]",
          "negative");
  speeds[2] = NAN;
  INVALID(CALL(upload_cluster)(context, NULL, speeds, NULL, GPUS, ERR), "speeds[GPU 2]", "NaN");
  speeds[2] = INFINITY;
  INVALID(CALL(upload_cluster)(context, NULL, speeds, NULL, GPUS, ERR), "speeds[GPU 2]",
          "infinite");
  CALL(context_destroy)(context);
}

static void what_does_not_fit_the_problem_is_refused(void) {
  static const int64_t many[GPUS] = {4, 5, 4, 4}, few[GPUS] = {2, 2, 2, 1}, mixed[GPUS] = {0, 1};
  eplb_context *context = context_make(1);
  if (context == NULL || !input_upload(context, &in)) return;
  EXPECT(EPLB_OK, upload(context, many, NULL, NULL));
  INVALID(solve(context), "slots[GPU 1]", "5", "16 / 4 = 4");
  EXPECT(EPLB_OK, upload(context, few, NULL, NULL));
  INVALID(solve(context), "7 open slots", "1 fewer", "8 experts");
  EXPECT(EPLB_OK, upload(context, NULL, NULL, mixed));
  INVALID(solve(context), "nodes[GPU 1]", "is 1", "num_nodes - 1 = 0");
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, NULL, NULL, NULL, 8, ERR));
  INVALID(solve(context), "num_gpus is 4", "8 GPUs", "eplb_upload_cluster");
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, many, NULL, NULL, 0, ERR));
  EXPECT(EPLB_OK, solve(context));
  CALL(context_destroy)(context);
}

static void a_failed_upload_keeps_the_one_before(void) {
  static const int64_t bad[GPUS] = {-1, 4, 4, 4};
  eplb_context *context = context_solved(&in);
  plan before;
  if (context == NULL || !CHECK(plan_fetch(&before, context, &in))) return;
  INVALID(CALL(upload_cluster)(context, bad, NULL, NULL, GPUS, ERR), "slots[GPU 0]");
  plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
}

/* Every map: nothing in the closed slots, and -1 behind the replicas. */
static void closed_slots_hold_nothing(void) {
  static const int64_t slots[GPUS] = {4, 0, 3, 4};
  int64_t placed[LENGTH], listed[LENGTH], duplicates[LAYERS], i;
  double load[LAYERS * GPUS], imbalance[LAYERS];
  eplb_report report;
  eplb_context *context = context_make(2);
  if (context == NULL || !input_upload(context, &in)) return;
  EXPECT(EPLB_OK, upload(context, slots, NULL, NULL));
  EXPECT(EPLB_OK, solve(context));
  EXPECT(EPLB_OK,
         CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, placed, LENGTH, ERR));
  EXPECT(EPLB_OK,
         CALL(fetch_map)(context, EPLB_MAP_REPLICA_SLOTS, EPLB_INT64, listed, LENGTH, ERR));
  EXPECT(EPLB_OK,
         CALL(fetch_map)(context, EPLB_MAP_GPU_LOAD, EPLB_FLOAT64, load, LAYERS * GPUS, ERR));
  for (i = 0; i < LENGTH; i++) {
    CHECK((placed[i] >= 0) == (i % 4 < slots[i % SLOTS / 4]));
    CHECK((listed[i] >= 0) == (i % SLOTS < 11));
  }
  CHECK(load[1] == 0 && load[GPUS + 1] == 0);
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  EXPECT(EPLB_OK, CALL(evaluate)(context, &in.problem, placed, LENGTH, EPLB_INT64, &report,
                                 imbalance, NULL, duplicates, LAYERS, ERR));
  CHECK(report.gap_mean >= 0 && report.experts_on_one_gpu > 0);
  placed[5] = 1;
  REFUSED(EPLB_INVALID_PLACEMENT,
          CALL(evaluate)(context, &in.problem, placed, LENGTH, EPLB_INT64, &report, NULL, NULL,
                         NULL, 0, ERR),
          "layer 0", "slot 5", "must be -1", "GPU 1 has 0 of 4");
  CALL(context_destroy)(context);
}

static void who_needs_equal_gpus_says_so(void) {
  static const int64_t slots[GPUS] = {4, 4, 4, 3};
  static const double speeds[GPUS] = {1, 1, 1, 2};
  eplb_context *context = context_make(1);
  eplb_problem problem = in.problem;
  eplb_solve_options options = in.options;
  if (context == NULL || !input_upload(context, &in)) return;
  options.strategy = EPLB_STRATEGY_GREEDY;
  EXPECT(EPLB_OK, upload(context, NULL, speeds, NULL));
  INVALID(CALL(solve)(context, &problem, &options, ERR), "greedy", "speeds");
  EXPECT(EPLB_OK, upload(context, slots, NULL, NULL));
  EXPECT(EPLB_OK, CALL(solve)(context, &problem, &options, ERR));
  problem.num_nodes = problem.num_groups = 2;
  problem.policy = EPLB_POLICY_HIERARCHICAL;
  INVALID(CALL(solve)(context, &problem, &options, ERR), "equal nodes", "GPU 3 has 3", "GPU 1");
  INVALID(CALL(context_reserve)(context, EPLB_INT32, 1, LAYERS, EXPERTS, &problem, &options, ERR),
          "equal nodes");
  problem.policy = EPLB_POLICY_GLOBAL;
  EXPECT(EPLB_OK,
         CALL(context_reserve)(context, EPLB_INT32, 1, LAYERS, EXPERTS, &problem, &options, ERR));
  options.max_replicas = 1;
  INVALID(CALL(context_reserve)(context, EPLB_INT32, 1, LAYERS, EXPERTS, &problem, &options, ERR),
          "max_replicas is 1", "15 slots of 8");
  CALL(context_destroy)(context);
}

void rules_cluster(void) {
  test_begin("the input of the tests of clusters");
  in = input_make(EPLB_INT32, LAYERS, EXPERTS, SLOTS, GPUS, 29);
  test_end();
  RUN(arrays_of_equal_gpus_change_nothing);
  RUN(values_are_checked);
  RUN(what_does_not_fit_the_problem_is_refused);
  RUN(a_failed_upload_keeps_the_one_before);
  RUN(closed_slots_hold_nothing);
  RUN(who_needs_equal_gpus_says_so);
  input_free(&in);
}
