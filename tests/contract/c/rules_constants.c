/* A constant that this version does not know is refused by name, with its number. Above the known
 * range a later version may know it: EPLB_UNAVAILABLE. */
#include <string.h>

#include "harness.h"
#include "plan.h"

static const int32_t unknown[] = {99, -1, INT32_MAX, INT32_MIN};
enum { UNKNOWN = sizeof unknown / sizeof *unknown };

static eplb_status status_for(int32_t constant) {
  return constant < 0 ? EPLB_INVALID_ARGUMENT : EPLB_UNAVAILABLE;
}

static input in;
static eplb_context *context;
static plan before;

static void strategies(void) {
  eplb_solve_options options = in.options;
  int i;
  for (i = 0; i < UNKNOWN; i++) {
    options.strategy = unknown[i];
    REFUSED(status_for(unknown[i]), CALL(solve)(context, &in.problem, &options, ERR), "strategy",
            i == 0 ? "99" : "");
    REFUSED(status_for(unknown[i]),
            CALL(context_reserve)(context, EPLB_FLOAT32, 1, 2, 8, &in.problem, &options, ERR),
            "strategy");
  }
}

static void efforts(void) {
  eplb_solve_options options = in.options;
  int i;
  for (i = 0; i < UNKNOWN; i++) {
    options.effort = unknown[i];
    REFUSED(status_for(unknown[i]), CALL(solve)(context, &in.problem, &options, ERR), "effort",
            i == 0 ? "99" : "");
  }
}

static void policies(void) {
  eplb_problem problem = in.problem;
  int i;
  for (i = 0; i < UNKNOWN; i++) {
    problem.policy = unknown[i];
    REFUSED(status_for(unknown[i]), CALL(solve)(context, &problem, NULL, ERR), "policy",
            i == 0 ? "99" : "");
    REFUSED(status_for(unknown[i]),
            CALL(evaluate)(context, &problem, before.ints[0], 32, EPLB_INT64, NULL, NULL, NULL,
                           NULL, 2, ERR),
            "policy");
    REFUSED(status_for(unknown[i]),
            CALL(split_prepare)(context, &problem, before.ints[0], 32, EPLB_INT64, ERR), "policy");
  }
}

static void bound_kinds(void) {
  eplb_problem problem = in.problem;
  int i;
  for (i = 0; i < UNKNOWN; i++) {
    problem.bound_kind = unknown[i];
    REFUSED(status_for(unknown[i]), CALL(solve)(context, &problem, NULL, ERR), "bound_kind",
            i == 0 ? "99" : "");
  }
  for (i = EPLB_BOUND_SIMPLE; i <= EPLB_BOUND_NODE; i++) {
    eplb_status status;
    problem.bound_kind = i;
    status = CALL(solve)(context, &problem, NULL, ERR);
    if (i == EPLB_BOUND_NODE) /* reported, not asked for */
      INVALID(status, "bound_kind", "");
    else
      EXPECT(EPLB_OK, status);
  }
}

static void maps(void) {
  int64_t buffer[64], dims[4];
  int32_t rank;
  int i;
  for (i = 0; i < UNKNOWN; i++) {
    REFUSED(status_for(unknown[i]), CALL(map_shape)(context, unknown[i], &rank, dims, 4, ERR),
            "map", i == 0 ? "99" : "");
    REFUSED(status_for(unknown[i]),
            CALL(fetch_map)(context, unknown[i], EPLB_INT64, buffer, 32, ERR), "map",
            i == 0 ? "99" : "");
  }
}

static void dtypes(void) {
  int64_t buffer[64];
  int i;
  for (i = 0; i < UNKNOWN; i++) {
    INVALID(CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, unknown[i], buffer, 32, ERR),
            "dtype", i == 0 ? "99" : "");
    INVALID(CALL(upload_weights)(context, in.weights, 16, unknown[i], 1, 2, 8, ERR), "dtype",
            i == 0 ? "99" : "");
    INVALID(CALL(evaluate)(context, &in.problem, before.ints[0], 32, unknown[i], NULL, NULL, NULL,
                           NULL, 2, ERR),
            "dtype");
    INVALID(CALL(split)(context, &in.problem, before.ints[0], 32, unknown[i], NULL, ERR), "dtype");
    INVALID(CALL(static_dispatch)(context, &in.problem, before.ints[0], 32, unknown[i], NULL, ERR),
            "dtype");
    INVALID(CALL(context_reserve)(context, unknown[i], 1, 2, 8, &in.problem, NULL, ERR), "dtype");
  }
}

static void device_kinds(void) {
  eplb_context_options options;
  eplb_context *none = NULL;
  eplb_backend backend;
  char text[128];
  int32_t count = -7;
  int i;
  EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
  EXPECT(EPLB_OK, CALL(backend_init)(&backend, sizeof backend, ERR));
  for (i = 0; i < UNKNOWN; i++) {
    const char *number = i == 0 ? "99" : "";
    options.device_kind = unknown[i];
    INVALID(CALL(context_create)(&none, &options, ERR), "kind", number);
    INVALID(CALL(backend_info)(unknown[i], &backend, text, sizeof text, ERR), "kind", number);
    INVALID(CALL(device_count)(unknown[i], &count, ERR), "kind", number);
    INVALID(CALL(device_name)(unknown[i], 0, text, sizeof text, ERR), "kind", number);
  }
  EQUAL(-7, count);
  CHECK(none == NULL);
}

static void every_known_strategy_answers(void) {
  eplb_solve_options options = in.options;
  int strategy, effort;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_BEST; strategy++)
    for (effort = EPLB_EFFORT_FAST; effort <= EPLB_EFFORT_MAX; effort++) {
      options.strategy = strategy;
      options.effort = effort;
      EXPECT(EPLB_OK, CALL(solve)(context, &in.problem, &options, ERR));
    }
}

static void none_of_it_touched_the_plan(void) { plan_still_there(&before, context, &in); }

void rules_constants(void) {
  int ready;
  test_begin("the input of the constant tests");
  in = input_make(EPLB_FLOAT32, 2, 8, 16, 8, 11);
  context = context_solved(&in);
  ready = CHECK(context != NULL && plan_fetch(&before, context, &in));
  test_end();
  if (!ready) return;
  RUN(strategies);
  RUN(efforts);
  RUN(policies);
  RUN(maps);
  RUN(dtypes);
  RUN(device_kinds);
  RUN(none_of_it_touched_the_plan);
  RUN(bound_kinds);
  RUN(every_known_strategy_answers);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}
