/* Times one call as the bindings' programs do in their languages: upload, solve and fetch of the
 * placement as int32 into a buffer that is kept; BEST at normal effort, 288 slots on 32 GPUs, one
 * thread.
 *
 *     time_call TRACE.csv [SECONDS [three-maps]]
 *
 * Prints one line of JSON: the median. With three-maps it fetches what Python's rebalance_experts
 * gives: three maps, int64. */
#define _POSIX_C_SOURCE 200809L
#include <eplb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 288, GPUS = 32, MAPS = 3, MOST_RUNS = 1 << 20 };

typedef struct call {
  float *weights;
  int64_t layers, experts;
  eplb_problem problem;
  eplb_context *context;
  int32_t *placement;
  int64_t *maps[MAPS], lengths[MAPS];
  int three_maps;
  eplb_error err;
} call;

static int read_trace(call *c, const char *path) {
  FILE *file = fopen(path, "r");
  int64_t length = 0, room = 0;
  float weight;
  char after;
  if (file == NULL) return 0;
  while (fscanf(file, "%f", &weight) == 1) {
    if (length == room) {
      float *more = realloc(c->weights, (size_t)(room = 2 * room + 1024) * sizeof *more);
      if (more == NULL) break;
      c->weights = more;
    }
    c->weights[length++] = weight;
    if (fscanf(file, "%c", &after) != 1 || after != ',') c->layers++;
  }
  fclose(file);
  if (c->layers > 0) c->experts = length / c->layers;
  return length > 0 && c->experts * c->layers == length;
}

static int prepare(call *c) {
  const int64_t slots = c->layers * SLOTS, counts = c->layers * c->experts;
  int i;
  c->lengths[0] = slots;
  c->lengths[1] = counts * (SLOTS - c->experts + 1);
  c->lengths[2] = counts;
  c->placement = malloc((size_t)slots * sizeof *c->placement);
  for (i = 0; i < MAPS; i++) c->maps[i] = malloc((size_t)c->lengths[i] * sizeof *c->maps[i]);
  if (eplb_problem_init(&c->problem, sizeof c->problem, &c->err) ||
      eplb_context_create(&c->context, NULL, &c->err))
    return 0;
  c->problem.num_slots = SLOTS;
  c->problem.num_gpus = GPUS;
  return c->placement && c->maps[0] && c->maps[1] && c->maps[2];
}

static int once(call *c) {
  static const eplb_map which[MAPS] = {EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_MAP_LOGICAL_TO_PHYSICAL,
                                       EPLB_MAP_REPLICA_COUNT};
  const int64_t length = c->layers * c->experts;
  int i;
  if (eplb_upload_weights(c->context, c->weights, length, EPLB_FLOAT32, 1, c->layers, c->experts,
                          &c->err) ||
      eplb_solve(c->context, &c->problem, NULL, &c->err))
    return 0;
  if (!c->three_maps)
    return !eplb_fetch_map(c->context, which[0], EPLB_INT32, c->placement, c->lengths[0], &c->err);
  for (i = 0; i < MAPS; i++)
    if (eplb_fetch_map(c->context, which[i], EPLB_INT64, c->maps[i], c->lengths[i], &c->err))
      return 0;
  return 1;
}

static double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int measure(call *c, double seconds) {
  double *runs = malloc(MOST_RUNS * sizeof *runs), start;
  int count = 0;
  if (runs == NULL || !once(c)) return 0; /* once for nothing: the first call makes room */
  for (start = microseconds();
       count < MOST_RUNS && (count < 5 || microseconds() - start < seconds * 1e6); count++) {
    const double begin = microseconds();
    if (!once(c)) return 0;
    runs[count] = microseconds() - begin;
  }
  qsort(runs, (size_t)count, sizeof *runs, ascending);
  printf("{\"language\":\"c\",\"microseconds\":%.3f,\"runs\":%d}\n",
         (runs[(count - 1) / 2] + runs[count / 2]) / 2, count);
  free(runs);
  return 1;
}

int main(int argc, char **argv) {
  static call c;
  int i, done;
  if (argc < 2 || argc > 4 || (argc == 4 && strcmp(argv[3], "three-maps") != 0)) {
    fprintf(stderr, "usage: time_call TRACE.csv [SECONDS [three-maps]]\n");
    return 2;
  }
  if (!read_trace(&c, argv[1])) {
    fprintf(stderr, "%s is no table of numbers\n", argv[1]);
    return 2;
  }
  c.three_maps = argc > 3;
  done = prepare(&c) && measure(&c, argc > 2 ? strtod(argv[2], NULL) : 2);
  if (!done) fprintf(stderr, "no time was taken: %s\n", c.err.text);
  eplb_context_destroy(c.context);
  for (i = 0; i < MAPS; i++) free(c.maps[i]);
  free(c.placement);
  free(c.weights);
  return done ? 0 : 1;
}
