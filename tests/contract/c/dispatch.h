/* What the maps of a static dispatch say: to be judged, or compared with what they are later. */
#ifndef EPLB_TESTS_DISPATCH_H
#define EPLB_TESTS_DISPATCH_H

#include "input.h"
#include "off_home.h"

enum { DISPATCH_MAPS = 6, FIRST_DISPATCH_MAP = EPLB_MAP_DISPATCH_SLOT };

typedef struct dispatch {
  int64_t layers, experts, slots, gpus, ranks;
  int64_t *slot, *placement, *units; /* [layers, ranks, experts], [layers, slots] twice */
  double *load, *imbalance, *bound;  /* [layers, gpus], [layers] twice */
} dispatch;

int dispatch_map_is_int(eplb_map map);
int64_t dispatch_map_length(const dispatch *d, eplb_map map);

/* For `in` over a placement, or over the plan if it is NULL. False after a failed check, like all
 * that follow. */
int dispatch_over(eplb_context *context, const input *in, const int64_t *placement, int64_t ranks,
                  int64_t swaps);

/* Fetches every map in every dtype it has; checks the shapes. ranks: how many there must be. */
int dispatch_fetch(dispatch *out, eplb_context *context, const input *in, int64_t ranks);
void dispatch_free(dispatch *d);

/* Whether all maps agree bit for bit. */
int dispatch_same(const dispatch *a, const dispatch *b);

/* Whether the context still holds this one, and whether it holds none. */
int dispatch_still_there(const dispatch *d, eplb_context *context, const input *in);
int dispatch_is_gone(eplb_context *context);

/* Whether it is what eplb.h promises of these weights over this placement [L,S], worked out from
 * the table alone. gpus NULL: all are equal. */
int dispatch_holds(const input *in, const cluster *gpus, const int64_t *placement, int64_t swaps,
                   const dispatch *d);

#endif
