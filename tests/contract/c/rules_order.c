/* The order of calls, NULL where it is allowed and where it is not, and that a failure changes
 * nothing. */
#include <string.h>

#include "harness.h"
#include "plan.h"

static input in;

static void nothing_uploaded(void) {
  eplb_context *context = context_make(1);
  int64_t buffer[4] = {-7, -7, -7, -7}, dims[4];
  eplb_report report;
  uint64_t fingerprint = 7;
  int32_t rank;
  if (context == NULL) return;
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  REFUSED(EPLB_INVALID_STATE, CALL(fingerprint)(context, &fingerprint, ERR), "eplb_solve");
  CHECK(fingerprint == 7);
  REFUSED(EPLB_INVALID_STATE, CALL(solve)(context, &in.problem, NULL, ERR), "eplb_upload_weights");
  REFUSED(
      EPLB_INVALID_STATE,
      CALL(evaluate)(context, &in.problem, buffer, 4, EPLB_INT64, NULL, NULL, NULL, NULL, 1, ERR),
      "eplb_upload_weights");
  REFUSED(EPLB_INVALID_STATE, CALL(fetch_map)(context, 0, EPLB_INT64, buffer, 4, ERR),
          "eplb_solve");
  REFUSED(EPLB_INVALID_STATE, CALL(fetch_report)(context, &report, ERR), "eplb_solve");
  REFUSED(EPLB_INVALID_STATE, CALL(map_shape)(context, 0, &rank, dims, 4, ERR), "eplb_solve");
  EXPECT(EPLB_OK, CALL(context_synchronize)(context, ERR));
  EQUAL(-7, buffer[0]);
  CALL(context_destroy)(context);
}

static void an_upload_discards_the_plan(void) {
  eplb_context *context = context_solved(&in);
  int64_t buffer[32], dims[4];
  eplb_report report;
  int32_t rank;
  if (context == NULL || !input_upload(context, &in)) return;
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  REFUSED(EPLB_INVALID_STATE, CALL(fetch_map)(context, 0, EPLB_INT64, buffer, 32, ERR),
          "eplb_solve");
  REFUSED(EPLB_INVALID_STATE, CALL(fetch_report)(context, &report, ERR), "eplb_solve");
  REFUSED(EPLB_INVALID_STATE, CALL(map_shape)(context, 0, &rank, dims, 4, ERR), "eplb_solve");
  CALL(context_destroy)(context);
}

static void a_reserve_discards_everything(void) {
  eplb_context *context = context_solved(&in);
  int64_t buffer[32];
  if (context == NULL) return;
  EXPECT(EPLB_OK, CALL(context_reserve)(context, EPLB_FLOAT32, 1, 2, 8, &in.problem, NULL, ERR));
  REFUSED(EPLB_INVALID_STATE, CALL(fetch_map)(context, 0, EPLB_INT64, buffer, 32, ERR),
          "eplb_solve");
  REFUSED(EPLB_INVALID_STATE, CALL(solve)(context, &in.problem, NULL, ERR), "eplb_upload_weights");
  input_upload_and_solve(context, &in);
  EXPECT(EPLB_OK, CALL(fetch_map)(context, 0, EPLB_INT64, buffer, 32, ERR));
  CALL(context_destroy)(context);
}

static void nulls_are_named(void) {
  eplb_context *context = context_solved(&in);
  eplb_report report;
  double prices[2] = {1, 1};
  char name[8] = "as was";
  if (context == NULL) return;
  INVALID(CALL(context_create)(NULL, NULL, ERR), "context");
  INVALID(CALL(upload_weights)(NULL, in.weights, 16, EPLB_FLOAT32, 1, 2, 8, ERR), "context");
  INVALID(CALL(upload_weights)(context, NULL, 16, EPLB_FLOAT32, 1, 2, 8, ERR), "weights");
  INVALID(CALL(upload_prices)(NULL, prices, 2, 1, 2, ERR), "context");
  INVALID(CALL(upload_window_weights)(NULL, prices, 2, ERR), "context");
  INVALID(CALL(solve)(NULL, &in.problem, NULL, ERR), "context");
  INVALID(CALL(solve)(context, NULL, NULL, ERR), "problem");
  INVALID(CALL(fetch_report)(NULL, &report, ERR), "context");
  INVALID(CALL(fetch_report)(context, NULL, ERR), "report");
  INVALID(CALL(context_synchronize)(NULL, ERR), "context");
  INVALID(CALL(context_reserve)(NULL, EPLB_FLOAT32, 1, 2, 8, &in.problem, NULL, ERR), "context");
  INVALID(CALL(context_reserve)(context, EPLB_FLOAT32, 1, 2, 8, NULL, NULL, ERR), "problem");
  INVALID(CALL(device_count)(EPLB_DEVICE_CPU, NULL, ERR), "count");
  INVALID(CALL(device_name)(EPLB_DEVICE_CPU, 0, NULL, 8, ERR), "name");
  INVALID(CALL(device_name)(EPLB_DEVICE_CPU, 0, name, 0, ERR), "length");
  INVALID(CALL(device_name)(EPLB_DEVICE_CPU, 0, name, -1, ERR), "length");
  INVALID(CALL(backend_info)(EPLB_DEVICE_CPU, NULL, NULL, 8, ERR), "text");
  INVALID(CALL(backend_info)(EPLB_DEVICE_CPU, NULL, name, -1, ERR), "text_length");
  CHECK(strcmp(name, "as was") == 0);
  CALL(context_destroy)(context);
  CALL(context_destroy)(NULL);
}

/* Every fallible function, once well and once badly, with nobody who wants to know why. */
static void err_may_be_null_everywhere(void) {
  eplb_context *c = NULL;
  eplb_context_options context_options;
  eplb_backend backend;
  eplb_solve_options options;
  eplb_split_options split_options;
  eplb_static_dispatch_options dispatch_options;
  eplb_problem problem;
  eplb_report report;
  int64_t buffer[32], dims[4];
  double prices[2] = {1, 1};
  int32_t n;
  char text[64];
  EXPECT(EPLB_OK, CALL(context_options_init)(&context_options, sizeof context_options, NULL));
  EXPECT(EPLB_OK, CALL(backend_init)(&backend, sizeof backend, NULL));
  EXPECT(EPLB_OK, CALL(solve_options_init)(&options, sizeof options, NULL));
  EXPECT(EPLB_OK, CALL(split_options_init)(&split_options, sizeof split_options, NULL));
  EXPECT(EPLB_OK,
         CALL(static_dispatch_options_init)(&dispatch_options, sizeof dispatch_options, NULL));
  EXPECT(EPLB_OK, CALL(problem_init)(&problem, sizeof problem, NULL));
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(context_options_init)(&context_options, 0, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(backend_init)(NULL, sizeof backend, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(solve_options_init)(NULL, 0, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(split_options_init)(NULL, 0, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(static_dispatch_options_init)(NULL, 0, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(problem_init)(NULL, 0, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(report_init)(NULL, 0, NULL));
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CPU, &backend, text, sizeof text, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(backend_info)(99, &backend, text, sizeof text, NULL));
  EXPECT(EPLB_OK, CALL(device_count)(EPLB_DEVICE_CPU, &n, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(device_count)(99, &n, NULL));
  EXPECT(EPLB_OK, CALL(device_name)(EPLB_DEVICE_CPU, 0, text, sizeof text, NULL));
  EXPECT(EPLB_NO_DEVICE, CALL(device_name)(EPLB_DEVICE_CPU, 7, text, sizeof text, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(context_create)(NULL, NULL, NULL));
  if (!EXPECT(EPLB_OK, CALL(context_create)(&c, NULL, NULL))) return;
  EXPECT(EPLB_OK, CALL(context_synchronize)(c, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(context_synchronize)(NULL, NULL));
  EXPECT(EPLB_OK, CALL(context_reserve)(c, EPLB_FLOAT32, 1, 2, 8, &in.problem, NULL, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(context_reserve)(c, EPLB_FLOAT32, 1, 2, 0, &in.problem, NULL, NULL));
  EXPECT(EPLB_OK, CALL(upload_weights)(c, in.weights, 16, EPLB_FLOAT32, 1, 2, 8, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(upload_weights)(c, in.weights, 15, EPLB_FLOAT32, 1, 2, 8, NULL));
  EXPECT(EPLB_OK, CALL(upload_prices)(c, prices, 2, 1, 2, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(upload_prices)(c, prices, 1, 1, 2, NULL));
  EXPECT(EPLB_OK, CALL(upload_window_weights)(c, prices, 2, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(upload_window_weights)(c, prices, 0, NULL));
  EXPECT(EPLB_INVALID_STATE, CALL(fetch_report)(c, &report, NULL));
  EXPECT(EPLB_OK, CALL(solve)(c, &in.problem, NULL, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(solve)(c, NULL, NULL, NULL));
  EXPECT(EPLB_OK, CALL(map_shape)(c, 0, &n, dims, 4, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(map_shape)(c, 0, &n, dims, 0, NULL));
  EXPECT(EPLB_OK, CALL(fetch_map)(c, 0, EPLB_INT64, buffer, 32, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(fetch_map)(c, 0, EPLB_INT64, buffer, 31, NULL));
  EXPECT(EPLB_OK, CALL(fetch_report)(c, &report, NULL));
  EXPECT(EPLB_OK,
         CALL(evaluate)(c, &in.problem, buffer, 32, EPLB_INT64, NULL, NULL, NULL, NULL, 2, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(evaluate)(c, NULL, buffer, 32, EPLB_INT64, NULL, NULL, NULL, NULL, 2, NULL));
  EXPECT(EPLB_OK, CALL(split_prepare)(c, &in.problem, buffer, 32, EPLB_INT64, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(split_prepare)(c, NULL, buffer, 32, EPLB_INT64, NULL));
  EXPECT(EPLB_OK, CALL(split)(c, NULL, NULL, 0, 0, &split_options, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(split)(c, &in.problem, buffer, 31, EPLB_INT64, NULL, NULL));
  EXPECT(EPLB_OK, CALL(static_dispatch)(c, NULL, NULL, 0, 0, &dispatch_options, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(static_dispatch)(c, &in.problem, buffer, 31, EPLB_INT64, NULL, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(upload_weights_device)(c, buffer, 16, EPLB_FLOAT32, 1, 2, 8, NULL, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(solve_device)(c, &in.problem, NULL, NULL, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(split_prepare_device)(c, &in.problem, buffer, 32, EPLB_INT64, NULL, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(split_device)(c, NULL, NULL, 0, 0, NULL, NULL, NULL));
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(fetch_map_device)(c, 0, EPLB_INT64, buffer, 32, NULL, NULL));
  CALL(context_destroy)(c);
}

/* Every way to fail that a solved context has, one after the other; then it must be as if none had
 * happened. */
static void failed_calls_change_nothing(void) {
  eplb_context *context = context_solved(&in);
  eplb_problem bad = in.problem;
  eplb_solve_options options = in.options;
  float nan_at_the_end[16];
  int64_t buffer[33];
  eplb_report report, canary;
  plan before;
  int i;
  if (context == NULL || !plan_fetch(&before, context, &in)) return;
  memcpy(nan_at_the_end, in.weights, sizeof nan_at_the_end);
  nan_at_the_end[15] = -1;
  bad.num_slots = 17;
  options.max_replicas = 1;
  memset(&canary, 0xAA, sizeof canary);
  report = canary;
  for (i = 0; i < 33; i++) buffer[i] = -7;
  REFUSED(EPLB_INVALID_WEIGHT,
          CALL(upload_weights)(context, nan_at_the_end, 16, EPLB_FLOAT32, 1, 2, 8, ERR),
          "expert 7");
  INVALID(CALL(upload_weights)(context, in.weights, 8, EPLB_FLOAT32, 1, 2, 8, ERR),
          "weights_length");
  INVALID(CALL(solve)(context, &bad, NULL, ERR), "num_slots");
  INVALID(CALL(solve)(context, &in.problem, &options, ERR), "max_replicas");
  INVALID(CALL(fetch_map)(context, 0, EPLB_INT64, buffer, 33, ERR), "length");
  INVALID(CALL(fetch_report)(context, &report, ERR), "struct_size");
  INVALID(CALL(context_reserve)(context, EPLB_FLOAT32, 1, 2, 8, &bad, NULL, ERR), "num_slots");
  INVALID(CALL(upload_weights_device)(context, in.weights, 16, EPLB_FLOAT32, 1, 2, 8, NULL, ERR),
          "");
  INVALID(CALL(solve_device)(context, &in.problem, NULL, NULL, ERR), "");
  CHECK(memcmp(&report, &canary, sizeof report) == 0);
  for (i = 0; i < 33; i++) EQUAL(-7, buffer[i]);
  plan_still_there(&before, context, &in);
  /* The weights are the old ones too: the same solve gives the same plan. */
  if (input_solve(context, &in)) plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
}

static void a_failed_create_leaves_the_pointer(void) {
  eplb_context *mark = (eplb_context *)(void *)&in, *context = mark;
  eplb_context_options options;
  EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
  options.num_threads = -1;
  INVALID(CALL(context_create)(&context, &options, ERR), "num_threads");
  CHECK(context == mark);
}

void rules_order(void) {
  test_begin("the input of the order tests");
  in = input_make(EPLB_FLOAT32, 2, 8, 16, 8, 17);
  test_end();
  RUN(nothing_uploaded);
  RUN(an_upload_discards_the_plan);
  RUN(a_reserve_discards_everything);
  RUN(nulls_are_named);
  RUN(err_may_be_null_everywhere);
  RUN(failed_calls_change_nothing);
  RUN(a_failed_create_leaves_the_pointer);
  input_free(&in);
}
