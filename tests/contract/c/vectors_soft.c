/* The golden vectors of the policy SOFT, see tests/golden/soft_vectors.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "vectors_json.h"

static void options_of(const json *vector, const char *effort, input *in) {
  const json *options = json_field(vector, "options");
  eplb_solve_options *out = &in->options;
  const int apart = strcmp(field_text(vector, "objective"), "windows") == 0;
  const int rebalances = strcmp(field_text(vector, "strategy"), "rebalance") == 0;
  if (apart) in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
  out->strategy = rebalances ? EPLB_STRATEGY_REBALANCE : EPLB_STRATEGY_BEST;
  if (strcmp(effort, "fast") == 0) out->effort = EPLB_EFFORT_FAST;
  out->max_moves = field_int(options, "max_moves", out->max_moves);
  out->max_moves_total = field_int(options, "max_moves_total", out->max_moves_total);
  out->max_arrivals = field_int(options, "max_arrivals", out->max_arrivals);
  out->target = field_double(options, "target", out->target);
  out->move_price = field_double(options, "move_price", out->move_price);
  out->allow_empty = (int32_t)field_int(options, "allow_empty", out->allow_empty);
}

/* NULL if there is no such list; free it. */
static int64_t *ints_of(const json *object, const char *name) {
  const json *list = json_field(object, name), *item;
  int64_t *values, i = 0;
  if (list == NULL) return NULL;
  values = calloc((size_t)json_size(list) + 1, sizeof *values);
  JSON_EACH(item, list) values[i++] = json_int(item);
  return values;
}

static double *doubles_of(const json *object, const char *name) {
  const json *list = json_field(object, name), *item;
  double *values;
  int i = 0;
  if (list == NULL) return NULL;
  values = calloc((size_t)json_size(list) + 1, sizeof *values);
  JSON_EACH(item, list) values[i++] = json_double(item);
  return values;
}

static int upload_cluster(eplb_context *context, const json *vector, const input *in) {
  const json *cluster = json_field(vector, "cluster");
  int64_t *slots = ints_of(cluster, "slots"), *nodes = ints_of(cluster, "nodes");
  double *speeds = doubles_of(cluster, "speeds");
  const int64_t gpus = in->problem.num_gpus;
  const int done = cluster == NULL ||
                   EXPECT(EPLB_OK, CALL(upload_cluster)(context, slots, speeds, nodes, gpus, ERR));
  free(slots);
  free(nodes);
  free(speeds);
  return done;
}

static int upload_current(eplb_context *context, const json *vector, const input *in) {
  int64_t *current = ints_of(vector, "current");
  const int64_t slots = in->problem.num_slots;
  const int done = current == NULL ||
                   EXPECT(EPLB_OK, CALL(upload_placement)(context, current, in->layers * slots,
                                                          EPLB_INT64, in->layers, slots, ERR));
  free(current);
  return done;
}

static void placement_agrees(eplb_context *context, const json *answer, int64_t length) {
  int64_t *want = ints_of(answer, "physical_to_logical");
  int64_t *got = calloc((size_t)length + 1, sizeof *got), i;
  if (EXPECT(EPLB_OK,
             CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, got, length, ERR)))
    for (i = 0; i < length && EQUAL(want[i], got[i]); i++) {
    }
  free(want);
  free(got);
}

static void figures_agree(eplb_context *context, const json *answer, const char *name, eplb_map map,
                          int64_t layers) {
  double *want = doubles_of(answer, name), *got = calloc((size_t)layers + 1, sizeof *got);
  int64_t i;
  if (EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_FLOAT64, got, layers, ERR)))
    for (i = 0; i < layers && CLOSE(want[i], got[i], 1e-12); i++) {
    }
  free(want);
  free(got);
}

static void check_soft(const json *vector, const json *answer, const input *in) {
  eplb_context *context = context_make(1);
  if (context == NULL) return;
  if (input_upload(context, in) && upload_cluster(context, vector, in) &&
      upload_current(context, vector, in) && input_solve(context, in)) {
    placement_agrees(context, answer, in->layers * in->problem.num_slots);
    figures_agree(context, answer, "imbalance", EPLB_MAP_IMBALANCE, in->layers);
    figures_agree(context, answer, "off_home", EPLB_MAP_OFF_HOME, in->layers);
  }
  CALL(context_destroy)(context);
}

void soft_vectors(const json *cases) {
  const json *vector, *answer;
  char name[256];
  test_begin("the golden vectors of the soft policy are there");
  CHECK(json_size(cases) > 0);
  test_end();
  JSON_EACH(vector, cases) {
    JSON_EACH(answer, json_field(vector, "answers")) {
      input in = {0};
      snprintf(name, sizeof name, "vector %s/%s", field_text(vector, "name"), answer->name);
      test_begin(name);
      if (input_from(vector, &in)) {
        options_of(vector, answer->name, &in);
        check_soft(vector, answer, &in);
      }
      input_free(&in);
      test_end();
    }
  }
}
