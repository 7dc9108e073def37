/* What the maps of a split say: to be judged, or compared with what they are later. */
#ifndef EPLB_TESTS_SPLIT_H
#define EPLB_TESTS_SPLIT_H

#include "input.h"
#include "off_home.h"

enum { SPLIT_MAPS = 6, FIRST_SPLIT_MAP = EPLB_MAP_SHARE };

typedef struct split {
  int64_t layers, slots, gpus;
  /* By map, from FIRST_SPLIT_MAP on; NULL for those of the other type. */
  int64_t lengths[SPLIT_MAPS];
  int64_t *ints[SPLIT_MAPS];
  double *doubles[SPLIT_MAPS];
} split;

int split_map_is_int(eplb_map map);
int64_t split_map_length(const split *s, eplb_map map);

/* Splits over a placement, or over the plan if it is NULL; problem and tolerance are the input's and
 * the given one. False after a failed check, like all that follow. */
int split_over(eplb_context *context, const input *in, const int64_t *placement, double tolerance);

/* Fetches every map in every dtype it has; checks the shapes. */
int split_fetch(split *out, eplb_context *context, const input *in);
void split_free(split *s);

/* Whether all maps agree bit for bit; the first difference is a failed check that names it. */
int split_same(const split *a, const split *b);

/* Whether the context still holds this split. */
int split_still_there(const split *s, eplb_context *context, const input *in);

/* Whether the context holds no split, and whether nothing is prepared. */
int split_is_gone(eplb_context *context);
int split_is_unprepared(eplb_context *context);

/* Any placement [L,S] of an input: copies of an expert on one GPU, empty slots, layers that have
 * nothing in common. gpus NULL: all slots are open. */
void any_placement(const input *in, const cluster *gpus, int64_t *placement, uint32_t seed);

/* [num_gpus], to be freed: of GPUs that have slots, with mean 1; 0 of others. */
double *relative_speeds(const input *in, const cluster *gpus, int64_t *open_gpus);

/* Whether it is what eplb.h promises of a split of these weights over this placement [L,S], worked
 * out from the definition alone. gpus NULL: all are equal. */
int split_holds(const input *in, const cluster *gpus, const int64_t *placement, double tolerance,
                const split *s);

#endif
