#define _POSIX_C_SOURCE 200809L
#include "harness.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "streams.h"

static const char *current = "outside of all tests";
static int failed_checks, skipped_now;
static int passed, failed, skipped;

static eplb_error error;
static int error_in_use;

void test_begin(const char *name) {
  current = name;
  failed_checks = skipped_now = 0;
}

void test_end(void) {
  if (failed_checks > 0) {
    failed++;
    fprintf(report_stream(), "FAILED %s\n", current);
  } else if (skipped_now) {
    skipped++;
  } else {
    passed++;
  }
  current = "outside of all tests";
}

void test_run(const char *name, void (*body)(void)) {
  test_begin(name);
  body();
  test_end();
}

void test_skip(const char *why) {
  skipped_now = 1;
  if (why != NULL) fprintf(report_stream(), "skipped %s: %s\n", current, why);
}

int test_has_failed(void) { return failed_checks > 0; }

const char *test_name(void) { return current; }

static void complain(const char *file, int line, const char *what) {
  const char *name = strrchr(file, '/');
  failed_checks++;
  fprintf(report_stream(), "%s:%d: %s: %s", name ? name + 1 : file, line, current, what);
}

int check_true(int passes, const char *what, const char *file, int line) {
  if (passes) return 1;
  complain(file, line, what);
  fprintf(report_stream(), " does not hold\n");
  return 0;
}

int check_equal(int64_t want, int64_t got, const char *what, const char *file, int line) {
  if (want == got) return 1;
  complain(file, line, what);
  fprintf(report_stream(), " is %" PRId64 ", expected %" PRId64 "\n", got, want);
  return 0;
}

int check_close(double want, double got, double tolerance, const char *what, const char *file,
                int line) {
  if (want == got || fabs(want - got) <= tolerance * fabs(want)) return 1;
  complain(file, line, what);
  fprintf(report_stream(), " is %.17g, expected %.17g\n", got, want);
  return 0;
}

eplb_error *check_fresh_error(void) {
  memset(&error, 0xAA, sizeof error);
  error_in_use = 1;
  return &error;
}

const char *check_last_text(void) { return error.text; }

/* What is wrong with the error struct after a call that answered `status`, or NULL. */
static const char *error_fault(eplb_status status) {
  size_t length, i;
  if (error.code != status) return "err.code differs from the status";
  if (memchr(error.text, 0, sizeof error.text) == NULL) return "err.text is not terminated";
  length = strlen(error.text);
  if (status == EPLB_OK && length > 0) return "err.text is not empty after success";
  if (status != EPLB_OK && length == 0) return "err.text is empty after a failure";
  for (i = 0; i < length; i++)
    if (error.text[i] < ' ' || error.text[i] > '~') return "err.text holds more than plain ASCII";
  for (i = length; i < sizeof error.text; i++)
    if (error.text[i] != 0) return "err.text holds old bytes behind its end";
  return NULL;
}

int check_status(eplb_status want, eplb_status got, const char *call, const char *file, int line,
                 const char *const *words) {
  int had_error = error_in_use, before = failed_checks;
  const char *fault = had_error ? error_fault(got) : NULL;
  error_in_use = 0;
  if (fault != NULL) {
    complain(file, line, call);
    fprintf(report_stream(), ": %s\n", fault);
  }
  if (want != got) {
    complain(file, line, call);
    fprintf(report_stream(), " answered %s (%s), expected %s\n", api.status_name(got),
            had_error && fault == NULL ? error.text : "", api.status_name(want));
  }
  for (; words != NULL && *words != NULL && want == got && fault == NULL; words++) {
    if (had_error && strstr(error.text, *words) != NULL) continue;
    complain(file, line, call);
    fprintf(report_stream(), ": the text \"%s\" does not say \"%s\"\n", error.text, *words);
  }
  return before == failed_checks;
}

int test_print_counts(void) {
  fprintf(report_stream(), "%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed > 0;
}

int run_in_child(void (*body)(void)) {
  int status = 0;
  pid_t child;
  fflush(NULL);
  child = fork();
  if (child == 0) {
    failed_checks = 0;
    body();
    fflush(NULL);
    _exit(failed_checks > 0);
  }
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
    complain(__FILE__, __LINE__, "the child died");
    fprintf(report_stream(), " of signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return 0;
  }
  if (WEXITSTATUS(status) != 0) failed_checks++;
  return 1;
}

double clock_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
