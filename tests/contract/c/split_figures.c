/* What a split must be, from the header's definition: sums, loads, the certificate, and among few GPUs
 * that no split is better. */
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "split.h"

enum { ALL = 65536, MOST_FOR_ALL_SETS = 8 };

static const double kSlowest = 1.0 / 65536, kRounding = 1e-11;

/* A layer with what follows from it. */
typedef struct layer {
  const input *in;
  const int64_t *row; /* [S] */
  int64_t number, per_gpu, open_gpus;
  const int64_t *share; /* [S] */
  const double *quota, *load;
  const int64_t *tight; /* [G] */
  double imbalance, bound;
  double *speed; /* [G], mean 1 over open GPUs; 0 where there is no slot */
  double total;
} layer;

static int is_open(const cluster *gpus, int64_t gpu) {
  return gpus == NULL || gpus->slots == NULL || gpus->slots[gpu] > 0;
}

double *relative_speeds(const input *in, const cluster *gpus, int64_t *open_gpus) {
  double *speed = calloc((size_t)in->problem.num_gpus, sizeof *speed), fastest = 0, sum = 0;
  int64_t g;
  *open_gpus = 0;
  for (g = 0; g < in->problem.num_gpus; g++) {
    if (!is_open(gpus, g)) continue;
    speed[g] = gpus != NULL && gpus->speeds != NULL ? gpus->speeds[g] : 1;
    fastest = fmax(fastest, speed[g]);
    ++*open_gpus;
  }
  for (g = 0; g < in->problem.num_gpus; g++)
    sum += speed[g] = speed[g] > 0 ? fmax(speed[g] / fastest, kSlowest) : 0;
  for (g = 0; g < in->problem.num_gpus; g++) speed[g] *= (double)*open_gpus / sum;
  return speed;
}

/* Whether weights are tokens, which are split as they are. */
static int is_whole(const layer *l) {
  int64_t e;
  for (e = 0; e < l->in->experts; e++) {
    double weight = input_weight(l->in, l->number, e);
    if (weight != floor(weight)) return 0;
  }
  return l->total < 536870912;
}

/* What a token is. Each weight is rounded by at most one. */
static double unit_of(const layer *l) { return is_whole(l) ? 1 : l->total * 0x1p-27; }

/* Of its slots on a GPU, the lowest has all. */
static int is_lowest_of_gpu(const layer *l, int64_t slot) {
  int64_t s;
  for (s = slot / l->per_gpu * l->per_gpu; s < slot; s++)
    if (l->row[s] == l->row[slot]) return 0;
  return 1;
}

/* An expert without tokens is split evenly, in proportion to speeds. */
static double even_share(const layer *l, int64_t slot) {
  double all = 0, own = 0;
  int64_t s;
  for (s = 0; s < l->in->problem.num_slots; s++) {
    if (l->row[s] != l->row[slot]) continue;
    all += l->speed[s / l->per_gpu];
    if (s / l->per_gpu == slot / l->per_gpu) own += l->speed[s / l->per_gpu];
  }
  return ALL * own / all;
}

static int expert_holds(const layer *l, int64_t expert) {
  const int is_integer = l->in->dtype == EPLB_INT32 || l->in->dtype == EPLB_INT64;
  double weight = input_weight(l->in, l->number, expert), sum = 0;
  int64_t shares = 0, s;
  int fine = 1;
  for (s = 0; s < l->in->problem.num_slots; s++) {
    const double quota = l->quota[s];
    if (l->row[s] != expert) continue;
    sum += quota;
    shares += l->share[s];
    fine &= CHECK(quota >= 0 && l->share[s] >= 0 && l->share[s] <= ALL);
    if (!is_lowest_of_gpu(l, s)) {
      fine &= CHECK(quota == 0 && l->share[s] == 0);
    } else if (weight == 0) {
      fine &= CHECK(fabs((double)l->share[s] - even_share(l, s)) < 1 + 1e-6);
    } else {
      const double slack = is_whole(l) ? 1 : 1 + ALL * unit_of(l) / weight;
      fine &= CHECK(fabs((double)l->share[s] - quota / weight * ALL) <= slack);
    }
    if (is_integer || is_whole(l)) fine &= CHECK(quota == floor(quota));
  }
  fine &= EQUAL(ALL, shares);
  if (is_integer && weight < 0x1p53) return fine & CHECK(sum == weight);
  return fine & CLOSE(weight, sum, kRounding);
}

static int slots_hold(const layer *l) {
  int64_t e, s;
  int fine = 1;
  for (e = 0; e < l->in->experts; e++) fine &= expert_holds(l, e);
  for (s = 0; s < l->in->problem.num_slots; s++)
    if (l->row[s] < 0) fine &= CHECK(l->quota[s] == 0 && l->share[s] == 0);
  return fine;
}

static int loads_hold(const layer *l) {
  double largest = 0;
  int64_t g, k;
  int fine = 1;
  for (g = 0; g < l->in->problem.num_gpus; g++) {
    double sum = 0;
    for (k = 0; k < l->per_gpu; k++) sum += l->quota[g * l->per_gpu + k];
    fine &= CLOSE(sum, l->load[g], kRounding);
    if (l->speed[g] > 0) largest = fmax(largest, l->load[g] / l->speed[g]);
  }
  fine &= CHECK(l->imbalance >= 1 && l->bound <= largest);
  if (l->total == 0) return fine & CHECK(largest == 0 && l->imbalance == 1);
  return fine & CLOSE(largest / l->total * (double)l->open_gpus, l->imbalance, kRounding);
}

/* The weight of experts that are on no other GPU than these. */
static double weight_inside(const layer *l, const int64_t *set) {
  double sum = 0;
  int64_t e, s;
  for (e = 0; e < l->in->experts; e++) {
    int inside = 1;
    for (s = 0; s < l->in->problem.num_slots; s++)
      if (l->row[s] == e) inside &= set[s / l->per_gpu] != 0;
    if (inside) sum += input_weight(l->in, l->number, e);
  }
  return sum;
}

static double density(const layer *l, const int64_t *set) {
  double speed = 0;
  int64_t g;
  for (g = 0; g < l->in->problem.num_gpus; g++)
    if (set[g]) speed += l->speed[g];
  return speed > 0 ? weight_inside(l, set) / speed : 0;
}

/* No GPU has a token or more above the bound, times its speed; with a tolerance, above that. */
static int bound_holds(const layer *l, double tolerance) {
  const double room = is_whole(l) ? 1 : (double)(1 + l->per_gpu) * unit_of(l);
  int64_t g, members = 0;
  int fine = 1;
  for (g = 0; g < l->in->problem.num_gpus; g++) {
    const double most = l->bound * (1 + tolerance) * l->speed[g];
    fine &= CHECK(l->tight[g] == 0 || l->tight[g] == 1);
    fine &= CHECK(l->load[g] <= most * (1 + kRounding) + room * (1 - 1e-6));
    members += l->tight[g];
  }
  return fine & CHECK(members > 0) & CHECK(l->bound <= density(l, l->tight)) &
         CLOSE(density(l, l->tight), l->bound, kRounding);
}

/* Over all sets of GPUs, the largest density is the least that the largest time can be, if tokens
 * could be parted (Gale 1957). */
static int no_split_is_better(const layer *l, double tolerance) {
  const int64_t gpus = l->in->problem.num_gpus;
  int64_t set[MOST_FOR_ALL_SETS], number, g;
  double least = 0, largest = 0;
  if (gpus > MOST_FOR_ALL_SETS) return 1;
  for (number = 1; number < (int64_t)1 << gpus; number++) {
    for (g = 0; g < gpus; g++) set[g] = number >> g & 1;
    least = fmax(least, density(l, set));
  }
  for (g = 0; g < gpus; g++)
    if (l->speed[g] > 0) largest = fmax(largest, l->load[g] / l->speed[g]);
  if (!CHECK(l->bound <= least * (1 + kRounding))) return 0;
  for (g = 0; g < gpus; g++)
    if (l->speed[g] != 1) return 1;
  if (tolerance > 0 || !is_whole(l)) return 1;
  return CHECK(largest == ceil(least - 1e-6)); /* as few as can be: tokens are not parted */
}

int split_holds(const input *in, const cluster *gpus, const int64_t *placement, double tolerance,
                const split *s) {
  int64_t i, e;
  int fine = 1;
  for (i = 0; fine && i < in->layers; i++) {
    layer l = {in, placement + i * s->slots, i, s->slots / s->gpus, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    l.speed = relative_speeds(in, gpus, &l.open_gpus);
    l.share = s->ints[0] + i * s->slots;
    l.quota = s->doubles[1] + i * s->slots;
    l.load = s->doubles[2] + i * s->gpus;
    l.imbalance = s->doubles[3][i];
    l.bound = s->doubles[4][i];
    l.tight = s->ints[5] + i * s->gpus;
    for (e = 0; e < in->experts; e++) l.total += input_weight(in, i, e);
    fine = slots_hold(&l) & loads_hold(&l) & bound_holds(&l, tolerance) &
           no_split_is_better(&l, tolerance);
    free(l.speed);
  }
  return fine;
}
