/* Weights of windows: what is refused by name, how long they stay, and what they do to solves that
 * balance every window. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"

enum { WINDOWS = 4, LAYERS = 3, EXPERTS = 16, SLOTS = 24, GPUS = 6, LENGTH = LAYERS * SLOTS };
enum { ROW = LAYERS * EXPERTS, MOST_WINDOWS = 64 };

/* [T,L,E] lies in memory like [T*L,E]. Under any policy but AUTO. */
static input of_windows(int64_t windows, eplb_policy policy) {
  input in = input_make(EPLB_FLOAT64, LAYERS * windows, EXPERTS, SLOTS, GPUS, 31);
  in.windows = windows;
  in.layers = LAYERS;
  in.problem.objective = EPLB_OBJECTIVE_WINDOWS;
  in.problem.policy = policy;
  in.problem.num_nodes = policy == EPLB_POLICY_GLOBAL ? 1 : 2;
  in.problem.num_groups = policy == EPLB_POLICY_GLOBAL ? 1 : 4;
  in.problem.off_home_target = 1.1;
  return in;
}

static void set_weights(input *in, const double *weights) {
  size_t bytes = (size_t)in->windows * sizeof *weights;
  free(in->window_weights);
  in->window_weights = malloc(bytes);
  memcpy(in->window_weights, weights, bytes);
}

/* The windows that `keep` names by one bit each, as an input of their own, without weights. */
static input only(const input *in, int keep) {
  int64_t windows = 0, t;
  input some;
  for (t = 0; t < in->windows; t++) windows += keep >> t & 1;
  some = of_windows(windows, in->problem.policy);
  for (windows = t = 0; t < in->windows; t++)
    if (keep >> t & 1)
      memcpy((double *)some.weights + windows++ * ROW, (double *)in->weights + t * ROW,
             ROW * sizeof(double));
  return some;
}

/* Whether two inputs have one answer, fresh and from a placement. */
static int same_answers(const input *one, const input *other) {
  int64_t current[LENGTH], answers[2][LENGTH], i;
  int which, same = 1;
  for (i = 0; i < LENGTH; i++) current[i] = i % SLOTS % EXPERTS;
  for (which = 0; same && which < 2; which++) {
    input first = *one, second = *other;
    const int64_t *from = which == 0 ? NULL : current;
    first.options.strategy = which == 0 ? EPLB_STRATEGY_BEST : EPLB_STRATEGY_REBALANCE;
    second.options.strategy = first.options.strategy;
    same = input_placement(&first, from, answers[0]) &&
           input_placement(&second, from, answers[1]) &&
           CHECK(memcmp(answers[0], answers[1], sizeof answers[0]) == 0);
  }
  return same;
}

static int have_other_answers(const input *one, const input *other) {
  int64_t answers[2][LENGTH];
  return input_placement(one, NULL, answers[0]) && input_placement(other, NULL, answers[1]) &&
         memcmp(answers[0], answers[1], sizeof answers[0]) != 0;
}

/* ---- What is refused. */

static void values_are_checked(void) {
  double weights[MOST_WINDOWS + 1] = {1, 1, 1};
  eplb_context *context = context_make(1);
  if (context == NULL) return;
#define UPLOAD(windows) CALL(upload_window_weights)(context, weights, windows, ERR)
  INVALID(UPLOAD(0), "num_windows", "0", "1");
  INVALID(UPLOAD(-1), "num_windows", "-1", "1");
  INVALID(UPLOAD(MOST_WINDOWS + 1), "num_windows", "65", "64");
  EXPECT(EPLB_OK, UPLOAD(MOST_WINDOWS));
  weights[2] = NAN;
  INVALID(UPLOAD(3), "weights[window 2]", "NaN", "at least 0");
  weights[2] = -1;
  INVALID(UPLOAD(3), "weights[window 2]", "negative");
  weights[2] = INFINITY;
  INVALID(UPLOAD(3), "weights[window 2]", "infinite");
  memset(weights, 0, sizeof weights);
  INVALID(UPLOAD(3), "weights", "0 in all windows");
  weights[1] = 4e-324; /* small is not none */
  EXPECT(EPLB_OK, UPLOAD(3));
  EXPECT(EPLB_OK, CALL(upload_window_weights)(context, NULL, -7, ERR));
#undef UPLOAD
  CALL(context_destroy)(context);
}

static void there_must_be_one_for_each_window(void) {
  static const double ones[] = {1, 1, 1, 1, 1};
  input in = of_windows(WINDOWS, EPLB_POLICY_GLOBAL);
  eplb_context *context = context_solved(&in);
  int64_t placement[LENGTH], i;
  if (context == NULL) return;
  EXPECT(EPLB_OK, CALL(upload_window_weights)(context, ones, 5, ERR));
  INVALID(CALL(solve)(context, &in.problem, &in.options, ERR), "4 windows", "weights for 5",
          "eplb_upload_window_weights");
  INVALID(CALL(context_reserve)(context, in.dtype, WINDOWS, LAYERS, EXPERTS, &in.problem,
                                &in.options, ERR),
          "4 windows", "weights for 5");
  EXPECT(EPLB_OK, CALL(context_reserve)(context, in.dtype, 5, LAYERS, EXPERTS, &in.problem,
                                        &in.options, ERR));
  if (!input_upload(context, &in)) return;
  for (i = 0; i < LENGTH; i++) placement[i] = i % SLOTS % EXPERTS;
  EXPECT(EPLB_OK, CALL(evaluate)(context, &in.problem, placement, LENGTH, EPLB_INT64, NULL, NULL,
                                 NULL, NULL, 0, ERR));
  in.problem.objective = EPLB_OBJECTIVE_SUM;
  input_solve(context, &in);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* ---- How long they stay. */

static void they_stay_until_the_next(void) {
  static const double weights[] = {1, 0, 0, 4};
  input in = of_windows(WINDOWS, EPLB_POLICY_GLOBAL),
        weighted = of_windows(WINDOWS, in.problem.policy);
  eplb_context *context = context_solved(&in), *other;
  plan without, with;
  set_weights(&weighted, weights);
  other = context_solved(&weighted);
  if (!CHECK(plan_fetch(&without, context, &in)) || !CHECK(plan_fetch(&with, other, &weighted)))
    return;
  CHECK(without.fingerprint != with.fingerprint);
  EXPECT(EPLB_OK, CALL(upload_window_weights)(context, weights, WINDOWS, ERR));
  plan_is_gone(context);
  if (input_upload_and_solve(context, &in)) plan_still_there(&with, context, &in);
  INVALID(CALL(upload_window_weights)(context, weights, 0, ERR), "num_windows");
  plan_still_there(&with, context, &in);
  if (input_upload_and_solve(context, &in)) plan_still_there(&with, context, &in);
  EXPECT(EPLB_OK, CALL(upload_window_weights)(context, NULL, 0, ERR));
  plan_is_gone(context);
  if (input_solve(context, &in)) plan_still_there(&without, context, &in);
  plan_free(&without);
  plan_free(&with);
  CALL(context_destroy)(context);
  CALL(context_destroy)(other);
  input_free(&in);
  input_free(&weighted);
}

static void the_sum_does_not_know_them(void) {
  static const double weights[] = {1, 0, 0, 4};
  input in = of_windows(WINDOWS, EPLB_POLICY_GLOBAL),
        weighted = of_windows(WINDOWS, in.problem.policy);
  set_weights(&weighted, weights);
  in.problem.objective = weighted.problem.objective = EPLB_OBJECTIVE_SUM;
  same_answers(&in, &weighted);
  input_free(&in);
  input_free(&weighted);
}

/* ---- What they mean. */

/* For all policies that windows are balanced under. */
static void for_all_policies(void (*check)(eplb_policy policy)) {
  eplb_policy policy;
  for (policy = EPLB_POLICY_HIERARCHICAL; policy <= EPLB_POLICY_SOFT; policy++) check(policy);
}

static void equal_weights(eplb_policy policy) {
  static const double equal[] = {0.7, 0.7, 0.7, 0.7};
  input in = of_windows(WINDOWS, policy), weighted = of_windows(WINDOWS, policy);
  set_weights(&weighted, equal);
  same_answers(&in, &weighted);
  input_free(&in);
  input_free(&weighted);
}

static void ratios(eplb_policy policy) {
  static const double weights[] = {5, 1, 0, 3}, more[] = {15, 3, 0, 9};
  input in = of_windows(WINDOWS, policy), same = of_windows(WINDOWS, policy);
  set_weights(&in, weights);
  set_weights(&same, more);
  same_answers(&in, &same);
  input_free(&in);
  input_free(&same);
}

/* Windows without weight, or with less than the last step, are not there: the answer is that for the
 * others, which matter as much as each other; of the only one that is left, that for it alone. */
static void without_weight(eplb_policy policy) {
  static const double none[] = {0, 0x1p-18};
  input in = of_windows(WINDOWS, policy);
  int keep, t;
  for (keep = 1; keep < 1 << WINDOWS; keep += 1 + (policy != EPLB_POLICY_GLOBAL)) {
    double weights[WINDOWS];
    input some = only(&in, keep);
    for (t = 0; t < WINDOWS; t++) weights[t] = keep >> t & 1 ? 3 : 3 * none[t & 1];
    set_weights(&in, weights);
    same_answers(&in, &some);
    input_free(&some);
  }
  input_free(&in);
}

/* The same of windows that matter differently. */
static void left_out_of_others(eplb_policy policy) {
  static const double with[] = {2, 0, 5, 1}, others[] = {2, 5, 1};
  input in = of_windows(WINDOWS, policy), some = only(&in, 13);
  set_weights(&in, with);
  set_weights(&some, others);
  same_answers(&in, &some);
  input_free(&in);
  input_free(&some);
}

static void equal_weights_are_none(void) { for_all_policies(equal_weights); }
static void only_ratios_matter(void) { for_all_policies(ratios); }
static void a_window_without_weight_is_left_out(void) {
  for_all_policies(without_weight);
  for_all_policies(left_out_of_others);
}

/* The smallest share that counts is 2^-16. */
static void the_last_step(void) {
  static const double small[] = {1, 0x1p-16, 1, 1};
  input in = of_windows(WINDOWS, EPLB_POLICY_GLOBAL), some = only(&in, 13);
  set_weights(&in, small);
  CHECK(have_other_answers(&in, &some));
  input_free(&in);
  input_free(&some);
}

/* Windows without load in a layer do not matter there, whatever they weigh. */
static void a_layer_with_one_window_is_solved_as_alone(void) {
  static const double weights[] = {8, 0.5, 4, 2};
  input in = of_windows(WINDOWS, EPLB_POLICY_GLOBAL), alone;
  int64_t t;
  for (t = 0; t < WINDOWS; t++)
    if (t != 1) memset((double *)in.weights + t * ROW, 0, ROW * sizeof(double));
  alone = only(&in, 2);
  set_weights(&in, weights);
  same_answers(&in, &alone);
  input_free(&in);
  input_free(&alone);
}

static double imbalance_of(eplb_context *context, int64_t window) {
  double figures[LAYERS * WINDOWS], sum = 0;
  int64_t layer;
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_WINDOW_IMBALANCE, EPLB_FLOAT64, figures,
                                  LAYERS * WINDOWS, ERR));
  for (layer = 0; layer < LAYERS; layer++) sum += figures[layer * WINDOWS + window];
  return sum / LAYERS;
}

/* The more a window matters, the better it is balanced: at the expense of the others. */
static void what_matters_more_is_better_balanced(void) {
  static const double steps[] = {0, 1. / 16, 1. / 4, 1, 16};
  enum { STEPS = sizeof steps / sizeof *steps };
  int64_t window, t;
  for (window = 0; window < WINDOWS; window++) {
    double own[STEPS];
    int step;
    for (step = 0; step < STEPS; step++) {
      input in = of_windows(WINDOWS, EPLB_POLICY_GLOBAL);
      double weights[WINDOWS];
      eplb_context *context;
      for (t = 0; t < WINDOWS; t++) weights[t] = t == window ? steps[step] : 1;
      set_weights(&in, weights);
      context = context_solved(&in);
      if (context == NULL || !invariants_hold(context, &in, NULL)) return;
      own[step] = imbalance_of(context, window);
      if (step > 0) CHECK(own[step] < own[step - 1]);
      CALL(context_destroy)(context);
      input_free(&in);
    }
  }
}

/* Figures are about loads, whatever they matter. */
static void figures_do_not_depend_on_them(void) {
  static const double weights[] = {1, 0, 9, 4};
  input in = of_windows(WINDOWS, EPLB_POLICY_SOFT);
  eplb_context *context = context_make(1);
  eplb_report report[2];
  double figures[2][2][LAYERS * WINDOWS];
  int64_t placement[LENGTH], i;
  if (context == NULL || !input_upload(context, &in)) return;
  for (i = 0; i < LENGTH; i++) placement[i] = i % SLOTS % EXPERTS;
  for (i = 0; i < 2; i++) {
    EXPECT(EPLB_OK, CALL(upload_window_weights)(context, i ? weights : NULL, WINDOWS, ERR));
    EXPECT(EPLB_OK, CALL(report_init)(&report[i], sizeof report[i], ERR));
    EXPECT(EPLB_OK, CALL(evaluate)(context, &in.problem, placement, LENGTH, EPLB_INT64, &report[i],
                                   NULL, NULL, NULL, 0, ERR));
    EXPECT(EPLB_OK, CALL(evaluate_windows)(context, &in.problem, placement, LENGTH, EPLB_INT64,
                                           figures[i][0], figures[i][1], LAYERS * WINDOWS, ERR));
  }
  report_same(&report[0], &report[1]);
  CHECK(report[0].windows_mean == report[1].windows_mean);
  CHECK(memcmp(figures[0], figures[1], sizeof figures[0]) == 0);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* A fading memory of as many windows as are kept. */
static void weights_that_fade(void) {
  input in = of_windows(MOST_WINDOWS, EPLB_POLICY_GLOBAL);
  double weights[MOST_WINDOWS];
  eplb_context *context;
  int64_t t;
  for (t = 0; t < MOST_WINDOWS; t++) weights[t] = pow(0.8, (double)(MOST_WINDOWS - 1 - t));
  set_weights(&in, weights);
  context = context_solved(&in);
  if (context != NULL) invariants_hold(context, &in, NULL);
  CALL(context_destroy)(context);
  input_free(&in);
}

void rules_window_weights(void) {
  RUN(values_are_checked);
  RUN(there_must_be_one_for_each_window);
  RUN(they_stay_until_the_next);
  RUN(the_sum_does_not_know_them);
  RUN(equal_weights_are_none);
  RUN(only_ratios_matter);
  RUN(a_window_without_weight_is_left_out);
  RUN(the_last_step);
  RUN(a_layer_with_one_window_is_solved_as_alone);
  RUN(what_matters_more_is_better_balanced);
  RUN(figures_do_not_depend_on_them);
  RUN(weights_that_fade);
}
