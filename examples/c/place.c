/* Reads expert weights from a CSV file (one row per layer), places the experts and says what it gained.
 *
 *     cc -std=c99 place.c $(pkg-config --cflags --libs eplb) -o place
 *     ./place ../data/olmoe-1b-7b_allenai_L3xE64.csv 80 16
 */
#include <eplb.h>
#include <stdio.h>
#include <stdlib.h>

#include "table.h"

static int place(eplb_context *context, const table *weights, const eplb_problem *problem,
                 eplb_error *err) {
  eplb_report before, after;
  const int64_t length = weights->rows * problem->num_slots;
  int32_t *placement = malloc((size_t)length * sizeof *placement);
  int64_t i;
  int failed;
  if (placement == NULL) {
    snprintf(err->text, sizeof err->text, "no memory for the placement");
    return 1;
  }
  /* What serving without a balancer amounts to: the experts one after the other, round and round. */
  for (i = 0; i < length; i++) placement[i] = (int32_t)(i % problem->num_slots % weights->columns);

  failed =
      eplb_report_init(&before, sizeof before, err) ||
      eplb_report_init(&after, sizeof after, err) ||
      eplb_upload_weights(context, weights->values, weights->length, EPLB_FLOAT64, 1, weights->rows,
                          weights->columns, err) ||
      eplb_evaluate(context, problem, placement, length, EPLB_INT32, &before, NULL, NULL, NULL, 0,
                    err) ||
      eplb_solve(context, problem, NULL, err) ||
      eplb_fetch_map(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement, length, err) ||
      eplb_fetch_report(context, &after, err);
  if (!failed) {
    printf("imbalance %.3f before, %.3f after; no placement is below %.3f\n", before.imbalance_mean,
           after.imbalance_mean, after.bound_mean);
    printf("first layer:");
    for (i = 0; i < problem->num_slots; i++) printf(" %d", (int)placement[i]);
    printf("\n");
  }
  free(placement);
  return failed;
}

int main(int argc, char **argv) {
  eplb_error err = {0, ""};
  eplb_context *context = NULL;
  eplb_problem problem;
  table weights = {NULL, 0, 0, 0, 0};
  int failed;
  if (argc != 4) {
    fprintf(stderr, "usage: place WEIGHTS.csv SLOTS GPUS\n");
    return 2;
  }
  if (!read_table(&weights, argv[1])) return 2;
  failed = eplb_problem_init(&problem, sizeof problem, &err) ||
           eplb_context_create(&context, NULL, &err);
  problem.num_slots = strtoll(argv[2], NULL, 10);
  problem.num_gpus = strtoll(argv[3], NULL, 10);
  failed = failed || place(context, &weights, &problem, &err);
  if (failed) fprintf(stderr, "%s\n", err.text);
  eplb_context_destroy(context);
  free(weights.values);
  return failed ? 1 : 0;
}
