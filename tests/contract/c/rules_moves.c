/* The current placement: what is refused by name, how long it stays, and that a failure changes
 * nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "harness.h"
#include "moves.h"

enum { LAYERS = 2, EXPERTS = 8, SLOTS = 16, GPUS = 4, LENGTH = LAYERS * SLOTS };

static input in; /* 2 nodes of 2 GPUs of 4 slots */
static int64_t current[LENGTH];

static eplb_status upload(eplb_context *context, const int64_t *placement, eplb_error *err) {
  return CALL(upload_placement)(context, placement, LENGTH, EPLB_INT64, LAYERS, SLOTS, err);
}

static eplb_status fetch_count(eplb_context *context, int64_t *count, eplb_error *err) {
  return CALL(fetch_map)(context, EPLB_MAP_MOVE_COUNT, EPLB_INT64, count, LAYERS, err);
}

static void without_one_there_are_no_moves(void) {
  eplb_context *context = context_solved(&in);
  int64_t count[LAYERS], dims[4];
  int32_t rank;
  eplb_report report;
  if (context == NULL) return;
  REFUSED(EPLB_INVALID_STATE, fetch_count(context, count, ERR), "eplb_upload_placement");
  EXPECT(EPLB_OK, CALL(map_shape)(context, EPLB_MAP_MOVE_SOURCE, &rank, dims, 4, ERR));
  EQUAL(SLOTS, dims[1]);
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  EXPECT(EPLB_OK, CALL(fetch_report)(context, &report, ERR));
  EQUAL(0, report.layers_changed + report.moves + report.rounds + report.most_sent);
  CALL(context_destroy)(context);
}

static void it_stays_until_it_is_forgotten(void) {
  eplb_context *context = context_make(1);
  int64_t count[LAYERS];
  if (context == NULL || !EXPECT(EPLB_OK, upload(context, current, ERR))) return;
  if (!input_upload_and_solve(context, &in)) return;
  EXPECT(EPLB_OK, fetch_count(context, count, ERR));
  input_upload_and_solve(context, &in); /* an upload of weights leaves it */
  EXPECT(EPLB_OK, fetch_count(context, count, ERR));
  EXPECT(EPLB_OK, CALL(upload_placement)(context, NULL, -5, 77, -5, -5, ERR));
  REFUSED(EPLB_INVALID_STATE, fetch_count(context, count, ERR), "eplb_solve");
  input_solve(context, &in);
  REFUSED(EPLB_INVALID_STATE, fetch_count(context, count, ERR), "eplb_upload_placement");
  CALL(context_destroy)(context);
}

static void an_upload_discards_the_plan(void) {
  eplb_context *context = context_solved(&in);
  int64_t count[LAYERS];
  if (context == NULL || !EXPECT(EPLB_OK, upload(context, current, ERR))) return;
  REFUSED(EPLB_INVALID_STATE, fetch_count(context, count, ERR), "eplb_solve");
  input_solve(context, &in);
  EXPECT(EPLB_OK, fetch_count(context, count, ERR));
  CALL(context_destroy)(context);
}

static void int32_is_the_same(void) {
  eplb_context *context = context_solved(&in);
  int64_t wide[LENGTH], again[LENGTH];
  int32_t narrow[LENGTH];
  int i;
  if (context == NULL) return;
  for (i = 0; i < LENGTH; i++) narrow[i] = (int32_t)current[i];
  EXPECT(EPLB_OK, upload(context, current, ERR));
  input_solve(context, &in);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_MOVE_ROUND, EPLB_INT64, wide, LENGTH, ERR));
  EXPECT(EPLB_OK, CALL(upload_placement)(context, narrow, LENGTH, EPLB_INT32, LAYERS, SLOTS, ERR));
  input_solve(context, &in);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_MOVE_ROUND, EPLB_INT64, again, LENGTH, ERR));
  CHECK(memcmp(wide, again, sizeof wide) == 0);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_MOVE_ROUND, EPLB_INT32, narrow, LENGTH, ERR));
  for (i = 0; i < LENGTH; i++) EQUAL(wide[i], narrow[i]);
  CALL(context_destroy)(context);
}

/* Layers are dealt out to the threads. */
static void threads_change_nothing(void) {
  input large = input_make(EPLB_FLOAT32, 9, 32, 48, 8, 5);
  eplb_context *context = context_make(4);
  plan p;
  large.problem.num_nodes = 2;
  if (input_upload_and_solve(context, &large) && plan_fetch(&p, context, &large)) {
    moves_hold(context, &large, &p);
    plan_free(&p);
  }
  CALL(context_destroy)(context);
  input_free(&large);
}

static void ids_out_of_range(void) {
  static const struct {
    int64_t id;
    const char *text;
  } bad[] = {{-2, "-2"},
             {(int64_t)1 << 18, "262144"},
             {INT64_MAX, "9223372036854775807"},
             {INT64_MIN, "-9223372036854775808"},
             {((int64_t)1 << 32) + 1, "4294967297"}};
  eplb_context *context = context_make(1);
  int64_t wrong[LENGTH];
  size_t i;
  if (context == NULL) return;
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    memcpy(wrong, current, sizeof wrong);
    wrong[SLOTS + 5] = bad[i].id;
    REFUSED(EPLB_INVALID_PLACEMENT, upload(context, wrong, ERR), "layer 1", "slot 5", bad[i].text);
  }
  CALL(context_destroy)(context);
}

/* How many experts there are is known at the solve. */
static void experts_that_the_weights_lack(void) {
  eplb_context *context = context_make(1);
  int64_t wrong[LENGTH];
  memcpy(wrong, current, sizeof wrong);
  wrong[SLOTS + 3] = EXPERTS;
  if (context == NULL || !EXPECT(EPLB_OK, upload(context, wrong, ERR))) return;
  input_upload(context, &in);
  REFUSED(EPLB_INVALID_PLACEMENT, CALL(solve)(context, &in.problem, &in.options, ERR), "expert 8",
          "layer 1", "slot 3", "8 experts");
  CALL(context_destroy)(context);
}

static void other_shapes_are_refused_at_the_solve(void) {
  eplb_context *context = context_make(1);
  eplb_problem larger = in.problem;
  input more = input_make(EPLB_FLOAT32, LAYERS + 1, EXPERTS, SLOTS, GPUS, 3);
  larger.num_slots = 2 * SLOTS;
  if (context == NULL || !EXPECT(EPLB_OK, upload(context, current, ERR))) return;
  input_upload(context, &in);
  INVALID(CALL(solve)(context, &larger, &in.options, ERR), "2 layers of 16 slots", "2 of 32",
          "NULL");
  input_upload(context, &more);
  INVALID(CALL(solve)(context, &more.problem, &more.options, ERR), "2 layers of 16 slots",
          "3 of 16");
  CALL(context_destroy)(context);
  input_free(&more);
}

static void arguments_are_checked(void) {
  eplb_context *context = context_make(1);
  const int64_t large = (int64_t)1 << 40;
  if (context == NULL) return;
#define UPLOAD(c, length, dtype, layers, slots) \
  CALL(upload_placement)(c, current, length, dtype, layers, slots, ERR)
  INVALID(UPLOAD(NULL, LENGTH, EPLB_INT64, LAYERS, SLOTS), "context");
  INVALID(UPLOAD(context, LENGTH - 1, EPLB_INT64, LAYERS, SLOTS), "placement_length", "31",
          "2 * 16 = 32");
  INVALID(UPLOAD(context, -LENGTH, EPLB_INT64, LAYERS, SLOTS), "placement_length", "-32");
  INVALID(UPLOAD(context, LENGTH, EPLB_FLOAT32, LAYERS, SLOTS), "dtype", "EPLB_INT32");
  INVALID(UPLOAD(context, LENGTH, 77, LAYERS, SLOTS), "dtype", "77");
  INVALID(UPLOAD(context, LENGTH, EPLB_INT64, 0, SLOTS), "num_layers", "0", "1");
  INVALID(UPLOAD(context, LENGTH, EPLB_INT64, LAYERS, -1), "num_slots", "-1", "1");
  INVALID(UPLOAD(context, LENGTH, EPLB_INT64, LAYERS, large), "num_slots", "2^18");
  INVALID(UPLOAD(context, 0, EPLB_INT64, INT64_MAX, SLOTS), "num_layers", "9223372036854775807");
#undef UPLOAD
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(upload_placement)(context, current, 1, EPLB_INT64, LAYERS, SLOTS, NULL));
  CALL(context_destroy)(context);
}

static void orders_are_checked(void) {
  eplb_context *context = context_solved(&in);
  eplb_solve_options options = in.options;
  options.transfer_order = EPLB_TRANSFER_EXCLUSIVE + 1;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &options, ERR), "transfer_order",
          "3");
  options.transfer_order = -1;
  INVALID(CALL(solve)(context, &in.problem, &options, ERR), "transfer_order", "-1");
  CALL(context_destroy)(context);
}

static void limits_are_checked(void) {
  eplb_context *context = context_solved(&in);
  eplb_solve_options options;
#define LIMIT(field, value, ...)                  \
  (options = in.options, options.field = (value), \
   INVALID(CALL(solve)(context, &in.problem, &options, ERR), #field, __VA_ARGS__))
  LIMIT(allow_empty, 2, "2", "0 or 1");
  LIMIT(max_moves, -2, "-2", "-1");
  LIMIT(max_moves_total, -2, "-2", "-1");
  LIMIT(max_arrivals, -1, "-1", "0");
  LIMIT(target, 0.5, "500 / 1000", "-1, 0", "1 to 1024");
  LIMIT(target, NAN, "NaN");
  LIMIT(target, INFINITY, "1024");
  LIMIT(move_price, -0.25, "-250 / 1000", "0 to 1024");
  LIMIT(move_price, NAN, "NaN");
#undef LIMIT
  CALL(context_destroy)(context);
}

static void failed_calls_change_nothing(void) {
  eplb_context *context = context_solved(&in);
  eplb_problem larger = in.problem;
  int64_t wrong[LENGTH], count[LAYERS] = {-7, -7}, again[LAYERS];
  plan before;
  if (context == NULL || !EXPECT(EPLB_OK, upload(context, current, ERR))) return;
  if (!input_solve(context, &in) || !plan_fetch(&before, context, &in)) return;
  EXPECT(EPLB_OK, fetch_count(context, count, ERR));
  memcpy(wrong, current, sizeof wrong);
  wrong[LENGTH - 1] = -9;
  larger.num_slots = 2 * SLOTS;
  REFUSED(EPLB_INVALID_PLACEMENT, upload(context, wrong, ERR), "slot 15");
  INVALID(CALL(upload_placement)(context, current, 1, EPLB_INT64, LAYERS, SLOTS, ERR), "1");
  INVALID(CALL(solve)(context, &larger, &in.options, ERR), "16 slots");
  INVALID(CALL(fetch_map)(context, EPLB_MAP_MOVE_COUNT, EPLB_FLOAT64, again, LAYERS, ERR), "dtype",
          "MOVE_COUNT");
  INVALID(CALL(fetch_map)(context, EPLB_MAP_MOVE_ROUND, EPLB_INT64, again, LAYERS, ERR), "length",
          "32", "MOVE_ROUND");
  plan_still_there(&before, context, &in);
  EXPECT(EPLB_OK, fetch_count(context, again, ERR));
  CHECK(memcmp(count, again, sizeof count) == 0);
  /* The current placement is the old one, too. */
  moves_from(context, &in, &before, current, EPLB_TRANSFER_BUFFERED);
  plan_free(&before);
  CALL(context_destroy)(context);
}

/* What was current is copied: the caller's array may go. */
static void the_array_is_copied(void) {
  eplb_context *context = context_solved(&in);
  int64_t own[LENGTH], count[LAYERS], again[LAYERS];
  memcpy(own, current, sizeof own);
  if (context == NULL || !EXPECT(EPLB_OK, upload(context, current, ERR))) return;
  input_solve(context, &in);
  EXPECT(EPLB_OK, fetch_count(context, count, ERR));
  EXPECT(EPLB_OK, upload(context, own, ERR));
  memset(own, 0x5A, sizeof own);
  input_solve(context, &in);
  EXPECT(EPLB_OK, fetch_count(context, again, ERR));
  CHECK(memcmp(count, again, sizeof count) == 0);
  CALL(context_destroy)(context);
}

/* A second time with the same sizes, transfers take no memory. */
static void a_second_time_allocates_nothing(void) {
  eplb_context *context = context_solved(&in);
  int64_t count[LAYERS], before = 0;
  int i;
  if (context == NULL || !EXPECT(EPLB_OK, upload(context, current, ERR))) return;
  for (i = 0; i < 3; i++) {
    if (i == 1) before = allocations_so_far();
    CALL(solve)(context, &in.problem, &in.options, NULL);
    fetch_count(context, count, NULL);
  }
  if (allocations_are_counted()) EQUAL(0, allocations_so_far() - before);
  CALL(context_destroy)(context);
}

void rules_moves(void) {
  int i;
  test_begin("the input of the tests of moves");
  in = input_make(EPLB_INT32, LAYERS, EXPERTS, SLOTS, GPUS, 23);
  in.problem.num_nodes = 2;
  for (i = 0; i < LENGTH; i++) current[i] = i % 7 == 3 ? -1 : i * 5 % EXPERTS;
  test_end();
  RUN(without_one_there_are_no_moves);
  RUN(it_stays_until_it_is_forgotten);
  RUN(an_upload_discards_the_plan);
  RUN(int32_is_the_same);
  RUN(threads_change_nothing);
  RUN(ids_out_of_range);
  RUN(experts_that_the_weights_lack);
  RUN(other_shapes_are_refused_at_the_solve);
  RUN(arguments_are_checked);
  RUN(orders_are_checked);
  RUN(limits_are_checked);
  RUN(failed_calls_change_nothing);
  RUN(the_array_is_copied);
  RUN(a_second_time_allocates_nothing);
  input_free(&in);
}
