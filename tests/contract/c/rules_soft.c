/* What the policy of soft groups does with prices of one's own, and with options that are those of
 * REBALANCE elsewhere. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"
#include "off_home.h"

enum { LAYERS = 3, EXPERTS = 16, SLOTS = 24, GPUS = 6, LENGTH = LAYERS * SLOTS };
enum { NODES = 3, GROUPS = 6 };

/* 3 nodes of 2 GPUs, 6 groups that do not divide 16 experts. */
static input soft_input(void) {
  input in = input_make(EPLB_INT32, LAYERS, EXPERTS, SLOTS, GPUS, 83);
  in.problem.num_nodes = NODES;
  in.problem.num_groups = GROUPS;
  in.problem.policy = EPLB_POLICY_SOFT;
  in.problem.off_home_target = 1.05;
  return in;
}

/* Prices that say where groups are at home: 0 there and 1 elsewhere. The plan has these homes, and
 * what it pays is the share that is away from them. */
static void prices_that_are_homes(void) {
  input in = soft_input();
  eplb_context *context;
  int64_t homes[GROUPS], group, node;
  eplb_report report;
  plan without, with;
  in.layers = 1; /* others have other homes */
  context = context_solved(&in);
  if (context == NULL || !invariants_hold(context, &in, &without)) return;
  off_home_of(&in, NULL, 0, without.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL], homes);
  input_set_prices(&in, GROUPS, 1);
  for (group = 0; group < GROUPS; group++)
    for (node = 0; node < NODES; node++) in.prices[node * GROUPS + group] = node != homes[group];
  if (!input_upload_and_solve(context, &in) || !invariants_hold(context, &in, &with)) return;
  CHECK(with.report.off_home_mean > 0);
  CHECK(with.report.imbalance_mean <= in.problem.off_home_target);
  EXPECT(EPLB_OK, CALL(upload_prices)(context, NULL, 0, 0, 0, ERR));
  input_evaluate(context, &in, with.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL], &report);
  CLOSE(report.off_home_mean, with.report.off_home_mean, 1e-12);
  /* These homes may be more on a node than its share, as which they are not tried otherwise. */
  CHECK(with.report.off_home_mean <= without.report.off_home_mean);
  plan_free(&without);
  plan_free(&with);
  CALL(context_destroy)(context);
  input_free(&in);
}

enum { RACK_NODES = 4, RACK_GROUPS = 8 };

/* Two racks of two nodes, each home to two groups; the other rack costs 4. */
static void set_racks(input *in, double same_rack) {
  int64_t node, group;
  for (node = 0; node < RACK_NODES; node++)
    for (group = 0; group < RACK_GROUPS; group++) {
      int64_t home = group / 2;
      double away = node / 2 == home / 2 ? same_rack : 4;
      in->prices[node * RACK_GROUPS + group] = node == home ? 0 : away;
    }
}

/* What leaves home stays in the rack if it can. */
static void racks_are_kept_to(void) {
  input in = input_make(EPLB_FLOAT32, 4, 64, 96, 16, 90);
  eplb_context *context = context_make(1);
  double paid[2];
  int near;
  in.problem.num_nodes = RACK_NODES;
  in.problem.num_groups = RACK_GROUPS;
  in.problem.policy = EPLB_POLICY_SOFT;
  input_set_prices(&in, RACK_GROUPS, 1);
  for (near = 0; near < 2; near++) {
    eplb_report report;
    plan p;
    set_racks(&in, near ? 1 : 4);
    if (!input_upload_and_solve(context, &in) || !plan_fetch(&p, context, &in)) return;
    CHECK(p.report.imbalance_worst <= in.problem.off_home_target);
    set_racks(&in, 1);
    input_upload_tables(context, &in);
    input_evaluate(context, &in, p.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL], &report);
    paid[near] = report.off_home_mean;
    plan_free(&p);
  }
  CHECK(paid[1] > 0 && paid[1] < 0.8 * paid[0]);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Where any balance will do and there is room, no more is paid than has to be. */
static void the_least_is_paid_where_balance_does_not_matter(void) {
  input in = soft_input();
  eplb_context *context;
  plan p;
  in.problem.num_slots = GPUS * EXPERTS;
  in.problem.off_home_target = 1024;
  in.options.allow_empty = 1;
  input_set_prices(&in, EXPERTS, 5);
  context = context_solved(&in);
  if (context == NULL || !plan_fetch(&p, context, &in)) return;
  CHECK(p.report.off_home_bound_mean > 0);
  CLOSE(p.report.off_home_bound_mean, p.report.off_home_mean, 1e-9);
  plan_free(&p);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* ---- Options that the policy knows under other strategies, too. */

static int64_t empty_slots(eplb_context *context, const input *in) {
  int64_t placement[LENGTH], i, count = 0;
  if (!input_fetch(context, in, placement)) return -1;
  for (i = 0; i < LENGTH; i++) count += placement[i] < 0;
  return count;
}

static void best_may_leave_slots_empty(void) {
  input in = soft_input();
  eplb_context *context = context_make(1);
  eplb_report filled, emptied;
  plan before;
  EXPECT(EPLB_OK, CALL(report_init)(&filled, sizeof filled, ERR));
  EXPECT(EPLB_OK, CALL(report_init)(&emptied, sizeof emptied, ERR));
  if (!input_upload_and_solve(context, &in)) return;
  EQUAL(0, empty_slots(context, &in));
  EXPECT(EPLB_OK, CALL(fetch_report)(context, &filled, ERR));
  in.options.allow_empty = 1;
  if (!input_solve(context, &in)) return;
  CHECK(empty_slots(context, &in) > 0);
  EXPECT(EPLB_OK, CALL(fetch_report)(context, &emptied, ERR));
  CHECK(emptied.imbalance_worst <= in.problem.off_home_target);
  CHECK(emptied.off_home_mean <= filled.off_home_mean);
  in.options.allow_empty = 2;
  INVALID(CALL(solve)(context, &in.problem, &in.options, ERR), "allow_empty", "2");
  /* Without the policy it has no meaning. */
  in.problem.policy = EPLB_POLICY_GLOBAL;
  in.options.allow_empty = 0;
  if (!input_solve(context, &in) || !plan_fetch(&before, context, &in)) return;
  in.options.allow_empty = 1;
  if (input_solve(context, &in)) plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* -1 and 0 are off_home_target for REBALANCE, and BEST does not look at it. */
static void a_target_of_its_own(void) {
  input in = soft_input();
  eplb_context *context = context_solved(&in);
  int64_t current[LENGTH], i;
  eplb_report tight, wide;
  plan before;
  if (context == NULL || !plan_fetch(&before, context, &in)) return;
  for (in.options.target = 0; in.options.target <= 1.2; in.options.target += 1.2)
    if (input_solve(context, &in)) plan_still_there(&before, context, &in);
  plan_free(&before);
  for (i = 0; i < LENGTH; i++) current[i] = i % SLOTS % EXPERTS;
  in.options.strategy = EPLB_STRATEGY_REBALANCE;
  in.options.target = in.problem.off_home_target;
  EXPECT(EPLB_OK, CALL(upload_placement)(context, current, LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
  if (!input_solve(context, &in) || !plan_fetch(&before, context, &in)) return;
  tight = before.report;
  for (in.options.target = -1; in.options.target <= 0; in.options.target++)
    if (input_solve(context, &in)) plan_still_there(&before, context, &in);
  plan_free(&before);
  in.options.target = 1.5;
  EXPECT(EPLB_OK, CALL(report_init)(&wide, sizeof wide, ERR));
  if (input_solve(context, &in)) EXPECT(EPLB_OK, CALL(fetch_report)(context, &wide, ERR));
  EQUAL(0, wide.layers_missed);
  CHECK(tight.imbalance_worst < wide.imbalance_worst && wide.imbalance_worst <= 1.5);
  CALL(context_destroy)(context);
  input_free(&in);
}

void rules_soft(void) {
  RUN(prices_that_are_homes);
  RUN(racks_are_kept_to);
  RUN(the_least_is_paid_where_balance_does_not_matter);
  RUN(best_may_leave_slots_empty);
  RUN(a_target_of_its_own);
}
