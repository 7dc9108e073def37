/* A context is used by one thread at a time and says so; different contexts know nothing of each
 * other. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "invariants.h"

/* ---- Two threads on one context. One solves without pause, the other tries everything until it
 * has been refused. */

static struct {
  input in;
  eplb_context *context;
  int stop, refused, other;
} shared;

static void *solve_without_pause(void *unused) {
  while (!__atomic_load_n(&shared.stop, __ATOMIC_SEQ_CST)) {
    eplb_error err;
    eplb_status status = CALL(solve)(shared.context, &shared.in.problem, NULL, &err);
    if (status != err.code || (status != EPLB_OK && err.text[0] == 0)) shared.other++;
    if (status == EPLB_INVALID_STATE) {
      shared.refused++;
      /* The other thread may have reserved, which discards the weights. */
      CALL(upload_weights)
      (shared.context, shared.in.weights, input_length(&shared.in), EPLB_FLOAT32, 1,
       shared.in.layers, shared.in.experts, NULL);
    } else if (status != EPLB_OK) {
      shared.other++;
    }
  }
  return unused;
}

static int64_t *slots_buffer;

static eplb_status intrude(int call, eplb_error *err) {
  static eplb_report report;
  int64_t dims[4], length = shared.in.layers * shared.in.problem.num_slots;
  int32_t rank;
  CALL(report_init)(&report, sizeof report, NULL);
  switch (call) {
    case 0: return CALL(solve)(shared.context, &shared.in.problem, NULL, err);
    case 1: return CALL(fetch_map)(shared.context, 0, EPLB_INT64, slots_buffer, length, err);
    case 2: return CALL(fetch_report)(shared.context, &report, err);
    case 3: return CALL(map_shape)(shared.context, 0, &rank, dims, 4, err);
    case 4: return CALL(context_synchronize)(shared.context, err);
    case 5:
      return CALL(evaluate)(shared.context, &shared.in.problem, slots_buffer, length, EPLB_INT64,
                            &report, NULL, NULL, NULL, shared.in.layers, err);
    case 6:
      return CALL(upload_weights)(shared.context, shared.in.weights, input_length(&shared.in),
                                  EPLB_FLOAT32, 1, shared.in.layers, shared.in.experts, err);
    case 7:
      return CALL(split_prepare)(shared.context, &shared.in.problem, slots_buffer, length,
                                 EPLB_INT64, err);
    case 8:
      return CALL(split)(shared.context, &shared.in.problem, slots_buffer, length, EPLB_INT64, NULL,
                         err);
    default:
      return CALL(context_reserve)(shared.context, EPLB_FLOAT32, 1, shared.in.layers,
                                   shared.in.experts, &shared.in.problem, NULL, err);
  }
}

/* No timing: it goes on until the call was refused once; the other thread is inside a solve nearly
 * all the time. */
static void intrude_until_refused(int call) {
  double start = clock_seconds();
  eplb_status status = EPLB_OK;
  while (clock_seconds() - start < 20 && status == EPLB_OK) {
    status = intrude(call, ERR);
    if (status == EPLB_OK) {
      EXPECT(EPLB_OK, status);
      sched_yield();
    }
  }
  if (!REFUSED(EPLB_INVALID_STATE, status, "thread")) EQUAL(-1, call); /* names the call */
}

static void one_context_two_threads(void) {
  pthread_t solver;
  int call;
  memset(&shared, 0, sizeof shared);
  shared.in = input_make(EPLB_FLOAT32, 300, 128, 160, 16, 83);
  shared.context = context_solved(&shared.in);
  slots_buffer = malloc((size_t)(shared.in.layers * 160) * sizeof *slots_buffer);
  if (shared.context != NULL && EXPECT(EPLB_OK, intrude(1, ERR))) {
    CHECK(pthread_create(&solver, NULL, solve_without_pause, NULL) == 0);
    for (call = 0; call < 10; call++) intrude_until_refused(call);
    __atomic_store_n(&shared.stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(solver, NULL);
    EQUAL(0, shared.other);
  }
  if (input_upload_and_solve(shared.context, &shared.in))
    invariants_hold(shared.context, &shared.in, NULL);
  CALL(context_destroy)(shared.context);
  free(slots_buffer);
  input_free(&shared.in);
}

/* ---- A thread that is cancelled inside a call, while threads of the library work for it. */

static struct {
  input in;
  eplb_context *context;
  int solves;
} cancelled;

static void *solve_until_cancelled(void *unused) {
  for (;;) {
    CALL(solve)(cancelled.context, &cancelled.in.problem, NULL, NULL);
    __atomic_add_fetch(&cancelled.solves, 1, __ATOMIC_SEQ_CST);
    pthread_testcancel();
  }
  return unused;
}

static void cancel_a_solve(void) {
  pthread_t solver;
  void *answer = NULL;
  memset(&cancelled, 0, sizeof cancelled);
  cancelled.in = input_make(EPLB_FLOAT32, 60, 128, 160, 16, 89);
  cancelled.context = context_make(4);
  if (cancelled.context != NULL && input_upload(cancelled.context, &cancelled.in) &&
      CHECK(pthread_create(&solver, NULL, solve_until_cancelled, NULL) == 0)) {
    while (__atomic_load_n(&cancelled.solves, __ATOMIC_SEQ_CST) < 2) sched_yield();
    CHECK(pthread_cancel(solver) == 0);
    CHECK(pthread_join(solver, &answer) == 0);
    CHECK(answer == PTHREAD_CANCELED);
    if (input_upload_and_solve(cancelled.context, &cancelled.in))
      invariants_hold(cancelled.context, &cancelled.in, NULL);
  }
  CALL(context_destroy)(cancelled.context);
  input_free(&cancelled.in);
}

static void a_solving_thread_is_cancelled(void) {
  int round;
  for (round = 0; round < 5; round++) cancel_a_solve();
}

/* ---- A thread whose cancellation waits already ends at the first cancellation point: none of our
 * calls is one. */

enum { CANCEL_LAYERS = 3, CANCEL_SLOTS = 40, CANCEL_LENGTH = CANCEL_LAYERS * CANCEL_SLOTS };

static struct {
  input in;
  int64_t ids[CANCEL_LENGTH], others[3][CANCEL_LENGTH];
  double figures[2][CANCEL_LAYERS];
  eplb_report report;
  const char *next; /* the call that is made */
  int failed;
} doomed;

static void doom(const char *next, eplb_status status) {
  doomed.failed += status != EPLB_OK;
  doomed.next = next;
}

static void call_with_a_context(eplb_context *context) {
  const input *in = &doomed.in;
  doom("upload_placement", CALL(upload_weights)(context, in->weights, input_length(in), in->dtype,
                                                1, in->layers, in->experts, NULL));
  doom("solve", CALL(upload_placement)(context, NULL, 0, 0, 0, 0, NULL));
  doom("fetch_map", CALL(solve)(context, &in->problem, &in->options, NULL));
  doom("fetch_report", CALL(fetch_map)(context, 0, EPLB_INT64, doomed.ids, CANCEL_LENGTH, NULL));
  doom("evaluate", CALL(fetch_report)(context, &doomed.report, NULL));
  doom("evaluate_windows",
       CALL(evaluate)(context, &in->problem, doomed.ids, CANCEL_LENGTH, EPLB_INT64, &doomed.report,
                      NULL, NULL, NULL, CANCEL_LAYERS, NULL));
  doom("plan_transfers",
       CALL(evaluate_windows)(context, &in->problem, doomed.ids, CANCEL_LENGTH, EPLB_INT64,
                              doomed.figures[0], doomed.figures[1], CANCEL_LAYERS, NULL));
  doom("split_prepare",
       CALL(plan_transfers)(context, &in->problem, EPLB_TRANSFER_IN_PLACE, doomed.ids, doomed.ids,
                            doomed.others[0], doomed.others[1], doomed.others[2], CANCEL_LENGTH,
                            EPLB_INT64, &doomed.report, NULL));
  doom("split",
       CALL(split_prepare)(context, &in->problem, doomed.ids, CANCEL_LENGTH, EPLB_INT64, NULL));
  doom("fetch_map", CALL(split)(context, NULL, NULL, 0, 0, NULL, NULL));
  doom("synchronize",
       CALL(fetch_map)(context, EPLB_MAP_SHARE, EPLB_INT64, doomed.ids, CANCEL_LENGTH, NULL));
  doom("reserve", CALL(context_synchronize)(context, NULL));
  doom("interrupt", CALL(context_reserve)(context, in->dtype, 1, in->layers, in->experts,
                                          &in->problem, NULL, NULL));
  CALL(context_interrupt)(context);
}

static void *call_everything(void *unused) {
  eplb_context_options options;
  eplb_context *context = NULL;
  char text[256];
  int32_t count;
  pthread_cancel(pthread_self());
  doom("device_count", CALL(backend_info)(EPLB_DEVICE_CUDA, NULL, text, sizeof text, NULL));
  doom("device_name", CALL(device_count)(EPLB_DEVICE_CPU, &count, NULL));
  doom("init", CALL(device_name)(EPLB_DEVICE_CPU, 0, text, sizeof text, NULL));
  doom("create", CALL(context_options_init)(&options, sizeof options, NULL));
  options.num_threads = 3;
  doom("upload_weights", CALL(context_create)(&context, &options, NULL));
  call_with_a_context(context);
  doomed.next = "destroy";
  CALL(context_destroy)(context);
  doomed.next = NULL;
  pthread_testcancel();
  return unused;
}

static void no_call_is_a_cancellation_point(void) {
  pthread_t caller;
  void *answer = NULL;
  memset(&doomed, 0, sizeof doomed);
  doomed.in = input_make(EPLB_FLOAT32, CANCEL_LAYERS, 32, CANCEL_SLOTS, 8, 93);
  EXPECT(EPLB_OK, CALL(report_init)(&doomed.report, sizeof doomed.report, ERR));
  doomed.next = "backend_info";
  if (CHECK(pthread_create(&caller, NULL, call_everything, NULL) == 0))
    CHECK(pthread_join(caller, &answer) == 0);
  CHECK(answer == PTHREAD_CANCELED);
  EQUAL(0, doomed.failed);
  if (!CHECK(doomed.next == NULL)) fprintf(stderr, "it ended in eplb_..._%s\n", doomed.next);
  input_free(&doomed.in);
}

/* ---- Many threads, a context each. */

enum { WORKERS = 4, ROUNDS = 30 };

struct worker {
  input in;
  int32_t want[5 * 48], got[5 * 48];
  int64_t threads;
  int wrong;
};

static eplb_status solve_alone(const input *in, int64_t threads, int32_t *out) {
  eplb_context_options options;
  eplb_context *context = NULL;
  eplb_status status = CALL(context_options_init)(&options, sizeof options, NULL);
  options.num_threads = threads;
  if (status == EPLB_OK) status = CALL(context_create)(&context, &options, NULL);
  if (status == EPLB_OK)
    status = CALL(upload_weights)(context, in->weights, input_length(in), in->dtype, 1, in->layers,
                                  in->experts, NULL);
  if (status == EPLB_OK) status = CALL(solve)(context, &in->problem, &in->options, NULL);
  if (status == EPLB_OK) status = CALL(fetch_map)(context, 0, EPLB_INT32, out, 5 * 48, NULL);
  CALL(context_destroy)(context);
  return status;
}

static void *work(void *argument) {
  struct worker *self = argument;
  int round;
  for (round = 0; round < ROUNDS; round++) {
    memset(self->got, 0xAA, sizeof self->got);
    if (solve_alone(&self->in, self->threads, self->got) != EPLB_OK ||
        memcmp(self->want, self->got, sizeof self->got) != 0)
      self->wrong++;
  }
  return NULL;
}

static void contexts_are_independent(void) {
  static struct worker workers[WORKERS];
  pthread_t threads[WORKERS];
  int i;
  for (i = 0; i < WORKERS; i++) {
    workers[i].in = input_make(EPLB_FLOAT32, 5, 32, 48, 8, 89 + (uint64_t)i);
    workers[i].in.options.strategy = i % 2 ? EPLB_STRATEGY_GREEDY : EPLB_STRATEGY_LPT_SWAP;
    workers[i].threads = 1 + i % 3;
    EXPECT(EPLB_OK, solve_alone(&workers[i].in, 1, workers[i].want));
  }
  for (i = 0; i < WORKERS; i++) CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
  for (i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  for (i = 0; i < WORKERS; i++) {
    EQUAL(0, workers[i].wrong);
    input_free(&workers[i].in);
  }
}

/* ---- More threads than can work are not started: memory for them would be there. */

static int64_t bytes_with_threads(const input *in, int64_t threads) {
  eplb_report report;
  eplb_context *context = context_make(threads);
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  if (input_upload_and_solve(context, in))
    EXPECT(EPLB_OK, CALL(fetch_report)(context, &report, ERR));
  CALL(context_destroy)(context);
  return report.context_bytes;
}

static void threads_are_limited(void) {
  input in = input_make(EPLB_FLOAT32, 3000, 16, 24, 8, 97);
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  int64_t most = processors > 16 ? processors : 16, one = bytes_with_threads(&in, 1),
          two = bytes_with_threads(&in, 2), endless = bytes_with_threads(&in, 1000000000);
  CHECK(two > one && endless > two);
  CHECK(endless <= one + (most - 1) * (two - one) + 4096);
  input_free(&in);
}

/* ---- One context, one thread at a time, but each time another. */

static struct {
  input in;
  eplb_context *context;
  eplb_status status[4];
  int32_t slots[48];
} handed;

static void *hand_create(void *unused) {
  handed.status[0] = CALL(context_create)(&handed.context, NULL, NULL);
  return unused;
}
static void *hand_solve(void *unused) {
  handed.status[1] =
      CALL(upload_weights)(handed.context, handed.in.weights, 32, EPLB_FLOAT32, 1, 1, 32, NULL);
  handed.status[2] = CALL(solve)(handed.context, &handed.in.problem, NULL, NULL);
  return unused;
}
static void *hand_fetch(void *unused) {
  handed.status[3] = CALL(fetch_map)(handed.context, 0, EPLB_INT32, handed.slots, 48, NULL);
  return unused;
}
static void *hand_destroy(void *unused) {
  CALL(context_destroy)(handed.context);
  return unused;
}

static void a_context_may_move_between_threads(void) {
  static void *(*const steps[])(void *) = {hand_create, hand_solve, hand_fetch, hand_destroy};
  pthread_t thread;
  size_t i;
  memset(&handed, 0, sizeof handed);
  memset(handed.slots, 0xAA, sizeof handed.slots);
  handed.in = input_make(EPLB_FLOAT32, 1, 32, 48, 8, 97);
  for (i = 0; i < 4; i++) {
    CHECK(pthread_create(&thread, NULL, steps[i], NULL) == 0);
    pthread_join(thread, NULL);
  }
  for (i = 0; i < 4; i++) EQUAL(EPLB_OK, handed.status[i]);
  for (i = 0; i < 48; i++) CHECK(handed.slots[i] >= 0 && handed.slots[i] < 32);
  input_free(&handed.in);
}

/* ---- Functions without a context are free for all. */

static void *ask(void *wrong) {
  int round;
  for (round = 0; round < 300; round++) {
    eplb_error err;
    char text[256];
    int32_t count = 0;
    eplb_problem problem;
    int failed = CALL(device_count)(EPLB_DEVICE_CPU, &count, &err) != EPLB_OK || count != 1;
    failed |= CALL(backend_info)(EPLB_DEVICE_CUDA, NULL, text, sizeof text, &err) != EPLB_OK;
    failed |= CALL(device_name)(EPLB_DEVICE_CPU, 0, text, sizeof text, &err) != EPLB_OK;
    failed |=
        CALL(problem_init)(&problem, sizeof problem, &err) != EPLB_OK || problem.num_nodes != 1;
    failed |= CALL(problem_init)(&problem, -1, &err) != EPLB_INVALID_ARGUMENT || err.text[0] == 0;
    failed |= strcmp(CALL(status_name)(EPLB_OK), "EPLB_OK") != 0;
    if (failed) __atomic_fetch_add((int *)wrong, 1, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static void information_is_free_for_all(void) {
  pthread_t threads[WORKERS];
  int i, wrong = 0;
  for (i = 0; i < WORKERS; i++) CHECK(pthread_create(&threads[i], NULL, ask, &wrong) == 0);
  for (i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  EQUAL(0, wrong);
}

void rules_threads(void) {
  RUN(one_context_two_threads);
  RUN(a_solving_thread_is_cancelled);
  RUN(no_call_is_a_cancellation_point);
  RUN(contexts_are_independent);
  RUN(threads_are_limited);
  RUN(a_context_may_move_between_threads);
  RUN(information_is_free_for_all);
}
