/* A program that hands over and gets back every struct, with fences behind them. Compiled from a
 * header of one age and run with a library of another: test_callers.py. LATER: the header has a
 * field `later` at the end of its structs.
 *
 *     client [VALUE]      asks for that value of every `later` that is an input
 * */
#include <eplb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 2, EXPERTS = 8, SLOTS = 16, FENCE = 64, INTACT = 0xA5 };

/* What a library that takes a struct for longer than it is would overwrite. */
#define FENCED(type)            \
  struct {                      \
    type it;                    \
    unsigned char fence[FENCE]; \
  }

static struct {
  FENCED(eplb_context_options) context;
  FENCED(eplb_problem) problem;
  FENCED(eplb_solve_options) solve;
  FENCED(eplb_report) solved;
  FENCED(eplb_report) evaluated;
  FENCED(eplb_backend) backend;
  FENCED(eplb_error) error;
} all;

static int fence_fell(const char *name, const unsigned char *fence) {
  int i;
  for (i = 0; i < FENCE; i++)
    if (fence[i] != INTACT) {
      printf("%s: byte %d behind the struct was overwritten\n", name, i);
      return 1;
    }
  return 0;
}

static int fences_fell(void) {
  return fence_fell("context options", all.context.fence) |
         fence_fell("problem", all.problem.fence) | fence_fell("solve options", all.solve.fence) |
         fence_fell("report", all.solved.fence) |
         fence_fell("report of evaluate", all.evaluated.fence) |
         fence_fell("backend", all.backend.fence) | fence_fell("error", all.error.fence);
}

static int init(void) {
  eplb_error *err = &all.error.it;
  memset(&all, INTACT, sizeof all);
  return eplb_context_options_init(&all.context.it, sizeof all.context.it, err) ||
         eplb_problem_init(&all.problem.it, sizeof all.problem.it, err) ||
         eplb_solve_options_init(&all.solve.it, sizeof all.solve.it, err) ||
         eplb_report_init(&all.solved.it, sizeof all.solved.it, err) ||
         eplb_report_init(&all.evaluated.it, sizeof all.evaluated.it, err) ||
         eplb_backend_init(&all.backend.it, sizeof all.backend.it, err);
}

static int use(eplb_context **context, int32_t *placement) {
  static const float weights[LAYERS * EXPERTS] = {600, 560, 120, 120, 20, 10, 10, 10,
                                                  1,   2,   3,   4,   5,  6,  7,  80};
  eplb_error *err = &all.error.it;
  all.problem.it.num_slots = SLOTS;
  all.problem.it.num_gpus = 8;
  return eplb_context_create(context, &all.context.it, err) ||
         eplb_backend_info(EPLB_DEVICE_CPU, &all.backend.it, NULL, 0, err) ||
         eplb_upload_weights(*context, weights, LAYERS * EXPERTS, EPLB_FLOAT32, 1, LAYERS, EXPERTS,
                             err) ||
         eplb_solve(*context, &all.problem.it, &all.solve.it, err) ||
         eplb_fetch_map(*context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement,
                        LAYERS * SLOTS, err) ||
         eplb_fetch_report(*context, &all.solved.it, err) ||
         eplb_evaluate(*context, &all.problem.it, placement, LAYERS * SLOTS, EPLB_INT32,
                       &all.evaluated.it, NULL, NULL, NULL, 0, err);
}

static void print_report(const char *name, const eplb_report *report) {
  printf(
      "%s: imbalance %.17g worst %.17g bound %.17g gap %.17g worst %.17g, layer %d, duplicates %d "
      "of %d\n",
      name, report->imbalance_mean, report->imbalance_worst, report->bound_mean, report->gap_mean,
      report->gap_worst, (int)report->worst_layer, (int)report->duplicates,
      (int)report->duplicates_unavoidable);
  printf("%s: strategy %d policy %d because %d bound %d\n", name, (int)report->strategy,
         (int)report->policy, (int)report->policy_reason, (int)report->bound_kind);
}

int main(int argc, char **argv) {
  eplb_context *context = NULL;
  int32_t placement[LAYERS * SLOTS];
  int i, failed = init();
  printf("ABI %d.%d\n", (int)(eplb_abi_version() >> 16), (int)(eplb_abi_version() & 0xFFFF));
#ifdef LATER
  printf("later: %d %d %d\n", (int)all.context.it.later, (int)all.problem.it.later,
         (int)all.solve.it.later);
  if (argc > 1) all.problem.it.later = all.solve.it.later = strtoll(argv[1], NULL, 10);
#else
  (void)argc, (void)argv;
#endif
  failed = failed || use(&context, placement);
  eplb_context_destroy(context);
  if (failed) {
    printf("%s: %s\n", eplb_status_name(all.error.it.code), all.error.it.text);
    return 3;
  }
#ifdef LATER
  printf("later: %d %d %d\n", (int)all.solved.it.later, (int)all.evaluated.it.later,
         (int)all.backend.it.later);
#endif
  for (i = 0; i < LAYERS * SLOTS; i++)
    printf("%d%c", (int)placement[i], (i + 1) % SLOTS ? ' ' : '\n');
  print_report("solved", &all.solved.it);
  print_report("evaluated", &all.evaluated.it);
  printf("devices %d built %d status %d\n", (int)all.backend.it.num_devices,
         (int)all.backend.it.built, (int)all.backend.it.status);
  return fences_fell();
}
