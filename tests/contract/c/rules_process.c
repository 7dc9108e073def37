/* The process is as it was: environment, handlers, mask, folder, descriptors and threads. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allocations.h"
#include "harness.h"
#include "plan.h"
#include "process.h"

enum { SIGNALS = 64 };

static struct {
  char **variables;
  int variable_count;
  char folder[4096];
  char locale[512];
  mode_t mask;
  int threads[16], thread_count;
  struct sigaction handlers[SIGNALS];
} before;

static void remember_threads(void) {
  const int most = sizeof before.threads / sizeof *before.threads;
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *task;
  while (tasks != NULL && before.thread_count < most && (task = readdir(tasks)) != NULL)
    if (*task->d_name != '.') before.threads[before.thread_count++] = atoi(task->d_name);
  if (tasks != NULL) closedir(tasks);
}

int process_had_thread(int id) {
  int i;
  for (i = 0; i < before.thread_count; i++)
    if (before.threads[i] == id) return 1;
  return 0;
}

int process_entries(const char *path) {
  DIR *folder = opendir(path);
  int count = 0;
  while (folder != NULL && readdir(folder) != NULL) count++;
  if (folder != NULL) closedir(folder);
  return count;
}

void process_remember(void) {
  int i;
  remember_threads();
  while (environ[before.variable_count] != NULL) before.variable_count++;
  before.variables = calloc((size_t)before.variable_count, sizeof *before.variables);
  for (i = 0; i < before.variable_count; i++) before.variables[i] = strdup(environ[i]);
  if (getcwd(before.folder, sizeof before.folder) == NULL) before.folder[0] = 0;
  strcpy(before.locale, setlocale(LC_ALL, NULL));
  before.mask = umask(022);
  umask(before.mask);
  for (i = 1; i < SIGNALS; i++) sigaction(i, NULL, &before.handlers[i]);
}

/* All tests have run by now, so this speaks for every call that the harness made. */
static void nothing_of_the_process_changed(void) {
  char folder[4096] = "";
  mode_t mask = umask(022);
  int i;
  umask(mask);
  for (i = 0; i < before.variable_count && environ[i] != NULL; i++)
    CHECK(strcmp(before.variables[i], environ[i]) == 0);
  CHECK(i == before.variable_count && environ[i] == NULL);
  CHECK(getcwd(folder, sizeof folder) != NULL && strcmp(before.folder, folder) == 0);
  CHECK(strcmp(before.locale, setlocale(LC_ALL, NULL)) == 0);
  EQUAL(before.mask, mask);
  for (i = 1; i < SIGNALS; i++) {
    struct sigaction now;
    if (sigaction(i, NULL, &now) == 0) CHECK(now.sa_handler == before.handlers[i].sa_handler);
  }
}

static int use_the_library_once(void) {
  input in = input_make(EPLB_FLOAT32, 4, 8, 16, 8, 103);
  eplb_context *context = context_make(3);
  int fine = input_upload_and_solve(context, &in);
  CALL(context_destroy)(context);
  input_free(&in);
  return fine;
}

/* Whether there are that many threads: one that was joined may be listed for a moment. */
static int threads_are(int count) {
  const double start = clock_seconds();
  while (process_entries("/proc/self/task") != 2 + count) {
    if (clock_seconds() - start > 10) return 0;
    usleep(100);
  }
  return 1;
}

/* The library stays mapped (-z nodelete): after the first load nothing may grow, however often it
 * is loaded again. */
static void loading_again_and_again(void) {
  int files, threads = before.thread_count, round;
  int64_t bytes = 0;
  void *library;
  if (!use_the_library_once()) return;
  files = process_entries("/proc/self/fd");
  /* A sanitizer starts one of its own when it likes. */
  if (HARNESS_SANITIZED) threads = process_entries("/proc/self/task") - 2;
  CHECK(threads_are(threads));
  for (round = 0; round < 8; round++) {
    library = dlopen(api_path(), RTLD_NOW | RTLD_LOCAL);
    if (!CHECK(library != NULL) || !use_the_library_once()) return;
    CHECK(dlclose(library) == 0);
    EQUAL(files, process_entries("/proc/self/fd"));
    CHECK(threads_are(threads));
    if (round == 2) bytes = allocated_bytes();
    if (round > 2) EQUAL(0, allocated_bytes() - bytes);
  }
}

/* In a child that has closed the last handle, the code must still be there: a thread or an exit
 * handler may need it. */
static void close_every_handle(void) {
  void *library = dlopen(api_path(), RTLD_NOW | RTLD_NOLOAD);
  int closes = 0;
  if (!CHECK(library != NULL)) return;
  while (closes < 3 && dlclose(library) == 0) closes++;
  library = dlopen(api_path(), RTLD_NOW | RTLD_NOLOAD);
  CHECK(library != NULL);
  use_the_library_once();
}

static void the_library_stays_mapped(void) { run_in_child(close_every_handle); }

void rules_process(void) {
  RUN(loading_again_and_again);
  RUN(the_library_stays_mapped);
  RUN(nothing_of_the_process_changed);
}
