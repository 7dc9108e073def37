#include "invariants.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "off_home.h"

static const double kTolerance = 1e-12;

static eplb_policy policy_of(const eplb_problem *problem, eplb_policy_reason *reason) {
  int64_t groups = problem->num_groups == 0 ? 1 : problem->num_groups;
  *reason = EPLB_POLICY_REASON_ASKED;
  if (problem->policy != EPLB_POLICY_AUTO) return problem->policy;
  *reason = groups % problem->num_nodes == 0 ? EPLB_POLICY_REASON_GROUPS_DIVIDE
                                             : EPLB_POLICY_REASON_GROUPS_DO_NOT;
  return groups % problem->num_nodes == 0 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
}

/* The three maps that say where replicas are must all describe one placement. */
static int maps_agree(const plan *p, const input *in, int64_t layer) {
  const int64_t *p2l = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + layer * p->slots;
  const int64_t *l2p = p->ints[EPLB_MAP_LOGICAL_TO_PHYSICAL] + layer * p->experts * p->width;
  const int64_t *count = p->ints[EPLB_MAP_REPLICA_COUNT] + layer * p->experts;
  const int64_t *slots = p->ints[EPLB_MAP_REPLICA_SLOTS] + layer * p->slots;
  char *taken = calloc((size_t)p->slots, 1);
  int64_t e, r, at = 0;
  int fine = 1;
  for (e = 0; fine && e < p->experts; e++) {
    fine = CHECK(count[e] >= 1) && CHECK(at + count[e] <= p->slots) && CHECK(count[e] <= p->width);
    if (fine && in->options.max_replicas > 0) fine = CHECK(count[e] <= in->options.max_replicas);
    for (r = 0; fine && r < count[e]; r++, at++) {
      int64_t slot = slots[at];
      fine = CHECK(slot >= 0 && slot < p->slots) && CHECK(!taken[slot]) && EQUAL(e, p2l[slot]) &&
             EQUAL(slot, l2p[e * p->width + r]);
      if (fine) taken[slot] = 1;
    }
    for (; fine && r < p->width; r++) fine = EQUAL(-1, l2p[e * p->width + r]);
  }
  free(taken);
  return fine && EQUAL(p->slots, at);
}

static int groups_stay_on_nodes(const plan *p, const input *in, int64_t layer) {
  const int64_t *p2l = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + layer * p->slots;
  int64_t groups = in->problem.num_groups == 0 ? 1 : in->problem.num_groups,
          nodes = in->problem.num_nodes;
  int64_t *node_of = malloc((size_t)groups * sizeof *node_of),
          *share = calloc((size_t)nodes, sizeof *share);
  int64_t s, g, n;
  int fine = 1;
  for (g = 0; g < groups; g++) node_of[g] = -1;
  for (s = 0; fine && s < p->slots; s++) {
    int64_t node = s / (p->slots / nodes), group = p2l[s] / (p->experts / groups);
    if (node_of[group] < 0) {
      node_of[group] = node;
      share[node]++;
    }
    fine = EQUAL(node_of[group], node);
  }
  for (n = 0; fine && n < nodes; n++) fine = EQUAL(groups / nodes, share[n]);
  free(node_of);
  free(share);
  return fine;
}

/* Largest load of the layer, and through *mean the mean; checks GPU_LOAD on the way. */
static double largest_load(const plan *p, const input *in, int64_t layer, double *mean) {
  const int64_t *p2l = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + layer * p->slots;
  const int64_t *count = p->ints[EPLB_MAP_REPLICA_COUNT] + layer * p->experts;
  const double *reported = p->doubles[EPLB_MAP_GPU_LOAD] + layer * p->gpus;
  int64_t per_gpu = p->slots / p->gpus, g, k, e;
  double largest = 0, total = 0;
  for (g = 0; g < p->gpus; g++) {
    double load = 0;
    for (k = 0; k < per_gpu; k++) {
      int64_t expert = p2l[g * per_gpu + k];
      load += input_weight(in, layer, expert) / (double)count[expert];
    }
    if (!CLOSE(load, reported[g], kTolerance)) return NAN;
    largest = fmax(largest, load);
  }
  for (e = 0; e < p->experts; e++) total += input_weight(in, layer, e);
  *mean = total / (double)p->gpus;
  return largest;
}

/* The largest replica when counts are as good as counts can be: no placement without groups can
 * beat it. */
static double best_largest_replica(const plan *p, const input *in, int64_t layer) {
  int64_t *count = malloc((size_t)p->experts * sizeof *count), e, extra, worst = 0;
  double largest;
  for (e = 0; e < p->experts; e++) count[e] = 1;
  for (extra = 0; extra <= p->slots - p->experts; extra++) {
    for (worst = 0, e = 1; e < p->experts; e++)
      if (input_weight(in, layer, e) / (double)count[e] >
          input_weight(in, layer, worst) / (double)count[worst])
        worst = e;
    count[worst]++;
  }
  largest = input_weight(in, layer, worst) / (double)(count[worst] - 1);
  free(count);
  return largest;
}

static int loads_hold(const plan *p, const input *in, int64_t layer, double *imbalance,
                      double *relative, double *gap) {
  double mean = 0, largest = largest_load(p, in, layer, &mean),
         bound = p->doubles[EPLB_MAP_BOUND][layer];
  /* A bound gives up what sums and quotients may lose among the denormals. */
  double lost = 0x1p-1074 * (double)(p->slots / p->gpus + 2);
  if (isnan(largest)) return 0;
  *imbalance = mean > 0 ? largest / mean : 1;
  *relative = mean > 0 ? bound / mean : 1;
  *gap = bound > 0 ? largest / bound - 1 : 0;
  /* So do loads, and imbalance is worked out without that. */
  return CLOSE(*imbalance, p->doubles[EPLB_MAP_IMBALANCE][layer],
               kTolerance + (mean > 0 ? lost / mean : 0)) &&
         CHECK(bound <= largest) && CHECK(bound >= mean * (1 - 1e-11) - lost) &&
         (p->report.policy == EPLB_POLICY_HIERARCHICAL || p->slots > 512 ||
          CHECK(bound >= best_largest_replica(p, in, layer) * (1 - 1e-11) - lost));
}

/* Slots whose expert sits in a lower slot of the same GPU, and how many of them no placement could
 * avoid. */
static int duplicates_recount(const plan *p, const input *in, int64_t layer, int64_t *unavoidable) {
  const int64_t *p2l = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + layer * p->slots;
  const int64_t *count = p->ints[EPLB_MAP_REPLICA_COUNT] + layer * p->experts;
  int64_t nodes = p->report.policy == EPLB_POLICY_HIERARCHICAL ? in->problem.num_nodes : 1;
  int64_t per_gpu = p->slots / p->gpus, s, t, e, found = 0;
  for (s = 0; s < p->slots; s++)
    for (t = s - s % per_gpu; t < s; t++)
      if (p2l[t] == p2l[s]) {
        found++;
        break;
      }
  for (e = 0; e < p->experts; e++)
    if (count[e] > p->gpus / nodes) *unavoidable += count[e] - p->gpus / nodes;
  return EQUAL(found, p->ints[EPLB_MAP_DUPLICATES][layer]);
}

static int has_load(const plan *p, int64_t layer) {
  const double *load = p->doubles[EPLB_MAP_GPU_LOAD] + layer * p->gpus;
  int64_t g;
  for (g = 0; g < p->gpus; g++)
    if (load[g] > 0) return 1;
  return 0;
}

/* Of layers that have load; of none, what is given. */
static double mean_of(double sum, int64_t count) { return count > 0 ? sum / (double)count : sum; }

static int64_t count_layers_with_load(const plan *p) {
  int64_t layer, count = 0;
  for (layer = 0; layer < p->layers; layer++) count += has_load(p, layer);
  return count;
}

static int report_holds(const plan *p, const input *in) {
  double imbalance_sum = 0, bound_sum = 0, gap_sum = 0, gap_worst = 0, worst = 0;
  int64_t layer, worst_layer = 0, duplicates = 0, unavoidable = 0;
  int64_t loaded = count_layers_with_load(p);
  for (layer = 0; layer < p->layers; layer++) {
    double imbalance, relative, gap;
    if (!loads_hold(p, in, layer, &imbalance, &relative, &gap) ||
        !duplicates_recount(p, in, layer, &unavoidable))
      return 0;
    /* As reported: two layers may differ by one rounding only. */
    imbalance = p->doubles[EPLB_MAP_IMBALANCE][layer];
    if (imbalance > worst) {
      worst = imbalance;
      worst_layer = layer;
    }
    if (has_load(p, layer)) {
      imbalance_sum += imbalance;
      bound_sum += relative;
      gap_sum += gap;
    }
    gap_worst = fmax(gap_worst, gap);
    duplicates += p->ints[EPLB_MAP_DUPLICATES][layer];
  }
  if (loaded == 0) imbalance_sum = bound_sum = 1;
  return EQUAL(p->layers - loaded, p->report.num_empty_layers) &
         CLOSE(mean_of(imbalance_sum, loaded), p->report.imbalance_mean, kTolerance) &
         CLOSE(worst, p->report.imbalance_worst, kTolerance) &
         CLOSE(mean_of(bound_sum, loaded), p->report.bound_mean, kTolerance) &
         CLOSE(1 + mean_of(gap_sum, loaded), 1 + p->report.gap_mean, kTolerance) &
         CLOSE(1 + gap_worst, 1 + p->report.gap_worst, kTolerance) &
         EQUAL(worst_layer, p->report.worst_layer) & EQUAL(duplicates, p->report.duplicates) &
         EQUAL(unavoidable, p->report.duplicates_unavoidable) &
         CHECK(p->report.bound_mean <= p->report.imbalance_mean * (1 + kTolerance)) &
         CHECK(p->report.microseconds >= 0 && p->report.microseconds < 1e9);
}

/* What off-home shares the placement has, and what it takes to reach the target. */
static int homes_hold(const plan *p, const input *in) {
  const double *share = p->doubles[EPLB_MAP_OFF_HOME], *bound = p->doubles[EPLB_MAP_OFF_HOME_BOUND];
  double sum = 0, worst = 0, bound_sum = 0;
  int64_t loaded = count_layers_with_load(p);
  int64_t layer;
  for (layer = 0; layer < p->layers; layer++) {
    const int64_t *row = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + layer * p->slots;
    int level = p->doubles[EPLB_MAP_IMBALANCE][layer] <= in->problem.off_home_target;
    if (!off_home_agrees(off_home_of(in, NULL, layer, row, NULL), share[layer], bound[layer]) ||
        !CHECK(!level || bound[layer] <= share[layer]) ||
        !CHECK(p->report.policy != EPLB_POLICY_HIERARCHICAL || share[layer] == 0))
      return 0;
    sum += share[layer];
    worst = fmax(worst, share[layer]);
    bound_sum += bound[layer];
  }
  return CLOSE(mean_of(sum, loaded), p->report.off_home_mean, kTolerance) &
         CHECK(worst == p->report.off_home_worst) &
         CLOSE(mean_of(bound_sum, loaded), p->report.off_home_bound_mean, kTolerance);
}

static int report_names_the_rule(const plan *p, const input *in) {
  eplb_policy_reason reason;
  eplb_policy policy = policy_of(&in->problem, &reason);
  int64_t weight_bytes = input_length(in) / in->windows * 4;
  /* Under a hierarchical policy the bound looks at nodes too, if all ways to put groups on them
   * could be gone through. */
  int by_node = policy == EPLB_POLICY_HIERARCHICAL && in->problem.num_nodes > 1 &&
                p->report.bound_kind == EPLB_BOUND_NODE;
  return EQUAL(policy, p->report.policy) & EQUAL(reason, p->report.policy_reason) &
         (by_node || EQUAL(in->problem.bound_kind, p->report.bound_kind)) &
         EQUAL(in->options.strategy, p->report.strategy) &
         EQUAL(sizeof p->report, p->report.struct_size) &
         CHECK(p->report.context_bytes >= weight_bytes);
}

/* What the library says of its own plan when it is handed in as anyone's. */
static int evaluation_agrees(eplb_context *context, const plan *p, const input *in) {
  size_t bytes = (size_t)p->layers * 8;
  double *imbalance = malloc(bytes), *bound = malloc(bytes);
  int64_t *duplicates = malloc(bytes);
  eplb_report report, expected = p->report;
  eplb_problem problem = in->problem;
  int fine;
  if (problem.max_replicas == 0) problem.max_replicas = in->options.max_replicas;
  fine = EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR)) &&
         EXPECT(EPLB_OK, CALL(evaluate)(context, &problem, p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL],
                                        p->layers * p->slots, EPLB_INT64, &report, imbalance, bound,
                                        duplicates, p->layers, ERR));
  expected.strategy = -1;
  fine = fine && report_same(&expected, &report) &&
         CHECK(memcmp(imbalance, p->doubles[EPLB_MAP_IMBALANCE], bytes) == 0) &&
         CHECK(memcmp(bound, p->doubles[EPLB_MAP_BOUND], bytes) == 0) &&
         CHECK(memcmp(duplicates, p->ints[EPLB_MAP_DUPLICATES], bytes) == 0);
  free(imbalance);
  free(bound);
  free(duplicates);
  return fine;
}

int invariants_hold(eplb_context *context, const input *in, plan *out) {
  plan p;
  int64_t layer;
  int fine = plan_fetch(&p, context, in);
  if (!fine) return 0;
  for (layer = 0; fine && layer < p.layers; layer++)
    fine = maps_agree(&p, in, layer) &&
           (p.report.policy != EPLB_POLICY_HIERARCHICAL || groups_stay_on_nodes(&p, in, layer));
  fine = fine && report_holds(&p, in) && homes_hold(&p, in) && report_names_the_rule(&p, in) &&
         evaluation_agrees(context, &p, in) && plan_still_there(&p, context, in);
  if (fine && out != NULL)
    *out = p;
  else
    plan_free(&p);
  return fine;
}

void invariants_hold_of_all_efforts(const input *in) {
  eplb_effort effort;
  for (effort = EPLB_EFFORT_FAST; effort <= EPLB_EFFORT_MAX; effort++) {
    input same = *in;
    eplb_context *context;
    same.options.effort = effort;
    context = context_solved(&same);
    if (context != NULL) invariants_hold(context, &same, NULL);
    CALL(context_destroy)(context);
  }
}
