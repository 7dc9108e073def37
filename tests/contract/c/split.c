#include "split.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char *const map_names[SPLIT_MAPS] = {"SHARE",           "QUOTA",       "SPLIT_LOAD",
                                                  "SPLIT_IMBALANCE", "SPLIT_BOUND", "SPLIT_TIGHT"};

static eplb_map map_number(int i) { return FIRST_SPLIT_MAP + i; }

int split_map_is_int(eplb_map map) { return map == EPLB_MAP_SHARE || map == EPLB_MAP_SPLIT_TIGHT; }

int64_t split_map_length(const split *s, eplb_map map) {
  switch (map) {
    case EPLB_MAP_SHARE:
    case EPLB_MAP_QUOTA: return s->layers * s->slots;
    case EPLB_MAP_SPLIT_LOAD:
    case EPLB_MAP_SPLIT_TIGHT: return s->layers * s->gpus;
    default: return s->layers;
  }
}

int split_over(eplb_context *context, const input *in, const int64_t *placement, double tolerance) {
  eplb_split_options options;
  if (!EXPECT(EPLB_OK, CALL(split_options_init)(&options, sizeof options, ERR))) return 0;
  options.tolerance = tolerance;
  return EXPECT(EPLB_OK, CALL(split)(context, &in->problem, placement,
                                     placement == NULL ? 0 : in->layers * in->problem.num_slots,
                                     EPLB_INT64, &options, ERR));
}

static int shape_fits(split *s, eplb_context *context, eplb_map map) {
  int64_t dims[5] = {-7, -7, -7, -7, -7}, length = split_map_length(s, map);
  int32_t rank = -7;
  s->lengths[map - FIRST_SPLIT_MAP] = length;
  return EXPECT(EPLB_OK, CALL(map_shape)(context, map, &rank, dims, 4, ERR)) &&
         EQUAL(length == s->layers ? 1 : 2, rank) & EQUAL(s->layers, dims[0]) &
             EQUAL(length / s->layers, dims[1]) & EQUAL(1, dims[2]) & EQUAL(1, dims[3]) &
             EQUAL(-7, dims[4]);
}

static int fetch_ints(split *s, eplb_context *context, eplb_map map) {
  int64_t length = split_map_length(s, map), i;
  int64_t *wide = malloc((size_t)length * sizeof *wide);
  int32_t *narrow = malloc((size_t)length * sizeof *narrow);
  int same = EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT64, wide, length, ERR)) &&
             EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT32, narrow, length, ERR));
  for (i = 0; same && i < length; i++) same = EQUAL(wide[i], narrow[i]);
  s->ints[map - FIRST_SPLIT_MAP] = wide;
  free(narrow);
  return same;
}

static int fetch_doubles(split *s, eplb_context *context, eplb_map map) {
  int64_t length = split_map_length(s, map);
  double *values = malloc((size_t)length * sizeof *values);
  s->doubles[map - FIRST_SPLIT_MAP] = values;
  return EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_FLOAT64, values, length, ERR));
}

int split_fetch(split *out, eplb_context *context, const input *in) {
  int i, fine = 1;
  memset(out, 0, sizeof *out);
  out->layers = in->layers;
  out->slots = in->problem.num_slots;
  out->gpus = in->problem.num_gpus;
  for (i = 0; fine && i < SPLIT_MAPS; i++) {
    eplb_map map = map_number(i);
    fine =
        shape_fits(out, context, map) &&
        (split_map_is_int(map) ? fetch_ints(out, context, map) : fetch_doubles(out, context, map));
  }
  if (!fine) split_free(out);
  return fine;
}

void split_free(split *s) {
  int i;
  for (i = 0; i < SPLIT_MAPS; i++) {
    free(s->ints[i]);
    free(s->doubles[i]);
    s->ints[i] = NULL;
    s->doubles[i] = NULL;
  }
}

int split_same(const split *a, const split *b) {
  int i;
  for (i = 0; i < SPLIT_MAPS; i++) {
    const int is_int = split_map_is_int(map_number(i));
    const void *x = is_int ? (const void *)a->ints[i] : (const void *)a->doubles[i];
    const void *y = is_int ? (const void *)b->ints[i] : (const void *)b->doubles[i];
    if (!EQUAL(a->lengths[i], b->lengths[i])) return 0;
    if (memcmp(x, y, (size_t)a->lengths[i] * 8) != 0)
      return check_true(0, map_names[i], __FILE__, __LINE__); /* names the map that differs */
  }
  return 1;
}

int split_still_there(const split *s, eplb_context *context, const input *in) {
  split now;
  int same = split_fetch(&now, context, in) && split_same(s, &now);
  split_free(&now);
  return same;
}

int split_is_gone(eplb_context *context) {
  int i, gone = 1;
  for (i = 0; i < SPLIT_MAPS; i++)
    gone &=
        REFUSED(EPLB_INVALID_STATE,
                CALL(fetch_map)(context, map_number(i), EPLB_FLOAT64, NULL, 0, ERR), "eplb_split");
  return gone;
}

int split_is_unprepared(eplb_context *context) {
  int64_t dims[4];
  int32_t rank;
  return split_is_gone(context) &&
         REFUSED(EPLB_INVALID_STATE, CALL(split)(context, NULL, NULL, 0, 0, NULL, ERR),
                 "eplb_split_prepare") &&
         REFUSED(EPLB_INVALID_STATE, CALL(map_shape)(context, EPLB_MAP_SHARE, &rank, dims, 4, ERR),
                 "eplb_split_prepare");
}

static uint32_t draw(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 16;
}

static void any_row(const input *in, const cluster *gpus, int64_t *row, uint32_t *seed) {
  enum { FREE = -2 };
  const int64_t slots = in->problem.num_slots, per_gpu = slots / in->problem.num_gpus;
  int64_t s, e;
  for (s = 0; s < slots; s++) {
    const int is_open =
        gpus == NULL || gpus->slots == NULL || s % per_gpu < gpus->slots[s / per_gpu];
    row[s] = is_open ? FREE : -1;
  }
  for (e = 0; e < in->experts; e++) {
    do s = (int64_t)draw(seed) % slots;
    while (row[s] != FREE);
    row[s] = e;
  }
  for (s = 0; s < slots; s++)
    if (row[s] == FREE) row[s] = (int64_t)draw(seed) % (in->experts + 1) - 1;
}

void any_placement(const input *in, const cluster *gpus, int64_t *placement, uint32_t seed) {
  int64_t layer;
  for (layer = 0; layer < in->layers; layer++)
    any_row(in, gpus, placement + layer * in->problem.num_slots, &seed);
}
