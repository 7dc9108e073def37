/* Loads the library, solves and unloads it again and again, and looks at what is left behind. Run
 * by test_loading.py, also under valgrind and with ThreadSanitizer.
 *
 *     loading LIBRARY cycles N      one after the other
 *     loading LIBRARY threads N     N in each of 8 threads, three times
 *     loading LIBRARY fork N        N children, each of which makes a context of its own
 *     loading LIBRARY fork-amid N   the same while another thread solves
 *     loading LIBRARY leak          forgets a context, and
 *     loading LIBRARY race          counts without a lock: valgrind and ThreadSanitizer must see it
 * */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <eplb.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAYERS = 3, EXPERTS = 8, SLOTS = 16, THREADS = 8, WARM_UP = 32 };

typedef struct functions {
  __typeof__(eplb_context_options_init) *context_options_init;
  __typeof__(eplb_context_create) *context_create;
  __typeof__(eplb_context_destroy) *context_destroy;
  __typeof__(eplb_problem_init) *problem_init;
  __typeof__(eplb_solve_options_init) *solve_options_init;
  __typeof__(eplb_upload_weights) *upload_weights;
  __typeof__(eplb_solve) *solve;
  __typeof__(eplb_fetch_map) *fetch_map;
} functions;

static const char *path;
static int32_t expected[LAYERS * SLOTS];

static void give_up(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void find(void *library, const char *name, void *function) {
  void *symbol = dlsym(library, name);
  if (symbol == NULL) give_up(name, "not in the library");
  memcpy(function, &symbol, sizeof symbol);
}

static void *load(functions *eplb) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) give_up("dlopen", dlerror());
  find(library, "eplb_context_options_init", &eplb->context_options_init);
  find(library, "eplb_context_create", &eplb->context_create);
  find(library, "eplb_context_destroy", &eplb->context_destroy);
  find(library, "eplb_problem_init", &eplb->problem_init);
  find(library, "eplb_solve_options_init", &eplb->solve_options_init);
  find(library, "eplb_upload_weights", &eplb->upload_weights);
  find(library, "eplb_solve", &eplb->solve);
  find(library, "eplb_fetch_map", &eplb->fetch_map);
  return library;
}

/* Solves with `threads` threads; the context is the caller's. */
static eplb_context *solve(const functions *eplb, int64_t threads, int32_t *placement) {
  static const float weights[LAYERS * EXPERTS] = {600, 560, 120, 120, 20, 10, 10, 10, 1, 2, 3, 4,
                                                  5,   6,   7,   80,  0,  0,  0,  1,  9, 9, 9, 9};
  eplb_context *context = NULL;
  eplb_context_options options;
  eplb_problem problem;
  eplb_solve_options effort;
  eplb_error err;
  int failed = eplb->context_options_init(&options, sizeof options, &err) ||
               eplb->problem_init(&problem, sizeof problem, &err) ||
               eplb->solve_options_init(&effort, sizeof effort, &err);
  options.num_threads = threads;
  problem.num_slots = SLOTS;
  problem.num_gpus = 8;
  effort.effort = EPLB_EFFORT_FAST;
  failed = failed || eplb->context_create(&context, &options, &err) ||
           eplb->upload_weights(context, weights, LAYERS * EXPERTS, EPLB_FLOAT32, 1, LAYERS,
                                EXPERTS, &err) ||
           eplb->solve(context, &problem, &effort, &err) ||
           eplb->fetch_map(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement,
                           LAYERS * SLOTS, &err);
  if (failed) give_up("solve", err.text);
  return context;
}

/* Load, solve, unload. In every eighth cycle the solve starts a thread. */
static void cycle(int number) {
  functions eplb;
  int32_t placement[LAYERS * SLOTS];
  void *library = load(&eplb);
  eplb.context_destroy(solve(&eplb, number % 8 ? 1 : 2, placement));
  if (memcmp(placement, expected, sizeof expected) != 0)
    give_up("solve", "another answer than the first time");
  if (dlclose(library) != 0) give_up("dlclose", dlerror());
}

/* ---- What is left behind. */

typedef struct traces {
  long files, threads, bytes;
} traces;

static long entries(const char *folder_path) {
  DIR *folder = opendir(folder_path);
  long count = 0;
  while (folder != NULL && readdir(folder) != NULL) count++;
  if (folder != NULL) closedir(folder);
  return count;
}

static traces look(void) {
  traces now;
  now.files = entries("/proc/self/fd");
  now.threads = entries("/proc/self/task");
  /* Valgrind and ThreadSanitizer answer 0: they look themselves. */
  now.bytes = (long)mallinfo2().uordblks;
  return now;
}

/* In bytes, `slack` more are allowed: the C library keeps a table with every stack that it keeps
 * for threads to come. */
static void expect_same(traces before, long slack) {
  traces now = look();
  printf("descriptors %ld, threads %ld, bytes %ld; before: %ld, %ld, %ld\n", now.files, now.threads,
         now.bytes, before.files, before.threads, before.bytes);
  if (now.files != before.files) give_up("descriptors", "not as many as before");
  if (now.threads != before.threads) give_up("threads", "not as many as before");
  if (now.bytes > before.bytes + slack || now.bytes < before.bytes - slack)
    give_up("memory", "not as before");
}

/* ---- The commands. */

static void run_cycles(int count) {
  traces before;
  int i;
  for (i = 0; i < WARM_UP; i++) cycle(i);
  before = look();
  for (i = 0; i < count; i++) cycle(i);
  expect_same(before, 0);
}

static void *cycles_of_a_thread(void *count) {
  int i;
  for (i = 0; i < *(int *)count; i++) cycle(i);
  return NULL;
}

static void run_round(void *(*body)(void *), int count) {
  pthread_t threads[THREADS];
  int i;
  for (i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, body, &count) != 0)
      give_up("pthread_create", "no thread");
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void run_threads(int count) {
  traces before;
  /* The first round makes what the C library keeps for threads to come. */
  run_round(cycles_of_a_thread, count);
  before = look();
  run_round(cycles_of_a_thread, count);
  run_round(cycles_of_a_thread, count);
  expect_same(before, 16384);
}

static int stop;

static void *cycles_until_stopped(void *unused) {
  int i;
  for (i = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); i++) cycle(i);
  return unused;
}

static void run_children(int count) {
  int i, status;
  for (i = 0; i < count; i++) {
    pid_t child = fork();
    if (child == 0) {
      cycle(i);
      _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) give_up("fork", "no child");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      give_up("fork", "the child could not solve");
  }
}

static void run_fork(int count) {
  traces before = look();
  run_children(count);
  expect_same(before, 0);
}

static void run_fork_amid(int count) {
  pthread_t other;
  if (pthread_create(&other, NULL, cycles_until_stopped, NULL) != 0)
    give_up("pthread_create", "no thread");
  run_children(count);
  __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
  pthread_join(other, NULL);
}

static void *count_without_a_lock(void *count) {
  static long counter;
  int i;
  for (i = 0; i < *(int *)count; i++) counter++;
  return counter > 0 ? NULL : count;
}

int main(int argc, char **argv) {
  functions eplb;
  void *library;
  const int count = argc > 3 ? atoi(argv[3]) : 1000;
  if (argc < 3) give_up("usage", "loading LIBRARY COMMAND [N]");
  path = argv[1];
  library = load(&eplb);
  if (strcmp(argv[2], "leak") == 0) return solve(&eplb, 2, expected) == NULL;
  eplb.context_destroy(solve(&eplb, 2, expected));
  if (dlclose(library) != 0) give_up("dlclose", dlerror());
  if (strcmp(argv[2], "cycles") == 0) run_cycles(count);
  if (strcmp(argv[2], "threads") == 0) run_threads(count);
  if (strcmp(argv[2], "fork") == 0) run_fork(count);
  if (strcmp(argv[2], "fork-amid") == 0) run_fork_amid(count);
  if (strcmp(argv[2], "race") == 0) run_round(count_without_a_lock, count);
  return 0;
}
