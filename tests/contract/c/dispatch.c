#include "dispatch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "split.h"

static const double kRounding = 1e-11;

int dispatch_map_is_int(eplb_map map) { return map <= EPLB_MAP_DISPATCH_RANKS; }

int64_t dispatch_map_length(const dispatch *d, eplb_map map) {
  switch (map) {
    case EPLB_MAP_DISPATCH_SLOT: return d->layers * d->ranks * d->experts;
    case EPLB_MAP_DISPATCH_PLACEMENT:
    case EPLB_MAP_DISPATCH_RANKS: return d->layers * d->slots;
    case EPLB_MAP_DISPATCH_LOAD: return d->layers * d->gpus;
    default: return d->layers;
  }
}

int dispatch_over(eplb_context *context, const input *in, const int64_t *placement, int64_t ranks,
                  int64_t swaps) {
  eplb_static_dispatch_options options;
  if (!EXPECT(EPLB_OK, CALL(static_dispatch_options_init)(&options, sizeof options, ERR))) return 0;
  options.num_ranks = ranks;
  options.max_swaps = swaps;
  return EXPECT(EPLB_OK,
                CALL(static_dispatch)(context, &in->problem, placement,
                                      placement == NULL ? 0 : in->layers * in->problem.num_slots,
                                      EPLB_INT64, &options, ERR));
}

static int shape_fits(const dispatch *d, eplb_context *context, eplb_map map) {
  int64_t dims[5] = {-7, -7, -7, -7, -7}, length = dispatch_map_length(d, map);
  const int is_table = map == EPLB_MAP_DISPATCH_SLOT;
  int32_t rank = -7;
  return EXPECT(EPLB_OK, CALL(map_shape)(context, map, &rank, dims, 4, ERR)) &&
         EQUAL(is_table              ? 3
               : length == d->layers ? 1
                                     : 2,
               rank) &
             EQUAL(d->layers, dims[0]) & EQUAL(is_table ? d->ranks : length / d->layers, dims[1]) &
             EQUAL(is_table ? d->experts : 1, dims[2]) & EQUAL(1, dims[3]) & EQUAL(-7, dims[4]);
}

static int fetch_ints(const dispatch *d, eplb_context *context, eplb_map map, int64_t **out) {
  int64_t length = dispatch_map_length(d, map), i;
  int64_t *wide = malloc((size_t)length * sizeof *wide);
  int32_t *narrow = malloc((size_t)length * sizeof *narrow);
  int same = shape_fits(d, context, map) &&
             EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT64, wide, length, ERR)) &&
             EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT32, narrow, length, ERR));
  for (i = 0; same && i < length; i++) same = EQUAL(wide[i], narrow[i]);
  *out = wide;
  free(narrow);
  return same;
}

static int fetch_doubles(const dispatch *d, eplb_context *context, eplb_map map, double **out) {
  int64_t length = dispatch_map_length(d, map);
  *out = malloc((size_t)length * sizeof **out);
  return shape_fits(d, context, map) &&
         EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_FLOAT64, *out, length, ERR));
}

int dispatch_fetch(dispatch *out, eplb_context *context, const input *in, int64_t ranks) {
  dispatch d = {0};
  int fine;
  d.layers = in->layers;
  d.experts = in->experts;
  d.slots = in->problem.num_slots;
  d.gpus = in->problem.num_gpus;
  d.ranks = ranks;
  fine = fetch_ints(&d, context, EPLB_MAP_DISPATCH_SLOT, &d.slot) &&
         fetch_ints(&d, context, EPLB_MAP_DISPATCH_PLACEMENT, &d.placement) &&
         fetch_ints(&d, context, EPLB_MAP_DISPATCH_RANKS, &d.units) &&
         fetch_doubles(&d, context, EPLB_MAP_DISPATCH_LOAD, &d.load) &&
         fetch_doubles(&d, context, EPLB_MAP_DISPATCH_IMBALANCE, &d.imbalance) &&
         fetch_doubles(&d, context, EPLB_MAP_DISPATCH_BOUND, &d.bound);
  *out = d;
  if (!fine) dispatch_free(out);
  return fine;
}

void dispatch_free(dispatch *d) {
  free(d->slot);
  free(d->placement);
  free(d->units);
  free(d->load);
  free(d->imbalance);
  free(d->bound);
  memset(d, 0, sizeof *d);
}

static int same_bytes(const dispatch *d, eplb_map map, const void *a, const void *b) {
  return CHECK(memcmp(a, b, (size_t)dispatch_map_length(d, map) * 8) == 0);
}

int dispatch_same(const dispatch *a, const dispatch *b) {
  return EQUAL(a->layers, b->layers) && EQUAL(a->ranks, b->ranks) && EQUAL(a->slots, b->slots) &&
         EQUAL(a->experts, b->experts) && EQUAL(a->gpus, b->gpus) &&
         same_bytes(a, EPLB_MAP_DISPATCH_SLOT, a->slot, b->slot) &
             same_bytes(a, EPLB_MAP_DISPATCH_PLACEMENT, a->placement, b->placement) &
             same_bytes(a, EPLB_MAP_DISPATCH_RANKS, a->units, b->units) &
             same_bytes(a, EPLB_MAP_DISPATCH_LOAD, a->load, b->load) &
             same_bytes(a, EPLB_MAP_DISPATCH_IMBALANCE, a->imbalance, b->imbalance) &
             same_bytes(a, EPLB_MAP_DISPATCH_BOUND, a->bound, b->bound);
}

int dispatch_still_there(const dispatch *d, eplb_context *context, const input *in) {
  dispatch now;
  int same = dispatch_fetch(&now, context, in, d->ranks) && dispatch_same(d, &now);
  dispatch_free(&now);
  return same;
}

int dispatch_is_gone(eplb_context *context) {
  int64_t dims[4];
  int32_t rank;
  int i, gone = 1;
  for (i = 0; i < DISPATCH_MAPS; i++)
    gone &= REFUSED(EPLB_INVALID_STATE,
                    CALL(fetch_map)(context, FIRST_DISPATCH_MAP + i, EPLB_FLOAT64, NULL, 0, ERR),
                    "eplb_static_dispatch") &
            REFUSED(EPLB_INVALID_STATE,
                    CALL(map_shape)(context, FIRST_DISPATCH_MAP + i, &rank, dims, 4, ERR),
                    "eplb_static_dispatch");
  return gone;
}

/* ---- What it must be. */

/* A layer, and who uses its slots. */
typedef struct layer {
  const input *in;
  const dispatch *d;
  int64_t per_gpu;
  const int64_t *given, *row, *units, *table; /* [S], [S], [S], [R,E] */
} layer;

static int64_t copies_on(const int64_t *row, int64_t from, int64_t to, int64_t expert) {
  int64_t s, copies = 0;
  for (s = from; s < to; s++) copies += row[s] == expert;
  return copies;
}

/* What has moved is as often there as before, and none is on a GPU twice that was not. */
static int placement_holds(const layer *l, int64_t swaps) {
  const int64_t slots = l->d->slots, nodes = l->in->problem.num_nodes;
  const int64_t places = l->in->problem.policy == EPLB_POLICY_HIERARCHICAL ? nodes : 1;
  int64_t e, place, g;
  int fine = 1;
  if (swaps == 0) return CHECK(memcmp(l->given, l->row, (size_t)slots * 8) == 0);
  for (e = -1; e < l->d->experts; e++) {
    int64_t more_before = 0, more = 0;
    for (place = 0; place < places; place++) {
      const int64_t from = place * slots / places, to = (place + 1) * slots / places;
      fine &= EQUAL(copies_on(l->given, from, to, e), copies_on(l->row, from, to, e));
    }
    for (g = 0; e >= 0 && g < l->d->gpus; g++) {
      const int64_t from = g * l->per_gpu, to = from + l->per_gpu;
      const int64_t before = copies_on(l->given, from, to, e), now = copies_on(l->row, from, to, e);
      more_before += before > 1 ? before - 1 : 0;
      more += now > 1 ? now - 1 : 0;
    }
    fine &= CHECK(more <= more_before);
  }
  return fine;
}

/* Every rank uses a slot that has the expert, and of a GPU's units as many ranks as can be are its
 * own. */
static int expert_holds(const layer *l, int64_t expert) {
  const dispatch *d = l->d;
  int64_t *used = calloc((size_t)d->slots, sizeof *used), r, s, g, all = 0;
  int fine = 1;
  for (g = 0; fine && g < d->gpus; g++) {
    int64_t own = 0, ranks = 0, units = 0;
    for (r = 0; fine && r < d->ranks; r++) {
      const int64_t slot = l->table[r * d->experts + expert];
      if (r * d->gpus / d->ranks != g) continue;
      fine = CHECK(slot >= 0 && slot < d->slots && l->row[slot] == expert);
      if (!fine) break;
      used[slot]++;
      ranks++;
      own += slot / l->per_gpu == g;
    }
    for (s = g * l->per_gpu; s < (g + 1) * l->per_gpu; s++)
      units += l->row[s] == expert ? l->units[s] : 0;
    fine = fine && EQUAL(ranks < units ? ranks : units, own);
  }
  for (s = 0; s < d->slots; s++) {
    if (l->row[s] == expert) fine &= EQUAL(used[s], l->units[s]);
    all += used[s];
  }
  free(used);
  return fine & EQUAL(d->ranks, all);
}

static int loads_hold(const layer *l, int64_t number, const cluster *gpus) {
  const dispatch *d = l->d;
  int64_t open, g, s, e;
  double *speed = relative_speeds(l->in, gpus, &open), total = 0, largest = 0;
  int fine = 1;
  for (e = 0; e < d->experts; e++) total += input_weight(l->in, number, e);
  for (g = 0; g < d->gpus; g++) {
    const double load = d->load[number * d->gpus + g];
    double sum = 0;
    for (s = g * l->per_gpu; s < (g + 1) * l->per_gpu; s++)
      if (l->row[s] >= 0)
        sum += input_weight(l->in, number, l->row[s]) * (double)l->units[s] / (double)d->ranks;
    fine &= CLOSE(sum, load, kRounding);
    if (speed[g] > 0) largest = fmax(largest, load / speed[g]);
  }
  free(speed);
  fine &= CHECK(d->bound[number] >= 0 && d->bound[number] <= largest * (1 + kRounding));
  if (total == 0) return fine & CHECK(largest == 0 && d->imbalance[number] == 1);
  return fine & CLOSE(largest / total * (double)open, d->imbalance[number], kRounding);
}

int dispatch_holds(const input *in, const cluster *gpus, const int64_t *placement, int64_t swaps,
                   const dispatch *d) {
  int64_t i, e, s;
  int fine = 1;
  for (i = 0; fine && i < d->layers; i++) {
    layer l = {in, d, d->slots / d->gpus, 0, 0, 0, 0};
    l.given = placement + i * d->slots;
    l.row = d->placement + i * d->slots;
    l.units = d->units + i * d->slots;
    l.table = d->slot + i * d->ranks * d->experts;
    fine = placement_holds(&l, swaps) & loads_hold(&l, i, gpus);
    for (e = 0; fine && e < d->experts; e++) fine = expert_holds(&l, e);
    for (s = 0; s < d->slots; s++)
      if (l.row[s] < 0) fine &= EQUAL(0, l.units[s]);
  }
  return fine;
}
