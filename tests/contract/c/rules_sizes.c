/* Sizes that do not fit each other are refused with the numbers and the nearest legal value. */
#include <stdlib.h>

#include "harness.h"
#include "invariants.h"

static input in;
static eplb_context *context;

static eplb_problem problem_of(int64_t slots, int64_t gpus, int64_t nodes, int64_t groups,
                               eplb_policy policy) {
  eplb_problem problem = in.problem;
  problem.num_slots = slots;
  problem.num_gpus = gpus;
  problem.num_nodes = nodes;
  problem.num_groups = groups;
  problem.policy = policy;
  return problem;
}

static eplb_status solve(int64_t slots, int64_t gpus, int64_t nodes, int64_t groups,
                         eplb_policy policy, eplb_error *err) {
  eplb_problem problem = problem_of(slots, gpus, nodes, groups, policy);
  return CALL(solve)(context, &problem, NULL, err);
}

/* 24 experts were uploaded. */
static void slots_that_do_not_fit(void) {
  INVALID(solve(290, 32, 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_slots", "290", "num_gpus", "32",
          "288", "320");
  INVALID(solve(20, 4, 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_slots", "20", "24");
  INVALID(solve(20, 5, 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_slots", "20", "24", "25");
  INVALID(solve(26, 5, 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_slots", "26", "num_gpus", "5", "25",
          "30");
  INVALID(solve(25, 8, 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_slots", "25", "num_gpus", "8", "24",
          "32");
}

/* The nearest legal value must be one: 24 is below the number of experts when 32 were uploaded. */
static void nearest_values_are_legal_themselves(void) {
  input wide = input_make(EPLB_FLOAT32, 1, 33, 40, 8, 3);
  eplb_context *other = context_make(1);
  if (other != NULL && input_upload(other, &wide)) {
    wide.problem.num_slots = 34;
    INVALID(CALL(solve)(other, &wide.problem, NULL, ERR), "num_slots", "34", "num_gpus", "8", "40");
    CHECK(!test_has_failed());
    wide.problem.num_slots = 40;
    EXPECT(EPLB_OK, CALL(solve)(other, &wide.problem, NULL, ERR));
  }
  CALL(context_destroy)(other);
  input_free(&wide);
}

static void zero_and_negative_sizes(void) {
  static const int64_t bad[] = {0, -1, -24, INT64_MIN};
  size_t i;
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    INVALID(solve(bad[i], 4, 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_slots");
    INVALID(solve(24, bad[i], 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_gpus");
    INVALID(solve(24, 4, bad[i], 1, EPLB_POLICY_HIERARCHICAL, ERR), "num_nodes");
    INVALID(solve(24, 4, bad[i], 1, EPLB_POLICY_AUTO, ERR), "num_nodes");
    INVALID(solve(24, 4, bad[i], 1, EPLB_POLICY_SOFT, ERR), "num_nodes");
    if (bad[i] != 0) INVALID(solve(24, 4, 1, bad[i], EPLB_POLICY_SOFT, ERR), "num_groups");
    if (bad[i] != 0) INVALID(solve(24, 4, 1, bad[i], EPLB_POLICY_HIERARCHICAL, ERR), "num_groups");
    INVALID(CALL(upload_weights)(context, in.weights, 48, in.dtype, bad[i], 2, 24, ERR),
            "num_windows");
    INVALID(CALL(upload_weights)(context, in.weights, 48, in.dtype, 1, bad[i], 24, ERR),
            "num_layers");
    INVALID(CALL(upload_weights)(context, in.weights, 48, in.dtype, 1, 2, bad[i], ERR),
            "num_experts");
    INVALID(CALL(context_reserve)(context, in.dtype, bad[i], 2, 24, &in.problem, NULL, ERR),
            "num_windows");
    INVALID(CALL(context_reserve)(context, in.dtype, 1, bad[i], 24, &in.problem, NULL, ERR),
            "num_layers");
    INVALID(CALL(context_reserve)(context, in.dtype, 1, 2, bad[i], &in.problem, NULL, ERR),
            "num_experts");
  }
}

static void hierarchies_that_do_not_fit(void) {
  INVALID(solve(48, 6, 4, 4, EPLB_POLICY_HIERARCHICAL, ERR), "num_gpus", "6", "num_nodes", "4");
  INVALID(solve(48, 8, 4, 6, EPLB_POLICY_HIERARCHICAL, ERR), "num_groups", "6", "num_nodes", "4");
  INVALID(solve(50, 10, 5, 5, EPLB_POLICY_HIERARCHICAL, ERR), "num_groups", "5", "num_experts",
          "24");
  INVALID(solve(96, 48, 1, 48, EPLB_POLICY_HIERARCHICAL, ERR), "num_groups", "48", "24");
  INVALID(solve(48, 8, INT64_MAX - 1, 5, EPLB_POLICY_HIERARCHICAL, ERR), "num_groups", "5",
          "num_nodes");
  INVALID(solve(48, 8, 1, INT64_MAX - 1, EPLB_POLICY_HIERARCHICAL, ERR), "num_experts", "24",
          "num_groups");
  INVALID(solve(48, 8, INT64_MAX - 2, INT64_MAX, EPLB_POLICY_HIERARCHICAL, ERR), "num_groups",
          "num_nodes");
  INVALID(solve(48, 6, 4, 4, EPLB_POLICY_AUTO, ERR), "num_gpus", "6", "num_nodes", "4");
  INVALID(solve(50, 10, 5, 5, EPLB_POLICY_AUTO, ERR), "num_groups", "5", "24");
}

/* What the policy does not look at cannot be wrong: the published program behaves so. A soft policy
 * takes any nodes and groups. */
static void other_policies_need_no_divisors(void) {
  EXPECT(EPLB_OK, solve(48, 6, 4, 5, EPLB_POLICY_GLOBAL, ERR));
  EXPECT(EPLB_OK, solve(48, 6, 4, 5, EPLB_POLICY_AUTO, ERR));
  EXPECT(EPLB_OK, solve(48, 8, 8, 4, EPLB_POLICY_AUTO, ERR));
  EXPECT(EPLB_OK, solve(48, 6, 1, 0, EPLB_POLICY_HIERARCHICAL, ERR));
  EXPECT(EPLB_OK, solve(48, 6, 1, 0, EPLB_POLICY_AUTO, ERR));
  EXPECT(EPLB_OK, solve(48, 6, 4, 5, EPLB_POLICY_SOFT, ERR));
  EXPECT(EPLB_OK, solve(48, 8, 3, 7, EPLB_POLICY_SOFT, ERR));
  EXPECT(EPLB_OK, solve(50, 5, 9, 100, EPLB_POLICY_SOFT, ERR));
  EXPECT(EPLB_OK, solve(48, 6, 1, 0, EPLB_POLICY_SOFT, ERR));
}

static void policies_as_the_published_rule_has_them(void) {
  static const int64_t shapes[][4] = {
      {48, 8, 2, 4}, {48, 8, 4, 2}, {24, 24, 2, 2}, {24, 1, 1, 8}, {48, 16, 8, 8}};
  size_t i;
  int policy;
  for (i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (policy = EPLB_POLICY_AUTO; policy <= EPLB_POLICY_SOFT; policy++) {
      input one = in;
      if (policy == EPLB_POLICY_HIERARCHICAL && shapes[i][3] % shapes[i][2] != 0) continue;
      one.problem = problem_of(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], policy);
      if (input_solve(context, &one)) invariants_hold(context, &one, NULL);
    }
}

/* Products beyond int64 and sizes beyond any memory: named, never wrapped, never a crash. */
static void impossible_sizes(void) {
  const int64_t huge = (int64_t)1 << 62, large = (int64_t)1 << 31;
  eplb_status status;
  INVALID(CALL(upload_weights)(context, in.weights, 48, in.dtype, large, large, large, ERR),
          "num_");
  INVALID(CALL(upload_weights)(context, in.weights, 0, in.dtype, 1, huge, 4, ERR), "num_");
  INVALID(CALL(upload_weights)(context, in.weights, INT64_MAX, EPLB_FLOAT64, 1, INT64_MAX, 1, ERR),
          "num_");
  INVALID(CALL(upload_weights)(context, in.weights, 48, in.dtype, 1, INT64_MAX, 24, ERR), "num_");
  INVALID(solve(huge, 1, 1, 1, EPLB_POLICY_GLOBAL, ERR), "num_slots"); /* 2 layers x 2^62 slots */
  INVALID(CALL(context_reserve)(context, EPLB_FLOAT64, large, large, large, &in.problem, NULL, ERR),
          "num_");
  if (HARNESS_SANITIZED) return; /* its operator new dies where the real one throws */
  status = solve((int64_t)1 << 50, 1 << 20, 1, 1, EPLB_POLICY_GLOBAL, ERR);
  CHECK(status == EPLB_OUT_OF_MEMORY || status == EPLB_INVALID_ARGUMENT);
  status =
      CALL(context_reserve)(context, EPLB_FLOAT64, 1, (int64_t)1 << 40, 24, &in.problem, NULL, ERR);
  CHECK(status == EPLB_OUT_OF_MEMORY || status == EPLB_INVALID_ARGUMENT);
}

/* Every expert has a price on every node: more of them than can be numbered were written out of
 * bounds. */
static void prices_are_limited(void) {
  const int64_t many = (int64_t)1 << 17;
  eplb_problem problem = problem_of(many, many, many, many, EPLB_POLICY_SOFT);
  INVALID(CALL(context_reserve)(context, EPLB_FLOAT32, 1, 1, many, &problem, NULL, ERR),
          "num_nodes * num_experts", "131072 * 131072", "2^26");
  problem.num_nodes = (int64_t)1 << 62;
  problem.num_slots = problem.num_gpus = 4;
  EXPECT(EPLB_OK, CALL(context_reserve)(context, EPLB_FLOAT32, 1, 1, 4, &problem, NULL, ERR));
}

static void lengths_name_both_numbers(void) {
  INVALID(CALL(upload_weights)(context, in.weights, 47, in.dtype, 1, 2, 24, ERR), "weights_length",
          "47", "48");
  INVALID(CALL(upload_weights)(context, in.weights, 48, in.dtype, 2, 2, 24, ERR), "weights_length",
          "48", "96");
  INVALID(CALL(upload_weights)(context, in.weights, -48, in.dtype, 1, 2, 24, ERR), "weights_length",
          "-48", "48");
}

static void threads_and_devices_that_cannot_be(void) {
  static const int64_t bad[] = {0, -1, INT64_MIN};
  eplb_context_options options;
  eplb_context *none = NULL;
  size_t i;
  EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    options.num_threads = bad[i];
    INVALID(CALL(context_create)(&none, &options, ERR), "num_threads");
  }
  options.num_threads = 1;
  options.device_index = 1;
  REFUSED(EPLB_NO_DEVICE, CALL(context_create)(&none, &options, ERR), "device", "1");
  options.device_index = -1;
  CHECK(CALL(context_create)(&none, &options, ERR) != EPLB_OK);
  CHECK(none == NULL);
}

static void the_context_works_after_all_that(void) {
  EXPECT(EPLB_OK, CALL(upload_weights)(context, in.weights, 48, in.dtype, 1, 2, 24, ERR));
  if (input_solve(context, &in)) invariants_hold(context, &in, NULL);
}

void rules_sizes(void) {
  test_begin("the input of the size tests");
  in = input_make(EPLB_FLOAT32, 2, 24, 48, 8, 5);
  context = context_solved(&in);
  CHECK(context != NULL);
  test_end();
  if (context == NULL) return;
  RUN(slots_that_do_not_fit);
  RUN(nearest_values_are_legal_themselves);
  RUN(zero_and_negative_sizes);
  RUN(hierarchies_that_do_not_fit);
  RUN(other_policies_need_no_divisors);
  RUN(policies_as_the_published_rule_has_them);
  RUN(impossible_sizes);
  RUN(prices_are_limited);
  RUN(lengths_name_both_numbers);
  RUN(threads_and_devices_that_cannot_be);
  RUN(the_context_works_after_all_that);
  CALL(context_destroy)(context);
  input_free(&in);
}
