/* A context that was forked answers EPLB_INVALID_STATE to everything and may only be destroyed. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "invariants.h"
#include "split.h"

static input in;
static eplb_context *context;
static plan before;
static split split_before;

static void a_forked_context(void) {
  int64_t buffer[32], dims[4] = {-7};
  double numbers[2] = {1, 1};
  int32_t rank = -7;
  eplb_report report, fresh;
  uint64_t fingerprint = 7;
  int i;
  for (i = 0; i < 32; i++) buffer[i] = -7;
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  fresh = report;
#define AFTER_FORK(call) REFUSED(EPLB_INVALID_STATE, call, "fork")
  AFTER_FORK(CALL(upload_weights)(context, in.weights, 16, EPLB_FLOAT32, 1, 2, 8, ERR));
  AFTER_FORK(
      CALL(upload_weights_device)(context, in.weights, 16, EPLB_FLOAT32, 1, 2, 8, NULL, ERR));
  AFTER_FORK(CALL(upload_cluster)(context, buffer, NULL, NULL, 0, ERR));
  AFTER_FORK(CALL(upload_prices)(context, numbers, 2, 2, 1, ERR));
  AFTER_FORK(CALL(upload_window_weights)(context, numbers, 2, ERR));
  AFTER_FORK(CALL(upload_placement)(context, buffer, 32, EPLB_INT64, 2, 16, ERR));
  AFTER_FORK(CALL(upload_placement_device)(context, buffer, 32, EPLB_INT64, 2, 16, NULL, ERR));
  AFTER_FORK(CALL(solve)(context, &in.problem, NULL, ERR));
  AFTER_FORK(CALL(solve_device)(context, &in.problem, NULL, NULL, ERR));
  AFTER_FORK(CALL(map_shape)(context, 0, &rank, dims, 4, ERR));
  AFTER_FORK(CALL(fetch_map)(context, 0, EPLB_INT64, buffer, 32, ERR));
  AFTER_FORK(CALL(fetch_map_device)(context, 0, EPLB_INT64, buffer, 32, NULL, ERR));
  AFTER_FORK(CALL(fingerprint)(context, &fingerprint, ERR));
  AFTER_FORK(CALL(fetch_report)(context, &report, ERR));
  AFTER_FORK(CALL(evaluate)(context, &in.problem, before.ints[0], 32, EPLB_INT64, &report, NULL,
                            NULL, NULL, 2, ERR));
  AFTER_FORK(CALL(plan_transfers)(context, &in.problem, EPLB_TRANSFER_BUFFERED, before.ints[0],
                                  before.ints[0], buffer, NULL, NULL, 32, EPLB_INT64, &report,
                                  ERR));
  AFTER_FORK(CALL(split_prepare)(context, &in.problem, before.ints[0], 32, EPLB_INT64, ERR));
  AFTER_FORK(CALL(split_prepare_device)(context, &in.problem, buffer, 32, EPLB_INT64, NULL, ERR));
  AFTER_FORK(CALL(split_device)(context, NULL, NULL, 0, 0, NULL, NULL, ERR));
  AFTER_FORK(CALL(split)(context, NULL, NULL, 0, 0, NULL, ERR));
  AFTER_FORK(CALL(static_dispatch)(context, NULL, NULL, 0, 0, NULL, ERR));
  AFTER_FORK(CALL(fetch_map)(context, EPLB_MAP_SHARE, EPLB_INT64, buffer, 32, ERR));
  AFTER_FORK(CALL(context_synchronize)(context, ERR));
  AFTER_FORK(CALL(context_reserve)(context, EPLB_FLOAT32, 1, 2, 8, &in.problem, NULL, ERR));
#undef AFTER_FORK
  EQUAL(-7, rank);
  CHECK(fingerprint == 7);
  EQUAL(-7, dims[0]);
  for (i = 0; i < 32; i++) EQUAL(-7, buffer[i]);
  CHECK(memcmp(&report, &fresh, sizeof report) == 0);
}

static void the_child(void) {
  eplb_context *own;
  a_forked_context();
  CALL(context_destroy)(context);
  /* The library itself works in a child: only what the parent made is lost. */
  own = context_make(3);
  if (input_upload_and_solve(own, &in)) {
    plan_still_there(&before, own, &in);
    invariants_hold(own, &in, NULL);
    if (split_over(own, &in, NULL, 0)) split_still_there(&split_before, own, &in);
  }
  CALL(context_destroy)(own);
}

static void in_the_child(void) { run_in_child(the_child); }

static void in_the_childs_child(void) { run_in_child(in_the_child); }

static void in_the_parent(void) {
  split_still_there(&split_before, context, &in);
  plan_still_there(&before, context, &in);
  if (input_upload_and_solve(context, &in)) plan_still_there(&before, context, &in);
}

void rules_fork(void) {
  int ready;
  test_begin("the input of the fork tests");
  in = input_make(EPLB_FLOAT32, 2, 8, 16, 8, 101);
  context = context_make(2);
  ready = CHECK(input_upload_and_solve(context, &in) && plan_fetch(&before, context, &in) &&
                split_over(context, &in, NULL, 0) && split_fetch(&split_before, context, &in));
  test_end();
  if (!ready) return;
  RUN(in_the_child);
  RUN(in_the_childs_child);
  RUN(in_the_parent);
  plan_free(&before);
  split_free(&split_before);
  CALL(context_destroy)(context);
  input_free(&in);
}
