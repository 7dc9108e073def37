/* Follows windows of expert weights, CSV files with a row per layer: changes the placement by at most 8 moves per layer
 * from window to window, and repairs it before the last one, when GPUs 0 and 1 are lost.
 *
 *     cc -std=c99 rebalance.c $(pkg-config --cflags --libs eplb) -o rebalance
 *     ./rebalance 96 16 WINDOW.csv WINDOW.csv WINDOW.csv
 */
#include <eplb.h>
#include <stdio.h>
#include <stdlib.h>

#include "table.h"

typedef struct scheduler {
  eplb_context *context;
  eplb_problem problem;
  int64_t layers;
  int64_t *slots_of_gpu; /* [G] */
  int32_t *placement;    /* [L,S]: the expert in each slot, -1 where nothing can be read */
  int32_t *source;       /* [L,S] */
  int32_t *round;        /* [L,S] */
} scheduler;

static int allocate(scheduler *s, int64_t layers, eplb_error *err) {
  const size_t length = (size_t)(layers * s->problem.num_slots);
  int64_t gpu;
  s->layers = layers;
  s->slots_of_gpu = malloc((size_t)s->problem.num_gpus * sizeof *s->slots_of_gpu);
  s->placement = malloc(length * sizeof *s->placement);
  s->source = malloc(length * sizeof *s->source);
  s->round = malloc(length * sizeof *s->round);
  if (!s->slots_of_gpu || !s->placement || !s->source || !s->round) {
    snprintf(err->text, sizeof err->text, "no memory for the placement");
    return 1;
  }
  for (gpu = 0; gpu < s->problem.num_gpus; gpu++)
    s->slots_of_gpu[gpu] = s->problem.num_slots / s->problem.num_gpus;
  return 0;
}

static void free_all(scheduler *s) {
  eplb_context_destroy(s->context);
  free(s->slots_of_gpu);
  free(s->placement);
  free(s->source);
  free(s->round);
}

/* A GPU is gone with all that it held. */
static int lose(scheduler *s, int64_t gpu, eplb_error *err) {
  const int64_t places = s->problem.num_slots / s->problem.num_gpus;
  int64_t layer, slot;
  s->slots_of_gpu[gpu] = 0;
  for (layer = 0; layer < s->layers; layer++)
    for (slot = 0; slot < places; slot++)
      s->placement[layer * s->problem.num_slots + gpu * places + slot] = -1;
  printf("GPU %d is lost\n", (int)gpu);
  return eplb_upload_cluster(s->context, s->slots_of_gpu, NULL, NULL, s->problem.num_gpus, err);
}

/* Computes a plan for the uploaded weights, which becomes the placement. */
static int solve(scheduler *s, const eplb_solve_options *options, eplb_report *report,
                 eplb_error *err) {
  const int64_t length = s->layers * s->problem.num_slots;
  return eplb_solve(s->context, &s->problem, options, err) ||
         eplb_fetch_map(s->context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, s->placement, length,
                        err) ||
         eplb_report_init(report, sizeof *report, err) ||
         eplb_fetch_report(s->context, report, err);
}

/* Who sends which expert of the first layer to whom. */
static int print_transfers(scheduler *s, eplb_error *err) {
  const int64_t length = s->layers * s->problem.num_slots;
  const int places = (int)(s->problem.num_slots / s->problem.num_gpus);
  int slot;
  if (eplb_fetch_map(s->context, EPLB_MAP_MOVE_SOURCE, EPLB_INT32, s->source, length, err) ||
      eplb_fetch_map(s->context, EPLB_MAP_MOVE_ROUND, EPLB_INT32, s->round, length, err))
    return 1;
  for (slot = 0; slot < (int)s->problem.num_slots; slot++) {
    if (s->round[slot] < 0) continue;
    printf("  layer 0, round %d: expert %d ", (int)s->round[slot], (int)s->placement[slot]);
    if (s->source[slot] < 0)
      printf("from storage");
    else
      printf("from GPU %d", (int)s->source[slot] / places);
    printf(" to GPU %d\n", slot / places);
  }
  return 0;
}

static int rebalance(scheduler *s, int lost, eplb_error *err) {
  eplb_solve_options options;
  eplb_report report;
  if (eplb_solve_options_init(&options, sizeof options, err)) return 1;
  options.strategy = EPLB_STRATEGY_REBALANCE;
  if (!lost) options.max_moves = 8; /* a loss is repaired whatever it takes */
  if (eplb_upload_placement(s->context, s->placement, s->layers * s->problem.num_slots, EPLB_INT32,
                            s->layers, s->problem.num_slots, err) ||
      solve(s, &options, &report, err))
    return 1;
  printf("imbalance %.4f after %d moves in %d layers, %d of them forced\n", report.imbalance_mean,
         (int)report.moves, (int)report.layers_changed, (int)report.moves_forced);
  return print_transfers(s, err);
}

/* One window: the first is placed from nothing; before the last, two GPUs are lost. */
static int follow(scheduler *s, const table *weights, int first, int last, eplb_error *err) {
  eplb_report report;
  if (first && allocate(s, weights->rows, err)) return 1;
  if (last && (lose(s, 0, err) || lose(s, 1, err))) return 1;
  if (eplb_upload_weights(s->context, weights->values, weights->length, EPLB_FLOAT64, 1,
                          weights->rows, weights->columns, err))
    return 1;
  if (!first) return rebalance(s, last, err);
  if (solve(s, NULL, &report, err)) return 1;
  printf("imbalance %.4f\n", report.imbalance_mean);
  return 0;
}

int main(int argc, char **argv) {
  eplb_error err = {0, ""};
  scheduler s = {0};
  int window, failed;
  if (argc < 5) {
    fprintf(stderr, "usage: rebalance SLOTS GPUS WINDOW.csv WINDOW.csv ...\n");
    return 2;
  }
  failed = eplb_problem_init(&s.problem, sizeof s.problem, &err) ||
           eplb_context_create(&s.context, NULL, &err);
  s.problem.num_slots = strtoll(argv[1], NULL, 10);
  s.problem.num_gpus = strtoll(argv[2], NULL, 10);
  if (s.problem.num_gpus < 3 || s.problem.num_slots < s.problem.num_gpus) {
    fprintf(stderr, "%s slots on %s GPUs: there must be 3 GPUs, as two are lost, with slots\n",
            argv[1], argv[2]);
    failed = 1;
  }
  for (window = 3; window < argc && !failed; window++) {
    table weights = {NULL, 0, 0, 0, 0};
    failed = !read_table(&weights, argv[window]) ||
             follow(&s, &weights, window == 3, window == argc - 1, &err);
    free(weights.values);
  }
  if (err.text[0] != 0) fprintf(stderr, "%s\n", err.text);
  free_all(&s);
  return failed ? 1 : 0;
}
