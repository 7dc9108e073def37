/* A test framework of one page. Tests are counted, not checks: a test fails if one of its checks
 * does, and goes on. */
#ifndef EPLB_TESTS_HARNESS_H
#define EPLB_TESTS_HARNESS_H

#include <stddef.h>

#include "api_table.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HARNESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define HARNESS_SANITIZED 1
#endif
#endif
#ifndef HARNESS_SANITIZED
#define HARNESS_SANITIZED 0
#endif

#define RUN(test) test_run(#test, test)
#define CHECK(condition) check_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define EQUAL(want, got) check_equal((int64_t)(want), (int64_t)(got), #got, __FILE__, __LINE__)
#define CLOSE(want, got, tolerance) \
  check_close((want), (got), (tolerance), #got, __FILE__, __LINE__)

/* EXPECT(EPLB_OK, CALL(solve)(..., ERR)): the status, and if ERR was passed every byte of the error
 * struct. */
#define EXPECT(status, call) check_status((status), (call), #call, __FILE__, __LINE__, NULL)

/* The same for a refusal whose text must contain every one of the given words. */
#define REFUSED(status, call, ...)                          \
  check_status((status), (call), #call, __FILE__, __LINE__, \
               (const char *const[]){__VA_ARGS__, NULL})
#define INVALID(call, ...)                                               \
  check_status(EPLB_INVALID_ARGUMENT, (call), #call, __FILE__, __LINE__, \
               (const char *const[]){__VA_ARGS__, NULL})

/* An error struct full of garbage, which the call has to overwrite; main thread only. */
#define ERR check_fresh_error()

void test_run(const char *name, void (*body)(void));
void test_begin(const char *name);
void test_end(void);
/* Counted, and printed unless NULL; a test that skips must not check. */
void test_skip(const char *why);
int test_has_failed(void);
int test_print_counts(void); /* the last line; true if a test failed */
const char *test_name(void);

int check_true(int passed, const char *what, const char *file, int line);
int check_equal(int64_t want, int64_t got, const char *what, const char *file, int line);
int check_close(double want, double got, double tolerance, const char *what, const char *file,
                int line);
int check_status(eplb_status want, eplb_status got, const char *call, const char *file, int line,
                 const char *const *words);
eplb_error *check_fresh_error(void);
const char *check_last_text(void); /* what the last call with ERR said */

/* Runs the body in a forked child, whose failed checks become ours. Returns 0 if the child died of
 * a signal. */
int run_in_child(void (*body)(void));

/* Seconds since some start. */
double clock_seconds(void);

/* One function for each file of rules. */
void golden_vectors(const char *path);
void library_facts(void);
void rules_allocation(void);
void rules_answers(void);
void rules_cluster(void);
void rules_constants(void);
void rules_devices(void);
void rules_dispatch(void);
void rules_evaluation(void);
void rules_floating_point(void);
void rules_fork(void);
void rules_interrupt(void);
void rules_limits(void);
void rules_locale(void);
void rules_maps(void);
void rules_moves(void);
void rules_objective(void);
void rules_off_home(void);
void rules_order(void);
void rules_out_of_memory(void);
void rules_prices(void);
void rules_process(void);
void rules_signals(void);
void rules_sizes(void);
void rules_soft(void);
void rules_split(void);
void rules_split_calls(void);
void rules_split_objective(void);
void rules_structs(void);
void rules_threads(void);
void rules_transfers(void);
void rules_weights(void);
void rules_window_weights(void);
void rules_windows(void);

#endif
