/* eplb_evaluate: anyone's placement is judged, what is none is refused by rule and place, the
 * solved plan is left alone. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"

enum { LAYERS = 2, EXPERTS = 8, SLOTS = 16, GPUS = 4, LENGTH = LAYERS * SLOTS };

static input in; /* hierarchical: 4 groups of 2 experts on 2 nodes of 2 GPUs of 4 slots */
static eplb_context *context;
static plan before;
static double imbalance[LAYERS], bound[LAYERS];
static int64_t duplicates[LAYERS];
static eplb_report report;

static eplb_status evaluate(const int64_t *placement, eplb_policy policy, eplb_error *err) {
  eplb_problem problem = in.problem;
  problem.policy = policy;
  return CALL(evaluate)(context, &problem, placement, LENGTH, EPLB_INT64, &report, imbalance, bound,
                        duplicates, LAYERS, err);
}

static void valid_placement(int64_t *placement) {
  static const int64_t row[SLOTS] = {0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7};
  memcpy(placement, row, sizeof row);
  memcpy(placement + SLOTS, row, sizeof row);
}

static void fill_outputs(void) {
  memset(imbalance, 0x5A, sizeof imbalance);
  memset(bound, 0x5A, sizeof bound);
  memset(duplicates, 0x5A, sizeof duplicates);
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
}

static int all_5a(const void *memory, size_t bytes) {
  const unsigned char *b = memory;
  while (bytes-- > 0)
    if (b[bytes] != 0x5A) return 0;
  return 1;
}

static int outputs_untouched(void) {
  eplb_report fresh;
  CALL(report_init)(&fresh, sizeof fresh, NULL);
  return all_5a(imbalance, sizeof imbalance) && all_5a(bound, sizeof bound) &&
         all_5a(duplicates, sizeof duplicates) && memcmp(&fresh, &report, sizeof report) == 0;
}

static void a_valid_placement_is_measured(void) {
  int64_t placement[LENGTH], g, k, layer;
  valid_placement(placement);
  placement[SLOTS + 1] = 0; /* a duplicate on GPU 0 of layer 1; expert 1 still sits on GPU 1 */
  fill_outputs();
  if (!EXPECT(EPLB_OK, evaluate(placement, EPLB_POLICY_HIERARCHICAL, ERR))) return;
  for (layer = 0; layer < LAYERS; layer++) {
    double count[EXPERTS] = {0}, total = 0, largest = 0;
    for (k = 0; k < SLOTS; k++) count[placement[layer * SLOTS + k]]++;
    for (g = 0; g < GPUS; g++) {
      double load = 0;
      for (k = g * 4; k < g * 4 + 4; k++) {
        int64_t expert = placement[layer * SLOTS + k];
        load += input_weight(&in, layer, expert) / count[expert];
      }
      total += load;
      largest = load > largest ? load : largest;
    }
    CLOSE(largest / (total / GPUS), imbalance[layer], 1e-12);
    CHECK(bound[layer] <= largest && bound[layer] >= total / GPUS * (1 - 1e-9));
    EQUAL(layer, duplicates[layer]);
  }
  EQUAL(-1, report.strategy);
  EQUAL(1, report.duplicates);
  EQUAL(EPLB_POLICY_HIERARCHICAL, report.policy);
  EQUAL(EPLB_POLICY_REASON_ASKED, report.policy_reason);
}

static void int32_placements_are_the_same(void) {
  int64_t wide[LENGTH];
  int32_t narrow[LENGTH];
  eplb_report first;
  int i;
  valid_placement(wide);
  for (i = 0; i < LENGTH; i++) narrow[i] = (int32_t)wide[i];
  fill_outputs();
  EXPECT(EPLB_OK, evaluate(wide, EPLB_POLICY_GLOBAL, ERR));
  first = report;
  in.problem.policy = EPLB_POLICY_GLOBAL;
  EXPECT(EPLB_OK, CALL(evaluate)(context, &in.problem, narrow, LENGTH, EPLB_INT32, &report, NULL,
                                 NULL, NULL, LAYERS, ERR));
  report_same(&first, &report);
  narrow[SLOTS + 3] = INT32_MIN;
  REFUSED(EPLB_INVALID_PLACEMENT,
          CALL(evaluate)(context, &in.problem, narrow, LENGTH, EPLB_INT32, &report, NULL, NULL,
                         NULL, LAYERS, ERR),
          "layer 1", "slot 3", "-2147483648");
  in.problem.policy = EPLB_POLICY_HIERARCHICAL;
}

static void ids_out_of_range(void) {
  static const struct {
    int64_t id;
    const char *text;
  } bad[] = {{-2, "-2"},
             {EXPERTS, "8"},
             {INT64_MAX, "9223372036854775807"},
             {INT64_MIN, "-9223372036854775808"},
             {((int64_t)1 << 32) + 1, "4294967297"}};
  int64_t placement[LENGTH];
  size_t i;
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    valid_placement(placement);
    placement[SLOTS + 5] = bad[i].id;
    fill_outputs();
    REFUSED(EPLB_INVALID_PLACEMENT, evaluate(placement, EPLB_POLICY_GLOBAL, ERR), "layer 1",
            "slot 5", bad[i].text);
    CHECK(outputs_untouched());
  }
}

static void experts_without_a_replica(void) {
  int64_t placement[LENGTH], i;
  valid_placement(placement);
  for (i = SLOTS; i < LENGTH; i++)
    if (placement[i] == 6) placement[i] = 7;
  fill_outputs();
  REFUSED(EPLB_INVALID_PLACEMENT, evaluate(placement, EPLB_POLICY_GLOBAL, ERR), "layer 1",
          "expert 6");
  REFUSED(EPLB_INVALID_PLACEMENT, evaluate(placement, EPLB_POLICY_HIERARCHICAL, ERR), "layer 1",
          "expert 6");
  CHECK(outputs_untouched());
}

/* A cap makes bounds larger, and placements with more replicas of an expert invalid. */
static void replicas_above_the_cap(void) {
  static const float weights[8] = {300, 280, 60, 50, 40, 30, 20, 20};
  static const int64_t most[16] = {0, 7, 1, 6, 2, 5, 3, 4, 4, 3, 5, 2, 6, 1, 7, 0};
  int64_t placement[16];
  input capped = input_of(weights, 8, 16, 8);
  eplb_report of_cap;
  memcpy(placement, most, sizeof placement);
  if (!input_upload(context, &capped)) return;
  EXPECT(EPLB_OK, CALL(report_init)(&of_cap, sizeof of_cap, ERR));
#define EVALUATE_CAPPED() \
  CALL(evaluate)          \
  (context, &capped.problem, placement, 16, EPLB_INT64, &of_cap, NULL, NULL, NULL, 0, ERR)
  EXPECT(EPLB_OK, EVALUATE_CAPPED());
  CLOSE(0.6, of_cap.gap_mean, 1e-9);
  capped.problem.max_replicas = 2;
  EXPECT(EPLB_OK, EVALUATE_CAPPED());
  CLOSE(1.6, of_cap.imbalance_mean, 1e-12);
  CHECK(of_cap.gap_mean >= 0 && of_cap.gap_mean < 1e-11);
  placement[1] = 0;
  REFUSED(EPLB_INVALID_PLACEMENT, EVALUATE_CAPPED(), "layer 0", "3 replicas of expert 0",
          "max_replicas is 2");
#undef EVALUATE_CAPPED
  input_upload_and_solve(context, &in);
  input_free(&capped);
}

static void replicas_off_their_node(void) {
  int64_t placement[LENGTH];
  valid_placement(placement);
  placement[SLOTS + 12] = 0; /* expert 4 keeps slot 8; expert 0 now sits on both nodes */
  fill_outputs();
  REFUSED(EPLB_INVALID_PLACEMENT, evaluate(placement, EPLB_POLICY_HIERARCHICAL, ERR), "layer 1",
          "node");
  CHECK(outputs_untouched());
  EXPECT(EPLB_OK, evaluate(placement, EPLB_POLICY_GLOBAL, ERR));
}

static void nodes_with_more_groups_than_their_share(void) {
  static const int64_t row[SLOTS] = {0, 1, 2, 3, 4, 5, 0, 1, 6, 7, 6, 7, 6, 7, 6, 7};
  int64_t placement[LENGTH];
  valid_placement(placement);
  memcpy(placement + SLOTS, row, sizeof row);
  fill_outputs();
  REFUSED(EPLB_INVALID_PLACEMENT, evaluate(placement, EPLB_POLICY_HIERARCHICAL, ERR), "layer 1",
          "node");
  CHECK(outputs_untouched());
  EXPECT(EPLB_OK, evaluate(placement, EPLB_POLICY_GLOBAL, ERR));
}

/* Groups may sit on any node, as long as each keeps to one. */
static void nodes_may_be_swapped(void) {
  int64_t placement[LENGTH], swapped[LENGTH], i;
  valid_placement(placement);
  for (i = 0; i < LENGTH; i++) swapped[i] = placement[i / SLOTS * SLOTS + (i + 8) % SLOTS];
  EXPECT(EPLB_OK, evaluate(swapped, EPLB_POLICY_HIERARCHICAL, ERR));
}

static void arguments_are_checked(void) {
  int64_t placement[LENGTH];
  eplb_problem bad = in.problem;
  eplb_report zero;
  memset(&zero, 0, sizeof zero);
  valid_placement(placement);
  fill_outputs();
#define EVALUATE(c, problem, where, length, dtype, r, layers) \
  CALL(evaluate)(c, problem, where, length, dtype, r, imbalance, bound, duplicates, layers, ERR)
  INVALID(EVALUATE(NULL, &in.problem, placement, LENGTH, EPLB_INT64, &report, LAYERS), "context");
  INVALID(EVALUATE(context, NULL, placement, LENGTH, EPLB_INT64, &report, LAYERS), "problem");
  INVALID(EVALUATE(context, &in.problem, NULL, LENGTH, EPLB_INT64, &report, LAYERS), "placement");
  INVALID(EVALUATE(context, &in.problem, placement, LENGTH - 1, EPLB_INT64, &report, LAYERS),
          "placement_length", "31", "32");
  INVALID(EVALUATE(context, &in.problem, placement, LENGTH, EPLB_FLOAT64, &report, LAYERS),
          "dtype");
  INVALID(EVALUATE(context, &in.problem, placement, LENGTH, EPLB_INT64, &report, 3),
          "layers_length", "3", "2");
  INVALID(EVALUATE(context, &in.problem, placement, LENGTH, EPLB_INT64, &zero, LAYERS), "report",
          "struct_size");
  bad.num_gpus = 3;
  bad.policy = EPLB_POLICY_GLOBAL;
  INVALID(EVALUATE(context, &bad, placement, LENGTH, EPLB_INT64, &report, LAYERS), "num_slots",
          "16", "num_gpus", "3");
#undef EVALUATE
  CHECK(outputs_untouched());
}

static void evaluation_does_not_need_a_solve(void) {
  int64_t placement[LENGTH], buffer[LENGTH];
  eplb_context *fresh = context_make(1);
  valid_placement(placement);
  if (fresh == NULL || !input_upload(fresh, &in)) return;
  EXPECT(EPLB_OK, CALL(evaluate)(fresh, &in.problem, placement, LENGTH, EPLB_INT64, NULL, imbalance,
                                 NULL, NULL, LAYERS, ERR));
  EXPECT(EPLB_OK, CALL(evaluate)(fresh, &in.problem, placement, LENGTH, EPLB_INT64, NULL, NULL,
                                 bound, NULL, LAYERS, ERR));
  EXPECT(EPLB_OK, CALL(evaluate)(fresh, &in.problem, placement, LENGTH, EPLB_INT64, NULL, NULL,
                                 NULL, duplicates, LAYERS, ERR));
  CHECK(imbalance[0] >= 1 && bound[0] > 0 && duplicates[0] == 0);
  REFUSED(EPLB_INVALID_STATE, CALL(fetch_map)(fresh, 0, EPLB_INT64, buffer, LENGTH, ERR),
          "eplb_solve");
  CALL(context_destroy)(fresh);
}

static void the_solved_plan_is_left_alone(void) { plan_still_there(&before, context, &in); }

void rules_evaluation(void) {
  int ready;
  test_begin("the input of the evaluation tests");
  in = input_make(EPLB_INT32, LAYERS, EXPERTS, SLOTS, GPUS, 19);
  in.problem.num_nodes = 2;
  in.problem.num_groups = 4;
  in.problem.policy = EPLB_POLICY_HIERARCHICAL;
  context = context_solved(&in);
  ready = CHECK(context != NULL && invariants_hold(context, &in, &before));
  test_end();
  if (!ready) return;
  RUN(a_valid_placement_is_measured);
  RUN(int32_placements_are_the_same);
  RUN(ids_out_of_range);
  RUN(experts_without_a_replica);
  RUN(replicas_above_the_cap);
  RUN(replicas_off_their_node);
  RUN(nodes_with_more_groups_than_their_share);
  RUN(nodes_may_be_swapped);
  RUN(arguments_are_checked);
  RUN(evaluation_does_not_need_a_solve);
  RUN(the_solved_plan_is_left_alone);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}
