/* Homes of groups: what is away from them and how much has to be, and the policy that keeps groups
 * at home. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"
#include "off_home.h"

enum { LAYERS = 3, EXPERTS = 16, SLOTS = 24, GPUS = 6, LENGTH = LAYERS * SLOTS };
enum { MOST_EXPERTS = 5, MOST_SLOTS = 8, MOST_GPUS = 4 };

/* One layer, and what is known of it. */
static const struct known {
  const char *name;
  int64_t experts, slots, gpus, nodes, groups;
  float weights[MOST_EXPERTS];
  int64_t row[MOST_SLOTS];
  double target;
  off_home want;
} cases[] = {
    {"whole groups at home", 4, 4, 2, 2, 2, {1, 2, 3, 4}, {0, 1, 2, 3}, 1.01, {0, 0.7 - 1.01 / 2}},
    {"one node", 4, 6, 2, 1, 2, {1, 2, 3, 4}, {0, 1, 2, 3, 0, 1}, 1, {0, 0}},
    {"a replica away", 4, 8, 4, 2, 2, {6, 2, 4, 4}, {0, 1, 0, 1, 2, 3, 0, 2}, 1.01, {2. / 16, 0}},
    {"more nodes", 3, 6, 3, 3, 1, {3, 3, 6}, {0, 1, 1, 2, 2, 0}, 1.5, {7.5 / 12, 1 - 0.5}},
    {"groups of 3 and 2", 5, 6, 2, 2, 2, {1, 1, 2, 5, 1}, {0, 1, 2, 3, 4, 2}, 1, {.1, 0.6 - 0.5}},
    {"more groups than experts", 2, 4, 2, 2, 5, {3, 5}, {0, 1, 0, 1}, 1.01, {0.5, 1 - 1.01 / 2}},
    {"nodes of 2 and 1", 3, 3, 3, 2, 3, {1, 1, 4}, {0, 1, 2}, 1, {0, 4. / 6 - 1. / 3}},
    {"no groups are one", 2, 4, 2, 2, 0, {3, 1}, {0, 1, 0, 0}, 1.01, {2. / 4, 1 - 1.01 / 2}},
    {"no load", 2, 4, 2, 2, 2, {0, 0}, {0, 1, 1, 0}, 1.01, {0, 0}},
};

/* The same with GPUs that differ: in speed, of which that of a GPU without slots is none, in slots
 * and in nodes. */
static const struct unequal {
  struct known of;
  int64_t slots[MOST_GPUS], nodes[MOST_GPUS];
  double speeds[MOST_GPUS];
} unequal_cases[] = {
    {{"a dead GPU", 4, 6, 3, 2, 2, {4, 4, 1, 1}, {0, 1, -1, -1, 2, 3}, 1.2, {0, 0.8 - 1.2 / 4}},
     {2, 0, 2},
     {0, 1, 1},
     {1, 9, 3}},
    {{"a GPU that hardly counts", 2, 2, 2, 2, 2, {1, 1}, {0, 1}, 1024, {0, 0.5 - 1024. / 65537}},
     {1, 1},
     {0, 1},
     {1, 1e-9}},
    {{"nodes in any order", 4, 8, 4, 2, 2, {6, 2, 4, 4}, {0, 1, 2, 3, 0, 1, 2, 0}, 1, {2. / 16, 0}},
     {2, 2, 2, 2},
     {1, 0, 1, 0},
     {1, 1, 1, 1}},
};

static input input_of_case(const struct known *known) {
  input in = input_of(known->weights, known->experts, known->slots, known->gpus);
  in.problem.num_nodes = known->nodes;
  in.problem.num_groups = known->groups;
  in.problem.off_home_target = known->target;
  return in;
}

static void check_case(const struct known *known, const cluster *gpus) {
  input in = input_of_case(known);
  eplb_context *context = context_make(1);
  eplb_report report;
  off_home want = known->want, found = off_home_of(&in, gpus, 0, known->row, NULL);
  test_begin(known->name);
  if (gpus != NULL)
    EXPECT(EPLB_OK,
           CALL(upload_cluster)(context, gpus->slots, gpus->speeds, gpus->nodes, known->gpus, ERR));
  if (input_upload(context, &in) && input_evaluate(context, &in, known->row, &report)) {
    off_home_agrees(want, report.off_home_mean, report.off_home_bound_mean);
    off_home_agrees(found, report.off_home_mean, report.off_home_bound_mean);
    CHECK(report.off_home_worst == report.off_home_mean);
  }
  test_end();
  CALL(context_destroy)(context);
  input_free(&in);
}

static void known_answers(void) {
  size_t i;
  for (i = 0; i < sizeof cases / sizeof *cases; i++) check_case(&cases[i], NULL);
  for (i = 0; i < sizeof unequal_cases / sizeof *unequal_cases; i++) {
    const struct unequal *one = &unequal_cases[i];
    const cluster gpus = {one->slots, one->speeds, one->nodes};
    check_case(&one->of, &gpus);
  }
}

/* ---- Every placement of a small problem: 4 experts on 2 nodes of 2 GPUs and 1. */

enum { PLACEMENTS = 4096, ALL_EXPERTS = 4, ALL_SLOTS = 6, ALL_GPUS = 3, ALL_HOMES = 4 };

static int row_of(int number, int64_t *row) {
  int seen = 0, s;
  for (s = 0; s < ALL_SLOTS; s++, number /= ALL_EXPERTS) {
    row[s] = number % ALL_EXPERTS;
    seen |= 1 << row[s];
  }
  return seen == (1 << ALL_EXPERTS) - 1;
}

/* By the homes of both groups: the bound, and the least share of all that are level enough. */
static int bounds_hold(eplb_context *context, const input *in, const cluster *gpus) {
  double bound[ALL_HOMES] = {0}, least[ALL_HOMES] = {1, 1, 1, 1};
  int64_t row[ALL_SLOTS], homes[2];
  int number, which, compared = 0;
  for (number = 0; number < PLACEMENTS; number++) {
    eplb_report report;
    if (!row_of(number, row)) continue;
    if (!input_evaluate(context, in, row, &report)) return 0;
    if (!off_home_agrees(off_home_of(in, gpus, 0, row, homes), report.off_home_mean,
                         report.off_home_bound_mean))
      return 0;
    which = (int)(2 * homes[0] + homes[1]);
    bound[which] = fmax(bound[which], report.off_home_bound_mean);
    if (report.imbalance_mean <= in->problem.off_home_target)
      least[which] = fmin(least[which], report.off_home_mean);
  }
  for (which = 0; which < ALL_HOMES; which++) {
    CHECK(bound[which] <= least[which]);
    compared += bound[which] > 0 && least[which] < 1;
  }
  return compared;
}

static void no_level_placement_is_below_the_bound(void) {
  static const float weights[][ALL_EXPERTS] = {{7, 3, 3, 3}, {8, 8, 1, 1}, {5, 4, 9, 2}};
  static const double targets[] = {1.05, 1.2, 1.5}, speeds[] = {1, 2, 1.5};
  const cluster gpus = {NULL, speeds, NULL};
  int i, unequal, compared = 0;
  for (unequal = 0; unequal < 2; unequal++) {
    eplb_context *context = context_make(1);
    if (unequal) EXPECT(EPLB_OK, CALL(upload_cluster)(context, NULL, speeds, NULL, ALL_GPUS, ERR));
    for (i = 0; i < 3; i++) {
      input in = input_of(weights[i], ALL_EXPERTS, ALL_SLOTS, ALL_GPUS);
      in.problem.num_nodes = in.problem.num_groups = 2;
      in.problem.off_home_target = targets[i];
      if (input_upload(context, &in)) compared += bounds_hold(context, &in, unequal ? &gpus : NULL);
      input_free(&in);
    }
    CALL(context_destroy)(context);
  }
  CHECK(compared > 0);
}

/* ---- The target and the policy. */

/* 4 nodes of 6 GPUs, 5 groups of 16 experts: nothing divides anything. */
static input uneven_input(int64_t windows) {
  input in = input_make(EPLB_INT32, LAYERS * windows, EXPERTS, SLOTS, GPUS, 71);
  in.windows = windows;
  in.layers = LAYERS;
  in.problem.num_nodes = 4;
  in.problem.num_groups = 5;
  in.problem.policy = EPLB_POLICY_SOFT;
  return in;
}

static void targets_out_of_range_are_named(void) {
  static const struct {
    double target;
    const char *text;
  } bad[] = {{0.999, "999 / 1000"}, {0, "0 / 1000"},
             {-1, "-1000 / 1000"},  {1024.001, "1024001 / 1000"},
             {INFINITY, " / 1000"}, {-INFINITY, " / 1000"},
             {NAN, "NaN"}};
  static const double good[] = {1, 1.01, 1024};
  input in = uneven_input(1);
  eplb_context *context = context_solved(&in);
  eplb_policy policy;
  size_t i;
  plan p;
  if (context == NULL || !plan_fetch(&p, context, &in)) return;
#define NAMED(call) INVALID(call, "off_home_target", bad[i].text, "1 to 1024")
  for (policy = EPLB_POLICY_GLOBAL; policy <= EPLB_POLICY_SOFT; policy++)
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
      eplb_problem problem = in.problem;
      problem.policy = policy;
      problem.off_home_target = bad[i].target;
      NAMED(CALL(solve)(context, &problem, NULL, ERR));
      NAMED(CALL(context_reserve)(context, in.dtype, 1, LAYERS, EXPERTS, &problem, NULL, ERR));
      NAMED(CALL(evaluate)(context, &problem, p.ints[0], LENGTH, EPLB_INT64, NULL, NULL, NULL, NULL,
                           0, ERR));
      EXPECT(EPLB_OK, CALL(plan_transfers)(context, &problem, 0, p.ints[0], p.ints[0], NULL, NULL,
                                           NULL, LENGTH, EPLB_INT64, NULL, ERR));
    }
#undef NAMED
  plan_still_there(&p, context, &in);
  plan_free(&p);
  for (i = 0; i < sizeof good / sizeof *good; i++) {
    in.problem.off_home_target = good[i];
    if (input_solve(context, &in)) invariants_hold(context, &in, NULL);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

static void strategies_without_homes_say_who_has_them(void) {
  static const char *const names[EPLB_STRATEGY_BEST] = {
      "greedy", "lpt_swap", "l2_swap", "random_restarts", "noise_spectrum", "hybrid_init"};
  input in = uneven_input(1);
  eplb_context *context = context_make(1);
  eplb_strategy strategy;
  if (context == NULL || !input_upload(context, &in)) return;
#define UNAVAILABLE(call, ...) REFUSED(EPLB_UNAVAILABLE, call, __VA_ARGS__)
  for (strategy = EPLB_STRATEGY_GREEDY; strategy < EPLB_STRATEGY_BEST; strategy++) {
    in.options.strategy = strategy;
    UNAVAILABLE(CALL(solve)(context, &in.problem, &in.options, ERR), "EPLB_POLICY_SOFT",
                names[strategy], "EPLB_STRATEGY_BEST", "EPLB_STRATEGY_REBALANCE");
    UNAVAILABLE(
        CALL(context_reserve)(context, in.dtype, 1, LAYERS, EXPERTS, &in.problem, &in.options, ERR),
        "EPLB_POLICY_SOFT", names[strategy]);
  }
  in.problem.policy = EPLB_POLICY_SOFT + 1;
  UNAVAILABLE(CALL(solve)(context, &in.problem, NULL, ERR), "policy", "4");
#undef UNAVAILABLE
  CALL(context_destroy)(context);
  input_free(&in);
}

/* The policy does not change how a placement is judged, and of the figures the target changes the
 * bound alone. */
static void figures_do_not_depend_on_the_policy(void) {
  input in = uneven_input(1);
  eplb_context *context;
  double before = 1;
  int i;
  plan p;
  in.problem.policy = EPLB_POLICY_GLOBAL;
  context = context_solved(&in);
  if (context == NULL || !invariants_hold(context, &in, &p)) return;
  CHECK(p.report.off_home_mean > 0);
  for (i = 0; i < 4; i++) {
    eplb_report global, soft;
    in.problem.off_home_target = 1 + 0.25 * i;
    in.problem.policy = EPLB_POLICY_GLOBAL;
    input_evaluate(context, &in, p.ints[0], &global);
    in.problem.policy = EPLB_POLICY_SOFT;
    input_evaluate(context, &in, p.ints[0], &soft);
    EQUAL(EPLB_POLICY_SOFT, soft.policy);
    EQUAL(EPLB_POLICY_REASON_ASKED, soft.policy_reason);
    soft.policy = EPLB_POLICY_GLOBAL;
    report_same(&global, &soft);
    CHECK(soft.off_home_mean == p.report.off_home_mean);
    CHECK(soft.off_home_bound_mean < before && soft.off_home_bound_mean > 0);
    before = soft.off_home_bound_mean;
  }
  in.problem.policy = EPLB_POLICY_GLOBAL;
  if (input_solve(context, &in)) { /* the last of these targets changes no placement */
    int64_t row[LENGTH];
    EXPECT(EPLB_OK,
           CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, row, LENGTH, ERR));
    CHECK(memcmp(row, p.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL], sizeof row) == 0);
  }
  plan_free(&p);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Counts beyond all experts and GPUs mean that each has a group or a node of its own. */
static void counts_without_an_end(void) {
  input in = uneven_input(1);
  eplb_context *context = context_make(1);
  eplb_report each, huge;
  int64_t placement[LENGTH], i;
  for (i = 0; i < LENGTH; i++) placement[i] = i % SLOTS % EXPERTS;
  in.problem.num_nodes = GPUS;
  in.problem.num_groups = EXPERTS;
  if (input_upload(context, &in) && input_evaluate(context, &in, placement, &each)) {
    in.problem.num_nodes = in.problem.num_groups = INT64_MAX;
    input_evaluate(context, &in, placement, &huge);
    CHECK(each.off_home_mean > 0);
    report_same(&each, &huge);
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

/* What an older program's struct has no room for is 1.01, whatever lies behind it. */
static void older_programs_have_the_default(void) {
  static const int64_t sizes[] = {48, 56};
  input in = uneven_input(1);
  eplb_context *context = context_solved(&in);
  eplb_report now, other, report;
  size_t i;
  plan p;
  if (context == NULL || !plan_fetch(&p, context, &in)) return;
  input_evaluate(context, &in, p.ints[0], &now);
  in.problem.off_home_target = 1.5;
  input_evaluate(context, &in, p.ints[0], &other);
  CHECK(other.off_home_bound_mean < now.off_home_bound_mean);
  for (i = 0; i < 2; i++) {
    in.problem.struct_size = sizes[i];
    input_evaluate(context, &in, p.ints[0], &report);
    CHECK(report.off_home_bound_mean == now.off_home_bound_mean);
    if (input_solve(context, &in)) plan_still_there(&p, context, &in);
  }
  plan_free(&p);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void soft_plans_are_plans(void) {
  static const int64_t shapes[][2] = {{4, 5}, {2, 4}, {1, 1}, {5, 0}, {3, 40}};
  size_t shape;
  int64_t windows;
  for (shape = 0; shape < sizeof shapes / sizeof *shapes; shape++)
    for (windows = 1; windows <= 3; windows += 2) {
      input in = uneven_input(windows);
      in.problem.num_nodes = shapes[shape][0];
      in.problem.num_groups = shapes[shape][1];
      if (windows > 1) in.problem.objective = EPLB_OBJECTIVE_WINDOWS;
      invariants_hold_of_all_efforts(&in);
      input_free(&in);
    }
}

static void a_soft_rebalance_is_a_plan(void) {
  input in = uneven_input(1);
  eplb_context *context;
  plan p;
  in.problem.policy = EPLB_POLICY_GLOBAL;
  context = context_solved(&in);
  if (context == NULL || !plan_fetch(&p, context, &in)) return;
  in.problem.policy = EPLB_POLICY_SOFT;
  in.options.strategy = EPLB_STRATEGY_REBALANCE;
  EXPECT(EPLB_OK, CALL(upload_placement)(context, p.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL], LENGTH,
                                         EPLB_INT64, LAYERS, SLOTS, ERR));
  for (in.options.max_moves = -1; in.options.max_moves <= 3; in.options.max_moves += 2)
    if (input_solve(context, &in)) invariants_hold(context, &in, NULL);
  plan_free(&p);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Nodes that differ in GPUs, slots and speed. */
static void soft_plans_on_unequal_nodes(void) {
  static const int64_t slots[GPUS] = {4, 3, 0, 4, 4, 4}, nodes[GPUS] = {2, 0, 1, 0, 1, 0};
  static const double speeds[GPUS] = {1, 0.5, 1, 1.25, 1, 2};
  const cluster gpus = {slots, speeds, nodes};
  input in = uneven_input(1);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH], i;
  double share[LAYERS], bound[LAYERS];
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, slots, speeds, nodes, GPUS, ERR));
  if (!input_upload_and_solve(context, &in)) return;
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, placement,
                                  LENGTH, ERR));
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_OFF_HOME, EPLB_FLOAT64, share, LAYERS, ERR));
  EXPECT(EPLB_OK,
         CALL(fetch_map)(context, EPLB_MAP_OFF_HOME_BOUND, EPLB_FLOAT64, bound, LAYERS, ERR));
  for (i = 0; i < LENGTH; i++) CHECK((placement[i] >= 0) == (i % 4 < slots[i % SLOTS / 4]));
  for (i = 0; i < LAYERS; i++)
    off_home_agrees(off_home_of(&in, &gpus, i, placement + i * SLOTS, NULL), share[i], bound[i]);
  CALL(context_destroy)(context);
  input_free(&in);
}

void rules_off_home(void) {
  known_answers();
  RUN(no_level_placement_is_below_the_bound);
  RUN(targets_out_of_range_are_named);
  RUN(strategies_without_homes_say_who_has_them);
  RUN(figures_do_not_depend_on_the_policy);
  RUN(counts_without_an_end);
  RUN(older_programs_have_the_default);
  RUN(soft_plans_are_plans);
  RUN(a_soft_rebalance_is_a_plan);
  RUN(soft_plans_on_unequal_nodes);
}
