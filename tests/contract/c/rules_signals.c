/* The caller's signals: the mask stays, and a handler never runs on a thread of the library. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "plan.h"
#include "process.h"

static void masks_stay(void) {
  input in = input_make(EPLB_FLOAT32, 8, 8, 16, 8, 73);
  sigset_t wanted, before, found;
  eplb_context *context;
  int number;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR2);
  sigaddset(&wanted, SIGHUP);
  pthread_sigmask(SIG_SETMASK, &wanted, &before);
  context = context_make(4);
  input_upload_and_solve(context, &in);
  EXPECT(EPLB_OK, CALL(split)(context, &in.problem, NULL, 0, 0, NULL, ERR));
  INVALID(CALL(solve)(context, NULL, NULL, ERR), "problem");
  CALL(context_destroy)(context);
  pthread_sigmask(SIG_SETMASK, &before, &found);
  for (number = 1; number < 32; number++)
    CHECK(sigismember(&wanted, number) == sigismember(&found, number));
  input_free(&in);
}

/* One thread solves and solves with four threads while the main thread looks at all threads from
 * outside. */
static struct {
  input in;
  eplb_context *context;
  pthread_t solver;
  int solver_id; /* as the kernel counts */
  int stop;
  int failures;
  int handled, handled_elsewhere;
} scene;

static void *solve_until_stopped(void *unused) {
  __atomic_store_n(&scene.solver_id, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&scene.stop, __ATOMIC_SEQ_CST))
    if (CALL(solve)(scene.context, &scene.in.problem, NULL, NULL) != EPLB_OK)
      __atomic_fetch_add(&scene.failures, 1, __ATOMIC_SEQ_CST);
  return unused;
}

static int start_solving(void) {
  memset(&scene, 0, sizeof scene);
  scene.in = input_make(EPLB_FLOAT32, 400, 128, 160, 16, 79);
  scene.context = context_make(4);
  return scene.context != NULL && input_upload(scene.context, &scene.in) &&
         CHECK(pthread_create(&scene.solver, NULL, solve_until_stopped, NULL) == 0);
}

static void stop_solving(void) {
  __atomic_store_n(&scene.stop, 1, __ATOMIC_SEQ_CST);
  pthread_join(scene.solver, NULL);
  EQUAL(0, scene.failures);
  CALL(context_destroy)(scene.context);
  input_free(&scene.in);
}

/* The blocked signals of a thread, or 0 once it is gone. */
static unsigned long long blocked_by(const char *thread) {
  char path[320], line[256];
  unsigned long long mask = 0;
  FILE *file;
  snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
  file = fopen(path, "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) sscanf(line, "SigBlk: %llx", &mask);
  fclose(file);
  return mask;
}

/* What is listed for a thread that blocks all signals: an emulator of the processor keeps SIGSEGV
 * and SIGBUS to itself. Signals from 32 on are left to the C library. */
static unsigned long long all_signals(void) {
  sigset_t all, before;
  unsigned long long listed;
  char id[32];
  snprintf(id, sizeof id, "%ld", syscall(SYS_gettid));
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  listed = blocked_by(id) & 0x7FFFFFFF;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return listed;
}

/* Threads of the library seen now; those that would take one of the signals are counted in *open. */
static int library_threads(unsigned long long signals, int *open) {
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *task;
  int seen = 0;
  while (tasks != NULL && (task = readdir(tasks)) != NULL) {
    int id = atoi(task->d_name);
    unsigned long long mask;
    if (id == 0 || process_had_thread(id) ||
        id == __atomic_load_n(&scene.solver_id, __ATOMIC_SEQ_CST))
      continue;
    mask = blocked_by(task->d_name);
    if (mask == 0 && access("/proc/self/task", R_OK) == 0) {
      char path[320];
      snprintf(path, sizeof path, "/proc/self/task/%s", task->d_name);
      if (access(path, R_OK) != 0) continue; /* it ended while we looked */
    }
    seen++;
    *open += (mask & signals) != signals;
  }
  if (tasks != NULL) closedir(tasks);
  return seen;
}

static void library_threads_block_all_signals(void) {
  const unsigned long long signals = all_signals();
  double start = clock_seconds();
  int seen = 0, open = 0;
  if (HARNESS_SANITIZED) {
    test_skip("a sanitizer has threads of its own");
    return;
  }
  if (!start_solving()) return;
  while (__atomic_load_n(&scene.solver_id, __ATOMIC_SEQ_CST) == 0) usleep(100);
  /* Over many solves, since the C library itself blocks all signals while a thread comes to life.
   * */
  while (seen < 1000 && clock_seconds() - start < 10) {
    seen += library_threads(signals, &open);
    usleep(300);
  }
  stop_solving();
  CHECK(__builtin_popcountll(signals) >= 27);
  CHECK(seen >= 100); /* else nothing was looked at, and num_threads = 4 starts no threads */
  EQUAL(0, open);
}

static void handler(int number) {
  (void)number;
  __atomic_fetch_add(&scene.handled, 1, __ATOMIC_SEQ_CST);
  if ((int)syscall(SYS_gettid) != __atomic_load_n(&scene.solver_id, __ATOMIC_SEQ_CST))
    __atomic_fetch_add(&scene.handled_elsewhere, 1, __ATOMIC_SEQ_CST);
}

/* The main thread blocks the signal, so the kernel may choose between the solver and the library's
 * threads only. */
static void handlers_run_on_the_callers_thread(void) {
  struct sigaction action, old;
  sigset_t one, before;
  double start;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  sigaction(SIGUSR1, &action, &old);
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  if (start_solving()) {
    pthread_sigmask(SIG_BLOCK, &one, &before);
    while (__atomic_load_n(&scene.solver_id, __ATOMIC_SEQ_CST) == 0) usleep(100);
    start = clock_seconds();
    while (__atomic_load_n(&scene.handled, __ATOMIC_SEQ_CST) < 500 && clock_seconds() - start < 5) {
      kill(getpid(), SIGUSR1);
      usleep(200);
    }
    stop_solving();
    CHECK(scene.handled > 10);
    EQUAL(0, scene.handled_elsewhere);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  sigaction(SIGUSR1, &old, NULL);
}

void rules_signals(void) {
  RUN(masks_stay);
  RUN(library_threads_block_all_signals);
  RUN(handlers_run_on_the_callers_thread);
}
