#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

const eplb_map plan_maps[PLAN_MAPS] = {EPLB_MAP_PHYSICAL_TO_LOGICAL,
                                       EPLB_MAP_LOGICAL_TO_PHYSICAL,
                                       EPLB_MAP_REPLICA_COUNT,
                                       EPLB_MAP_REPLICA_SLOTS,
                                       EPLB_MAP_GPU_LOAD,
                                       EPLB_MAP_IMBALANCE,
                                       EPLB_MAP_BOUND,
                                       EPLB_MAP_DUPLICATES,
                                       EPLB_MAP_OFF_HOME,
                                       EPLB_MAP_OFF_HOME_BOUND};

static const char *const map_names[LAST_MAP + 1] = {
    [EPLB_MAP_PHYSICAL_TO_LOGICAL] = "PHYSICAL_TO_LOGICAL",
    [EPLB_MAP_LOGICAL_TO_PHYSICAL] = "LOGICAL_TO_PHYSICAL",
    [EPLB_MAP_REPLICA_COUNT] = "REPLICA_COUNT",
    [EPLB_MAP_REPLICA_SLOTS] = "REPLICA_SLOTS",
    [EPLB_MAP_GPU_LOAD] = "GPU_LOAD",
    [EPLB_MAP_IMBALANCE] = "IMBALANCE",
    [EPLB_MAP_BOUND] = "BOUND",
    [EPLB_MAP_DUPLICATES] = "DUPLICATES",
    [EPLB_MAP_OFF_HOME] = "OFF_HOME",
    [EPLB_MAP_OFF_HOME_BOUND] = "OFF_HOME_BOUND"};

const char *map_name(eplb_map map) { return map_names[map]; }

int map_is_int(eplb_map map) { return map < EPLB_MAP_GPU_LOAD || map == EPLB_MAP_DUPLICATES; }

static void expected_shape(const plan *p, eplb_map map, int32_t *rank, int64_t *dims) {
  dims[0] = p->layers;
  dims[1] = dims[2] = dims[3] = 1;
  *rank = 2;
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL:
    case EPLB_MAP_REPLICA_SLOTS: dims[1] = p->slots; break;
    case EPLB_MAP_LOGICAL_TO_PHYSICAL:
      dims[1] = p->experts;
      dims[2] = p->width;
      *rank = 3;
      break;
    case EPLB_MAP_REPLICA_COUNT: dims[1] = p->experts; break;
    case EPLB_MAP_GPU_LOAD: dims[1] = p->gpus; break;
    default: *rank = 1;
  }
}

static int check_shape(plan *p, eplb_context *context, eplb_map map) {
  int64_t want[4], got[5] = {-7, -7, -7, -7, -7};
  int32_t want_rank, rank = -7;
  int i, same = 1;
  expected_shape(p, map, &want_rank, want);
  if (!EXPECT(EPLB_OK, CALL(map_shape)(context, map, &rank, got, 4, ERR))) return 0;
  same &= EQUAL(want_rank, rank) & EQUAL(-7, got[4]);
  for (i = 0; i < 4; i++) same &= EQUAL(want[i], got[i]);
  p->lengths[map] = want[0] * want[1] * want[2];
  return same;
}

static int fetch_int_map(plan *p, eplb_context *context, eplb_map map) {
  int64_t i, length = p->lengths[map];
  int32_t *narrow = malloc((size_t)length * sizeof *narrow);
  int same = 1;
  p->ints[map] = malloc((size_t)length * sizeof *p->ints[map]);
  same = EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT64, p->ints[map], length, ERR)) &&
         EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT32, narrow, length, ERR));
  for (i = 0; same && i < length; i++) same = EQUAL(p->ints[map][i], narrow[i]);
  free(narrow);
  return same;
}

int plan_fetch(plan *out, eplb_context *context, const input *in) {
  int i, same = 1;
  memset(out, 0, sizeof *out);
  out->layers = in->layers;
  out->experts = in->experts;
  out->slots = in->problem.num_slots;
  out->gpus = in->problem.num_gpus;
  out->width =
      in->options.max_replicas > 0 ? in->options.max_replicas : out->slots - out->experts + 1;
  for (i = 0; same && i < PLAN_MAPS; i++) {
    eplb_map map = plan_maps[i];
    same = check_shape(out, context, map);
    if (same && map_is_int(map)) {
      same = fetch_int_map(out, context, map);
    } else if (same) {
      out->doubles[map] = malloc((size_t)out->lengths[map] * sizeof *out->doubles[map]);
      same = EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_FLOAT64, out->doubles[map],
                                             out->lengths[map], ERR));
    }
  }
  same = same && EXPECT(EPLB_OK, CALL(report_init)(&out->report, sizeof out->report, ERR)) &&
         EXPECT(EPLB_OK, CALL(fetch_report)(context, &out->report, ERR)) &&
         EXPECT(EPLB_OK, CALL(fingerprint)(context, &out->fingerprint, ERR));
  if (!same) plan_free(out);
  return same;
}

void plan_free(plan *p) {
  int map;
  for (map = 0; map <= LAST_MAP; map++) {
    free(p->ints[map]);
    free(p->doubles[map]);
    p->ints[map] = NULL;
    p->doubles[map] = NULL;
  }
}

int plan_same(const plan *a, const plan *b) {
  int i;
  for (i = 0; i < PLAN_MAPS; i++) {
    eplb_map map = plan_maps[i];
    const void *x = map_is_int(map) ? (const void *)a->ints[map] : (const void *)a->doubles[map];
    const void *y = map_is_int(map) ? (const void *)b->ints[map] : (const void *)b->doubles[map];
    if (!EQUAL(a->lengths[map], b->lengths[map])) return 0;
    if (memcmp(x, y, (size_t)a->lengths[map] * 8) != 0)
      return check_true(0, map_name(map), __FILE__, __LINE__); /* names the map that differs */
  }
  return CHECK(a->fingerprint == b->fingerprint);
}

int report_same(const eplb_report *a, const eplb_report *b) {
  return EQUAL(a->struct_size, b->struct_size) & CHECK(a->imbalance_mean == b->imbalance_mean) &
         CHECK(a->imbalance_worst == b->imbalance_worst) & CHECK(a->bound_mean == b->bound_mean) &
         CHECK(a->gap_mean == b->gap_mean) & CHECK(a->gap_worst == b->gap_worst) &
         EQUAL(a->worst_layer, b->worst_layer) & EQUAL(a->duplicates, b->duplicates) &
         EQUAL(a->duplicates_unavoidable, b->duplicates_unavoidable) &
         CHECK(a->off_home_mean == b->off_home_mean) &
         CHECK(a->off_home_worst == b->off_home_worst) &
         CHECK(a->off_home_bound_mean == b->off_home_bound_mean) &
         EQUAL(a->num_empty_layers, b->num_empty_layers) & EQUAL(a->strategy, b->strategy) &
         EQUAL(a->policy, b->policy) & EQUAL(a->policy_reason, b->policy_reason) &
         EQUAL(a->bound_kind, b->bound_kind);
}

int plan_still_there(const plan *p, eplb_context *context, const input *in) {
  plan now;
  int same =
      plan_fetch(&now, context, in) && plan_same(p, &now) && report_same(&p->report, &now.report);
  plan_free(&now);
  return same;
}

int plan_is_gone(eplb_context *context) {
  return REFUSED(EPLB_INVALID_STATE,
                 CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, NULL, 0, ERR),
                 "eplb_solve");
}
