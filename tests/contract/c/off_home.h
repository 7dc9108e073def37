/* How much of the load is away from home, from a placement and the definition alone. */
#ifndef EPLB_TESTS_OFF_HOME_H
#define EPLB_TESTS_OFF_HOME_H

#include "input.h"

/* As eplb_upload_cluster takes them; NULL: GPUs are equal in this respect. */
typedef struct cluster {
  const int64_t *slots;
  const double *speeds;
  const int64_t *nodes;
} cluster;

typedef struct off_home {
  double share, bound;
} off_home;

/* Of a layer's row [S] of a placement, -1 where a slot holds nothing. `gpus` NULL: all are equal.
 * `homes`, unless NULL, receives the home of each group. Of an input with policy SOFT and prices:
 * what is paid, and what is paid at least; homes are then not found. */
off_home off_home_of(const input *in, const cluster *gpus, int64_t layer, const int64_t *row,
                     int64_t *homes);

/* Whether the library says the same; its bound gives up what rounding may add. */
int off_home_agrees(off_home want, double share, double bound);

#endif
