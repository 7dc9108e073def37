/* All that can be fetched of a solved context: to be judged, or compared with what it is later. */
#ifndef EPLB_TESTS_PLAN_H
#define EPLB_TESTS_PLAN_H

#include "input.h"

/* Those that need no current placement and have one shape for any number of windows; moves.h and
 * rules_windows.c have the others. */
enum { PLAN_MAPS = 10, LAST_MAP = EPLB_MAP_OFF_HOME_BOUND };
extern const eplb_map plan_maps[PLAN_MAPS];

typedef struct plan {
  int64_t layers, experts, slots, gpus, width; /* width: the X of LOGICAL_TO_PHYSICAL */
  /* By map; NULL for those of the other type, and those that are not in the list. */
  int64_t lengths[LAST_MAP + 1];
  int64_t *ints[LAST_MAP + 1];
  double *doubles[LAST_MAP + 1];
  eplb_report report;
  uint64_t fingerprint;
} plan;

int map_is_int(eplb_map map);
const char *map_name(eplb_map map);

/* Fetches every map of the list in every dtype it has, and the report; checks the shapes. False
 * after a failed check. */
int plan_fetch(plan *out, eplb_context *context, const input *in);
void plan_free(plan *p);

/* Whether all maps, and the fingerprints, agree bit for bit; the first difference is a failed check that names it. */
int plan_same(const plan *a, const plan *b);

/* The same for two reports, but for the time they took and the memory behind them. */
int report_same(const eplb_report *a, const eplb_report *b);

/* Whether the context still holds this plan. */
int plan_still_there(const plan *p, eplb_context *context, const input *in);

/* Whether the context holds no plan any more. */
int plan_is_gone(eplb_context *context);

#endif
