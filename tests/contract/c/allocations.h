/* The process's malloc, counted and made to fail on demand. A sanitizer brings its own malloc:
 * nothing is counted then. */
#ifndef EPLB_TESTS_ALLOCATIONS_H
#define EPLB_TESTS_ALLOCATIONS_H

#include <stdint.h>

int allocations_are_counted(void);

int64_t allocations_so_far(void);
int64_t allocated_bytes(void); /* what is allocated and not yet freed */

/* The next `after` allocations succeed, the one after them fails, and if `from_then_on` all that
 * follow. */
void allocations_fail(int64_t after, int from_then_on);

/* Back to normal; returns how many were refused. */
int64_t allocations_work(void);

#endif
