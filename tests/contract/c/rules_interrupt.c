/* A running call ends when it is asked to, from another thread or from a signal handler, and leaves
 * everything as it was. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "harness.h"
#include "invariants.h"
#include "split.h"

enum { LAYERS = 6, EXPERTS = 64, SLOTS = 96, GPUS = 16 };

/* ---- What is interrupted, again and again, until it has said so. */

static struct {
  eplb_context *context;
  input in, large;
  plan before;
  split split;
  eplb_status (*call)(eplb_error *err);
  eplb_status status;
  int done;
  eplb_error err;
} scene;

/* What calls write. */
static struct outputs {
  int64_t ids[3][LAYERS * SLOTS];
  double imbalance[LAYERS], bound[LAYERS];
  int64_t duplicates[LAYERS];
  eplb_report report;
} outputs, untouched;

static void poison_outputs(void) {
  memset(&outputs, 0xA5, sizeof outputs);
  EXPECT(EPLB_OK, CALL(report_init)(&outputs.report, sizeof outputs.report, ERR));
  memcpy(&untouched, &outputs, sizeof outputs);
}

/* One layer of it takes seconds, all of them minutes. */
static eplb_status call_solve(eplb_error *err) {
  return api.solve(scene.context, &scene.large.problem, &scene.large.options, err);
}
static eplb_status call_rebalance(eplb_error *err) {
  eplb_solve_options options = scene.in.options;
  options.strategy = EPLB_STRATEGY_REBALANCE;
  options.effort = EPLB_EFFORT_MAX;
  return api.solve(scene.context, &scene.in.problem, &options, err);
}
static eplb_status call_preset(eplb_error *err) {
  eplb_solve_options options = scene.in.options;
  options.strategy = EPLB_STRATEGY_HYBRID_INIT;
  return api.solve(scene.context, &scene.in.problem, &options, err);
}
static eplb_status call_evaluate(eplb_error *err) {
  return api.evaluate(scene.context, &scene.in.problem, scene.before.ints[0],
                      scene.before.lengths[0], EPLB_INT64, &outputs.report, outputs.imbalance,
                      outputs.bound, outputs.duplicates, LAYERS, err);
}
static eplb_status call_windows(eplb_error *err) {
  return api.evaluate_windows(scene.context, &scene.in.problem, scene.before.ints[0],
                              scene.before.lengths[0], EPLB_INT64, outputs.imbalance, outputs.bound,
                              LAYERS, err);
}
static eplb_status call_transfers(eplb_error *err) {
  return api.plan_transfers(scene.context, &scene.in.problem, EPLB_TRANSFER_IN_PLACE,
                            scene.before.ints[0], scene.before.ints[0], outputs.ids[0],
                            outputs.ids[1], outputs.ids[2], LAYERS * SLOTS, EPLB_INT64,
                            &outputs.report, err);
}

static eplb_status call_split_prepare(eplb_error *err) {
  return api.split_prepare(scene.context, &scene.in.problem, scene.before.ints[0], LAYERS * SLOTS,
                           EPLB_INT64, err);
}
static eplb_status call_split(eplb_error *err) {
  return api.split(scene.context, &scene.in.problem, scene.before.ints[0], LAYERS * SLOTS,
                   EPLB_INT64, NULL, err);
}

static eplb_status call_dispatch(eplb_error *err) {
  return api.static_dispatch(scene.context, &scene.in.problem, scene.before.ints[0], LAYERS * SLOTS,
                             EPLB_INT64, NULL, err);
}

/* Not the plan: what is split over it, and what is prepared, must stay while others fail. */
static const int64_t *even_placement(void) {
  static int64_t placement[LAYERS * SLOTS];
  int64_t i;
  for (i = 0; i < LAYERS * SLOTS; i++) placement[i] = i % SLOTS % EXPERTS;
  return placement;
}

static void *call_once(void *unused) {
  scene.status = scene.call(&scene.err);
  __atomic_store_n(&scene.done, 1, __ATOMIC_SEQ_CST);
  return unused;
}

/* The call runs on another thread while this one interrupts it, until it is done. */
static eplb_status interrupt_once(void) {
  pthread_t caller;
  memset(&scene.err, 0x55, sizeof scene.err);
  scene.done = 0;
  if (!CHECK(pthread_create(&caller, NULL, call_once, NULL) == 0)) return EPLB_INTERNAL_ERROR;
  while (!__atomic_load_n(&scene.done, __ATOMIC_SEQ_CST)) CALL(context_interrupt)(scene.context);
  pthread_join(caller, NULL);
  CHECK(scene.err.code == scene.status && (scene.err.text[0] == 0) == (scene.status == EPLB_OK));
  return scene.status;
}

static void interrupt_until_noticed(eplb_status (*call)(eplb_error *err)) {
  eplb_status status = EPLB_OK;
  double start = clock_seconds();
  scene.call = call;
  while (status == EPLB_OK && clock_seconds() - start < 300) {
    if (!input_solve(scene.context, &scene.in) ||
        !split_over(scene.context, &scene.in, even_placement(), 0))
      return;
    poison_outputs();
    status = interrupt_once();
  }
  EQUAL(EPLB_INTERRUPTED, status);
  CHECK(memcmp(&outputs, &untouched, sizeof outputs) == 0);
  plan_still_there(&scene.before, scene.context, &scene.in);
  split_still_there(&scene.split, scene.context, &scene.in);
  EXPECT(EPLB_OK, call == call_solve ? EPLB_OK : call(ERR)); /* left alone, it succeeds */
}

static int upload_current(void) {
  return EXPECT(EPLB_OK, CALL(upload_placement)(scene.context, even_placement(), LAYERS * SLOTS,
                                                EPLB_INT64, LAYERS, SLOTS, ERR));
}

static int begin_scene(int64_t threads, int has_current) {
  memset(&scene, 0, sizeof scene);
  scene.in = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, SLOTS, GPUS, 91);
  scene.large = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, 1 << 17, 1 << 13, 91);
  scene.large.options.effort = EPLB_EFFORT_MAX;
  scene.context = context_make(threads);
  return scene.context != NULL && input_upload(scene.context, &scene.in) &&
         (!has_current || upload_current()) && input_solve(scene.context, &scene.in) &&
         plan_fetch(&scene.before, scene.context, &scene.in) &&
         split_over(scene.context, &scene.in, even_placement(), 0) &&
         split_fetch(&scene.split, scene.context, &scene.in);
}
static void end_scene(void) {
  /* Nothing of an interrupted call is left: a context that never was gives the same. */
  if (input_upload_and_solve(scene.context, &scene.in)) {
    plan_still_there(&scene.before, scene.context, &scene.in);
    invariants_hold(scene.context, &scene.in, NULL);
  }
  plan_free(&scene.before);
  split_free(&scene.split);
  CALL(context_destroy)(scene.context);
  input_free(&scene.in);
  input_free(&scene.large);
}

static void a_solve_ends(void) {
  int64_t threads;
  for (threads = 1; threads <= 4; threads += 3)
    if (begin_scene(threads, 0)) {
      interrupt_until_noticed(call_solve);
      end_scene();
    }
}

static void other_calls_end(void) {
  static eplb_status (*const calls[])(eplb_error *) = {
      call_rebalance, call_preset,        call_evaluate, call_windows,
      call_transfers, call_split_prepare, call_split,    call_dispatch};
  size_t i;
  for (i = 0; i < sizeof calls / sizeof *calls; i++)
    if (begin_scene(1, calls[i] == call_rebalance)) {
      interrupt_until_noticed(calls[i]);
      end_scene();
    }
}

/* ---- From a signal handler, on the thread that is inside the call. */

static void handler(int number) {
  (void)number;
  api.context_interrupt(scene.context);
}

static void a_handler_may_interrupt(void) {
  struct sigaction action, old;
  struct itimerval often, never;
  if (!begin_scene(4, 0)) return;
  memset(&action, 0, sizeof action);
  memset(&never, 0, sizeof never);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, &old);
  often.it_interval.tv_sec = often.it_value.tv_sec = 0;
  often.it_interval.tv_usec = often.it_value.tv_usec = 20000;
  setitimer(ITIMER_REAL, &often, NULL);
  EXPECT(EPLB_INTERRUPTED, call_solve(ERR));
  setitimer(ITIMER_REAL, &never, NULL);
  sigaction(SIGALRM, &old, NULL);
  plan_still_there(&scene.before, scene.context, &scene.in);
  end_scene();
}

/* ---- Without a running call it does nothing. */

static void an_idle_context_forgets(void) {
  if (!begin_scene(1, 0)) return;
  CALL(context_interrupt)(scene.context);
  plan_still_there(&scene.before, scene.context, &scene.in);
  CALL(context_interrupt)(scene.context);
  poison_outputs();
  EXPECT(EPLB_OK, call_evaluate(ERR));
  CALL(context_interrupt)(NULL);
  end_scene();
}

void rules_interrupt(void) {
  RUN(an_idle_context_forgets);
  RUN(a_solve_ends);
  RUN(other_calls_end);
  RUN(a_handler_may_interrupt);
}
