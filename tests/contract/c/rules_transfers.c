/* Transfers between any two placements: what is refused by name, and that the context stays as it
 * is. */
#include <string.h>

#include "harness.h"
#include "plan.h"

enum { LAYERS = 2, SLOTS = 6, GPUS = 3, LENGTH = LAYERS * SLOTS, LARGEST = (1 << 18) - 1 };

/* Two slots per GPU. In the first layer two GPUs exchange an expert, a slot becomes empty and an
 * expert that nobody has is reloaded; the second one does not change. */
static const int64_t current[LENGTH] = {0, 1, 2, 3, LARGEST, -1, 0, 1, 2, 3, -1, -1};
static const int64_t placement[LENGTH] = {2, 1, 0, -1, LARGEST, 7, 0, 1, 2, 3, -1, -1};
static eplb_problem problem;

/* Everything that the call can write. */
typedef struct outputs {
  int64_t source[LENGTH], round[LENGTH], group[LENGTH];
  eplb_report report;
} outputs;

static outputs fresh(void) {
  outputs out;
  memset(&out, 0x5A, sizeof out);
  EXPECT(EPLB_OK, CALL(report_init)(&out.report, sizeof out.report, ERR));
  return out;
}

static eplb_status call(eplb_context *context, eplb_transfer_order order, const int64_t *from,
                        const int64_t *to, outputs *out, eplb_error *err) {
  return CALL(plan_transfers)(context, &problem, order, from, to, out->source, out->round,
                              out->group, LENGTH, EPLB_INT64, &out->report, err);
}

static void without_weights(void) {
  static const int64_t source[LENGTH] = {2, 1, 0, -1, 4, -2, 0, 1, 2, 3, -1, -1};
  static const int64_t round[LENGTH] = {1, -1, 1, -1, -1, 0, -1, -1, -1, -1, -1, -1};
  eplb_context *context = context_make(1);
  outputs out = fresh();
  int64_t i;
  if (context == NULL) return;
  EXPECT(EPLB_OK, call(context, EPLB_TRANSFER_BUFFERED, current, placement, &out, ERR));
  for (i = 0; i < LENGTH; i++) {
    EQUAL(source[i], out.source[i]);
    EQUAL(round[i], out.round[i]);
    EQUAL(-1, out.group[i]);
  }
  EQUAL(3, out.report.moves);
  EQUAL(1, out.report.reloads);
  EQUAL(1, out.report.rounds);
  EQUAL(1, out.report.layers_changed);
  EQUAL(-1, out.report.strategy);
  EQUAL(EPLB_POLICY_GLOBAL, out.report.policy);
  CHECK(out.report.imbalance_mean == 0 && out.report.context_bytes > 0);
  CALL(context_destroy)(context);
}

/* In place, the two that are exchanged are a cycle. */
static void in_place(void) {
  eplb_context *context = context_make(1);
  outputs out = fresh();
  if (context == NULL) return;
  EXPECT(EPLB_OK, call(context, EPLB_TRANSFER_IN_PLACE, current, placement, &out, ERR));
  EQUAL(0, out.group[0]);
  EQUAL(0, out.group[2]);
  EQUAL(1, out.round[0]);
  EQUAL(2, out.round[2]);
  EQUAL(1, out.round[5]);
  CALL(context_destroy)(context);
}

static void outputs_may_be_null(void) {
  eplb_context *context = context_make(1);
  outputs out = fresh(), one = fresh();
  if (context == NULL) return;
  EXPECT(EPLB_OK, call(context, EPLB_TRANSFER_EXCLUSIVE, current, placement, &out, ERR));
  EXPECT(EPLB_OK, CALL(plan_transfers)(context, &problem, EPLB_TRANSFER_EXCLUSIVE, current,
                                       placement, NULL, NULL, NULL, LENGTH, EPLB_INT64, NULL, ERR));
  EXPECT(EPLB_OK,
         CALL(plan_transfers)(context, &problem, EPLB_TRANSFER_EXCLUSIVE, current, placement, NULL,
                              one.round, NULL, LENGTH, EPLB_INT64, NULL, ERR));
  CHECK(memcmp(out.round, one.round, sizeof out.round) == 0);
  CALL(context_destroy)(context);
}

static void int32_is_the_same(void) {
  eplb_context *context = context_make(1);
  outputs out = fresh();
  int32_t from[LENGTH], to[LENGTH], source[LENGTH], round[LENGTH], group[LENGTH];
  int i;
  if (context == NULL) return;
  for (i = 0; i < LENGTH; i++) {
    from[i] = (int32_t)current[i];
    to[i] = (int32_t)placement[i];
  }
  EXPECT(EPLB_OK, call(context, EPLB_TRANSFER_IN_PLACE, current, placement, &out, ERR));
  EXPECT(EPLB_OK, CALL(plan_transfers)(context, &problem, EPLB_TRANSFER_IN_PLACE, from, to, source,
                                       round, group, LENGTH, EPLB_INT32, NULL, ERR));
  for (i = 0; i < LENGTH; i++) {
    EQUAL(out.source[i], source[i]);
    EQUAL(out.round[i], round[i]);
    EQUAL(out.group[i], group[i]);
  }
  CALL(context_destroy)(context);
}

/* What a problem says of policy and groups is of no account here. */
static void only_sizes_matter(void) {
  eplb_context *context = context_make(1);
  eplb_problem other = problem;
  outputs out = fresh(), again = fresh();
  if (context == NULL) return;
  other.num_groups = 5;
  other.policy = EPLB_POLICY_HIERARCHICAL;
  other.bound_kind = EPLB_BOUND_NODE;
  EXPECT(EPLB_OK, call(context, EPLB_TRANSFER_BUFFERED, current, placement, &out, ERR));
  EXPECT(EPLB_OK, CALL(plan_transfers)(context, &other, EPLB_TRANSFER_BUFFERED, current, placement,
                                       again.source, NULL, NULL, LENGTH, EPLB_INT64, NULL, ERR));
  CHECK(memcmp(out.source, again.source, sizeof out.source) == 0);
  CALL(context_destroy)(context);
}

static void ids_are_checked(void) {
  static const struct {
    int64_t id;
    const char *text;
  } bad[] = {{-2, "-2"}, {LARGEST + 1, "262144"}, {INT64_MIN, "-9223372036854775808"}};
  eplb_context *context = context_make(1);
  outputs out = fresh(), before = out;
  int64_t wrong[LENGTH];
  size_t i;
  if (context == NULL) return;
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    memcpy(wrong, current, sizeof wrong);
    wrong[SLOTS + 5] = bad[i].id;
    REFUSED(EPLB_INVALID_PLACEMENT, call(context, 0, wrong, placement, &out, ERR),
            "current[layer 1, slot 5]", bad[i].text, "0 to 262143", "-1");
    REFUSED(EPLB_INVALID_PLACEMENT, call(context, 0, current, wrong, &out, ERR),
            "placement[layer 1, slot 5]", bad[i].text, "0 to 262143", "-1");
  }
  CHECK(memcmp(&out, &before, sizeof out) == 0);
  CALL(context_destroy)(context);
}

static void arguments_are_checked(void) {
  eplb_context *context = context_make(1);
  outputs out = fresh(), before = out;
  eplb_problem wrong;
  if (context == NULL) return;
#define PLAN(c, p, order, from, to, length, dtype) \
  CALL(plan_transfers)                             \
  (c, p, order, from, to, out.source, out.round, out.group, length, dtype, &out.report, ERR)
#define ARRAYS(from, to, length, dtype) PLAN(context, &problem, 0, from, to, length, dtype)
#define WRONG(field, value, ...)         \
  (wrong = problem, wrong.field = value, \
   INVALID(PLAN(context, &wrong, 0, current, placement, LENGTH, EPLB_INT64), #field, __VA_ARGS__))
  INVALID(PLAN(NULL, &problem, 0, current, placement, LENGTH, EPLB_INT64), "context");
  INVALID(PLAN(context, NULL, 0, current, placement, LENGTH, EPLB_INT64), "problem");
  INVALID(PLAN(context, &problem, -1, current, placement, LENGTH, EPLB_INT64), "transfer_order",
          "-1", "0 to 2");
  REFUSED(EPLB_UNAVAILABLE, PLAN(context, &problem, 3, current, placement, LENGTH, EPLB_INT64),
          "transfer_order", "3", "0 to 2");
  INVALID(ARRAYS(NULL, placement, LENGTH, EPLB_INT64), "current", "NULL");
  INVALID(ARRAYS(current, NULL, LENGTH, EPLB_INT64), "placement", "NULL");
  INVALID(ARRAYS(current, placement, LENGTH - 1, EPLB_INT64), "placement_length", "11",
          "num_slots = 6", "6 or 12");
  INVALID(ARRAYS(current, placement, 0, EPLB_INT64), "placement_length", "0", "1");
  INVALID(ARRAYS(current, placement, -LENGTH, EPLB_INT64), "placement_length", "-12", "1");
  INVALID(ARRAYS(current, placement, LENGTH, EPLB_FLOAT64), "dtype", "1",
          "EPLB_INT32 or EPLB_INT64");
  WRONG(num_slots, 0, "0", "1");
  WRONG(num_slots, (int64_t)1 << 40, "1099511627776", "262144");
  WRONG(num_slots, 7, "7", "num_gpus = 3", "6 or 9");
  WRONG(num_gpus, 0, "0", "1");
  WRONG(num_nodes, -4, "-4", "1");
  WRONG(struct_size, 8, "8", "48");
#undef PLAN
#undef ARRAYS
#undef WRONG
  CHECK(memcmp(&out, &before, sizeof out) == 0);
  out.report.struct_size = 4;
  INVALID(call(context, 0, current, placement, &out, ERR), "report.struct_size", "4");
  CALL(context_destroy)(context);
}

/* One GPU leaves, and all are on one node. */
static void the_cluster_counts(void) {
  static const int64_t slots[GPUS] = {2, 0, 2}, nodes[GPUS] = {0, 1, 0};
  static const int64_t gathered[LENGTH] = {2, 1, -1, -1, 3, -1, 0, 1, -1, -1, 2, 3};
  static const int64_t source[LENGTH] = {2, 1, -1, -1, 3, -1, 0, 1, -1, -1, 2, 3};
  eplb_context *context = context_make(1);
  eplb_problem before = problem;
  outputs out = fresh();
  int64_t i;
  if (context == NULL) return;
  problem.num_nodes = 2;
  EXPECT(EPLB_OK, call(context, 0, current, gathered, &out, ERR));
  EQUAL(3, out.report.moves_between_nodes);
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, slots, NULL, nodes, GPUS, ERR));
  EXPECT(EPLB_OK, call(context, 0, current, gathered, &out, ERR));
  for (i = 0; i < LENGTH; i++) EQUAL(source[i], out.source[i]);
  EQUAL(4, out.report.moves);
  EQUAL(4, out.report.moves_between_nodes);
  REFUSED(EPLB_INVALID_PLACEMENT, call(context, 0, current, placement, &out, ERR),
          "placement[layer 0, slot 2] is 0", "-1", "GPU 1 has 0 of 2");
  problem.num_nodes = 1;
  INVALID(call(context, 0, current, gathered, &out, ERR), "nodes[GPU 1] is 1", "0");
  problem.num_gpus = 2;
  INVALID(call(context, 0, current, gathered, &out, ERR), "num_gpus is 2", "3 GPUs");
  problem = before;
  CALL(context_destroy)(context);
}

/* Weights, plan and current placement are those of before. */
static void the_context_stays_as_it_is(void) {
  input in = input_make(EPLB_FLOAT32, LAYERS, 4, SLOTS, GPUS, 5);
  eplb_context *context = context_solved(&in);
  int64_t now[LENGTH], count[LAYERS], again[LAYERS];
  outputs out = fresh();
  plan before;
  int i;
  for (i = 0; i < LENGTH; i++) now[i] = i % 4;
  if (context == NULL) return;
  EXPECT(EPLB_OK, CALL(upload_placement)(context, now, LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
  if (!input_solve(context, &in) || !plan_fetch(&before, context, &in)) return;
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_MOVE_COUNT, EPLB_INT64, count, LAYERS, ERR));
  EXPECT(EPLB_OK, call(context, EPLB_TRANSFER_IN_PLACE, current, placement, &out, ERR));
  plan_still_there(&before, context, &in);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_MOVE_COUNT, EPLB_INT64, again, LAYERS, ERR));
  CHECK(memcmp(count, again, sizeof count) == 0);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}

void rules_transfers(void) {
  test_begin("the problem of the tests of transfers");
  EXPECT(EPLB_OK, CALL(problem_init)(&problem, sizeof problem, ERR));
  problem.num_slots = SLOTS;
  problem.num_gpus = GPUS;
  test_end();
  RUN(without_weights);
  RUN(in_place);
  RUN(outputs_may_be_null);
  RUN(int32_is_the_same);
  RUN(only_sizes_matter);
  RUN(ids_are_checked);
  RUN(arguments_are_checked);
  RUN(the_cluster_counts);
  RUN(the_context_stays_as_it_is);
}
