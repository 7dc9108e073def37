/* Prices of one's own: what is refused by name, how long they stay, what they mean for figures and
 * for the policy that keeps to them. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"
#include "off_home.h"

enum { LAYERS = 3, EXPERTS = 16, SLOTS = 24, GPUS = 6, LENGTH = LAYERS * SLOTS };
enum { NODES = 3, GROUPS = 6 };

/* 3 nodes of 2 GPUs, 6 groups that do not divide 16 experts. */
static input soft_input(int64_t windows) {
  input in = input_make(EPLB_INT32, LAYERS * windows, EXPERTS, SLOTS, GPUS, 83);
  in.windows = windows;
  in.layers = LAYERS;
  in.problem.num_nodes = NODES;
  in.problem.num_groups = GROUPS;
  in.problem.policy = EPLB_POLICY_SOFT;
  in.problem.off_home_target = 1.05;
  return in;
}

/* With the prices of soft_input by group. */
static input priced_input(void) {
  input in = soft_input(1);
  input_set_prices(&in, GROUPS, 7);
  return in;
}

static eplb_status upload(eplb_context *context, const double *prices, int64_t columns) {
  return CALL(upload_prices)(context, prices, NODES * columns, NODES, columns, ERR);
}

/* Whether two inputs have one answer, fresh and from a placement. */
static int same_answers(const input *one, const input *other) {
  int64_t current[LENGTH], i;
  int which, same = 1;
  for (i = 0; i < LENGTH; i++) current[i] = (i % SLOTS * 7 + 3) % EXPERTS;
  for (which = 0; same && which < 2; which++) {
    eplb_context *contexts[2] = {context_make(1), context_make(1)};
    const input *inputs[2] = {one, other};
    plan plans[2];
    for (i = 0; same && i < 2; i++) {
      input in = *inputs[i];
      if (which == 1) {
        in.options.strategy = EPLB_STRATEGY_REBALANCE;
        EXPECT(EPLB_OK, CALL(upload_placement)(contexts[i], current, LENGTH, EPLB_INT64, LAYERS,
                                               SLOTS, ERR));
      }
      same = input_upload_and_solve(contexts[i], &in) && plan_fetch(&plans[i], contexts[i], &in);
    }
    same = same && plan_same(&plans[0], &plans[1]);
    for (i = 0; i < 2; i++) {
      plan_free(&plans[i]);
      CALL(context_destroy)(contexts[i]);
    }
  }
  return same;
}

/* ---- What is refused. */

static void values_are_checked(void) {
  double prices[6] = {1, 1, 1, 1, 1, 1};
  eplb_context *context = context_make(1);
  int64_t most = 1 << 18;
  if (context == NULL) return;
#define UPLOAD(length, nodes, columns) \
  CALL(upload_prices)(context, prices, length, nodes, columns, ERR)
  INVALID(UPLOAD(6, 0, 6), "num_nodes", "0", "1");
  INVALID(UPLOAD(6, 6, 0), "num_columns", "0", "1");
  INVALID(UPLOAD(6, -1, -6), "num_nodes", "-1", "1");
  INVALID(UPLOAD(6, 2, -3), "num_columns", "-3", "1");
  INVALID(UPLOAD(6, most + 1, 1), "num_nodes", "262145", "262144");
  INVALID(UPLOAD(6, 1, most + 1), "num_columns", "262145", "262144");
  INVALID(UPLOAD(5, 2, 3), "prices_length", "5", "num_nodes * num_columns = 2 * 3 = 6");
  INVALID(UPLOAD(6, most, most), "prices_length", "6", "68719476736");
  prices[5] = NAN;
  INVALID(UPLOAD(6, 2, 3), "prices[node 1, column 2]", "NaN", "at least 0");
  prices[5] = -0.5;
  INVALID(UPLOAD(6, 2, 3), "prices[node 1, column 2]", "negative");
  prices[5] = -INFINITY;
  INVALID(UPLOAD(6, 3, 2), "prices[node 2, column 1]", "negative");
  prices[5] = INFINITY;
  INVALID(UPLOAD(6, 1, 6), "prices[node 0, column 5]", "infinite");
  memset(prices, 0, sizeof prices);
  INVALID(UPLOAD(6, 2, 3), "prices", "0 on all nodes");
  prices[4] = 4e-324; /* small is not none */
  EXPECT(EPLB_OK, UPLOAD(6, 2, 3));
  EXPECT(EPLB_OK, CALL(upload_prices)(context, NULL, -7, -7, -7, ERR));
#undef UPLOAD
  CALL(context_destroy)(context);
}

/* By all calls that solve or judge; and by none that has another policy. */
static void what_does_not_fit_is_refused(void) {
  input in = soft_input(1);
  eplb_context *context = context_solved(&in);
  double prices[4 * EXPERTS];
  int64_t i;
  plan p;
  if (context == NULL || !plan_fetch(&p, context, &in)) return;
  for (i = 0; i < 4 * EXPERTS; i++) prices[i] = 1;
#define REFUSED_BY_ALL(...)                                                                     \
  INVALID(CALL(solve)(context, &in.problem, &in.options, ERR), __VA_ARGS__);                    \
  INVALID(CALL(context_reserve)(context, in.dtype, 1, LAYERS, EXPERTS, &in.problem, NULL, ERR), \
          __VA_ARGS__);                                                                         \
  INVALID(CALL(evaluate)(context, &in.problem, p.ints[0], LENGTH, EPLB_INT64, NULL, NULL, NULL, \
                         NULL, 0, ERR),                                                         \
          __VA_ARGS__)
  EXPECT(EPLB_OK, CALL(upload_prices)(context, prices, 4 * EXPERTS, 4, EXPERTS, ERR));
  REFUSED_BY_ALL("num_nodes is 3", "4 nodes", "eplb_upload_prices");
  EXPECT(EPLB_OK, upload(context, prices, 5));
  REFUSED_BY_ALL("5 columns", "16", "each expert", "6", "each group");
#undef REFUSED_BY_ALL
  in.problem.policy = EPLB_POLICY_GLOBAL;
  input_solve(context, &in);
  EXPECT(EPLB_OK, CALL(evaluate)(context, &in.problem, p.ints[0], LENGTH, EPLB_INT64, NULL, NULL,
                                 NULL, NULL, 0, ERR));
  in.problem.policy = EPLB_POLICY_SOFT;
  in.problem.num_groups = 5;
  input_solve(context, &in);
  EXPECT(EPLB_OK, upload(context, prices, EXPERTS));
  input_solve(context, &in);
  plan_free(&p);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* ---- How long they stay. */

static void they_stay_until_the_next(void) {
  input in = soft_input(1), priced = priced_input();
  eplb_context *context = context_solved(&in), *other = context_solved(&priced);
  plan without, with;
  if (!CHECK(plan_fetch(&without, context, &in)) || !CHECK(plan_fetch(&with, other, &priced)))
    return;
  CHECK(without.fingerprint != with.fingerprint);
  EXPECT(EPLB_OK, upload(context, priced.prices, GROUPS));
  plan_is_gone(context);
  if (input_upload_and_solve(context, &in)) plan_still_there(&with, context, &in);
  if (input_upload_and_solve(context, &in)) plan_still_there(&with, context, &in);
  EXPECT(EPLB_OK, CALL(upload_prices)(context, NULL, 0, 0, 0, ERR));
  plan_is_gone(context);
  if (input_solve(context, &in)) plan_still_there(&without, context, &in);
  plan_free(&without);
  plan_free(&with);
  CALL(context_destroy)(context);
  CALL(context_destroy)(other);
  input_free(&in);
  input_free(&priced);
}

static void a_failed_upload_keeps_the_ones_before(void) {
  input in = priced_input();
  eplb_context *context = context_solved(&in);
  double bad[NODES * GROUPS] = {1, -1};
  plan before;
  if (context == NULL || !plan_fetch(&before, context, &in)) return;
  INVALID(upload(context, bad, GROUPS), "prices[node 0, column 1]");
  INVALID(CALL(upload_prices)(context, bad, 2, 1, 1, ERR), "prices_length");
  plan_still_there(&before, context, &in);
  if (input_solve(context, &in)) plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* The caller's array is copied. */
static void they_belong_to_the_context(void) {
  input in = priced_input();
  eplb_context *context = context_solved(&in);
  plan before;
  if (context == NULL || !plan_fetch(&before, context, &in)) return;
  memset(in.prices, 0xFF, NODES * GROUPS * sizeof *in.prices);
  plan_still_there(&before, context, &in);
  if (input_solve(context, &in)) plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void other_policies_ignore_them(void) {
  input in = soft_input(1), priced = priced_input();
  eplb_policy policy;
  in.problem.num_groups = priced.problem.num_groups = 8; /* neither groups nor experts: 6 columns */
  in.problem.num_nodes = priced.problem.num_nodes = 2;
  for (policy = EPLB_POLICY_AUTO; policy <= EPLB_POLICY_GLOBAL; policy++) {
    in.problem.policy = priced.problem.policy = policy;
    same_answers(&in, &priced);
  }
  input_free(&in);
  input_free(&priced);
}

/* ---- What is paid. */

enum { KNOWN_EXPERTS = 4, KNOWN_SLOTS = 8, KNOWN_GPUS = 4 };

/* Group 0 is experts 0 and 1; nodes are GPUs 0, 1 and 2, 3; expert 0 is on node 0 alone, 2 on both:
 * 3 times on node 1, once on 0. */
static void known_answers(void) {
  static const float weights[KNOWN_EXPERTS] = {6, 2, 8, 4};
  static const int64_t row[KNOWN_SLOTS] = {0, 1, 0, 2, 2, 3, 2, 2};
  static const double by_group[] = {0, 6, 4, 2}, by_expert[] = {1, 8, 2, 0, 0, 0, 8, 8};
  static const int64_t one_slot_each[] = {2, 2, 0, 0};
  input in = input_of(weights, KNOWN_EXPERTS, KNOWN_SLOTS, KNOWN_GPUS);
  eplb_context *context = context_make(1);
  eplb_report report;
  int64_t drained[KNOWN_SLOTS] = {0, 1, 2, 3, -1, -1, -1, -1};
  in.problem.num_nodes = in.problem.num_groups = 2;
  in.problem.policy = EPLB_POLICY_SOFT;
  if (context == NULL || !input_upload(context, &in)) return;
  EXPECT(EPLB_OK, CALL(upload_prices)(context, by_group, 4, 2, 2, ERR));
  if (input_evaluate(context, &in, row, &report)) { /* 8 * 0 + 2 * 6 + 6 * 2 + 4 * 2 of 20 * 6 */
    CLOSE(32. / 120, report.off_home_mean, 1e-12);
    CLOSE(24. / 120, report.off_home_bound_mean, 1e-9);
    CHECK(report.off_home_worst == report.off_home_mean);
  }
  EXPECT(EPLB_OK, CALL(upload_prices)(context, by_expert, 8, 2, 4, ERR));
  if (input_evaluate(context, &in, row,
                     &report)) { /* 6 * 1 + 2 * 8 + 2 * 2 + 6 * 8 + 4 * 8 of 20 * 8 */
    CLOSE(106. / 160, report.off_home_mean, 1e-12);
    CLOSE(16. / 160, report.off_home_bound_mean, 1e-9);
  }
  /* A node without slots is cheap for nobody. */
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, one_slot_each, NULL, NULL, KNOWN_GPUS, ERR));
  if (input_evaluate(context, &in, drained, &report)) { /* 6 * 1 + 2 * 8 + 8 * 2 + 4 * 0 */
    CLOSE(38. / 160, report.off_home_mean, 1e-12);
    CLOSE(38. / 160, report.off_home_bound_mean, 1e-9);
  }
  in.problem.policy = EPLB_POLICY_GLOBAL;
  if (input_evaluate(context, &in, drained, &report)) CHECK(report.off_home_mean == 0);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Of any shape, by expert and by group, and whatever is solved. */
static void priced_plans_are_plans(void) {
  static const int64_t shapes[][3] = {{3, 6, 16}, {3, 6, 6},   {2, 0, 1}, {1, 1, 16},
                                      {6, 5, 5},  {3, 40, 40}, {9, 3, 3}};
  size_t shape;
  int64_t windows;
  for (shape = 0; shape < sizeof shapes / sizeof *shapes; shape++)
    for (windows = 1; windows <= 3; windows += 2) {
      input in = soft_input(windows);
      in.problem.num_nodes = shapes[shape][0];
      in.problem.num_groups = shapes[shape][1];
      if (windows > 1) in.problem.objective = EPLB_OBJECTIVE_WINDOWS;
      input_set_prices(&in, shapes[shape][2], shape + 11);
      invariants_hold_of_all_efforts(&in);
      input_free(&in);
    }
}

static void a_priced_rebalance_is_a_plan(void) {
  input in = priced_input();
  eplb_context *context = context_make(1);
  int64_t current[LENGTH], i;
  for (i = 0; i < LENGTH; i++) current[i] = i % SLOTS % EXPERTS;
  in.options.strategy = EPLB_STRATEGY_REBALANCE;
  EXPECT(EPLB_OK, CALL(upload_placement)(context, current, LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
  for (in.options.max_moves = -1; in.options.max_moves <= 3; in.options.max_moves += 2)
    if (input_upload_and_solve(context, &in)) invariants_hold(context, &in, NULL);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void priced_plans_on_unequal_nodes(void) {
  static const int64_t slots[GPUS] = {4, 3, 0, 4, 4, 4}, nodes[GPUS] = {2, 0, 1, 0, 1, 0};
  static const double speeds[GPUS] = {1, 0.5, 1, 1.25, 1, 2};
  const cluster gpus = {slots, speeds, nodes};
  input in = priced_input();
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH], i;
  double share[LAYERS], bound[LAYERS];
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, slots, speeds, nodes, GPUS, ERR));
  if (!input_upload_and_solve(context, &in) || !input_fetch(context, &in, placement)) return;
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_OFF_HOME, EPLB_FLOAT64, share, LAYERS, ERR));
  EXPECT(EPLB_OK,
         CALL(fetch_map)(context, EPLB_MAP_OFF_HOME_BOUND, EPLB_FLOAT64, bound, LAYERS, ERR));
  for (i = 0; i < LENGTH; i++) CHECK((placement[i] >= 0) == (i % 4 < slots[i % SLOTS / 4]));
  for (i = 0; i < LAYERS; i++)
    off_home_agrees(off_home_of(&in, &gpus, i, placement + i * SLOTS, NULL), share[i], bound[i]);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* ---- What the policy does with them. */

/* By expert what they are by group; three times as much. */
static void only_ratios_of_each_expert_matter(void) {
  input in = priced_input(), same = soft_input(1), more = priced_input();
  int64_t node, e;
  input_set_prices(&same, EXPERTS, 1);
  for (node = 0; node < NODES; node++)
    for (e = 0; e < EXPERTS; e++)
      same.prices[node * EXPERTS + e] = in.prices[node * GROUPS + e * GROUPS / EXPERTS];
  for (node = 0; node < NODES * GROUPS; node++) more.prices[node] *= 3;
  same_answers(&in, &same);
  same_answers(&in, &more);
  input_free(&in);
  input_free(&same);
  input_free(&more);
}

void rules_prices(void) {
  RUN(values_are_checked);
  RUN(what_does_not_fit_is_refused);
  RUN(they_stay_until_the_next);
  RUN(a_failed_upload_keeps_the_ones_before);
  RUN(they_belong_to_the_context);
  RUN(other_policies_ignore_them);
  RUN(known_answers);
  RUN(priced_plans_are_plans);
  RUN(a_priced_rebalance_is_a_plan);
  RUN(priced_plans_on_unequal_nodes);
  RUN(only_ratios_of_each_expert_matter);
}
