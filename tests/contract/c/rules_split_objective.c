/* The objective of splits: what its placements keep of those of BEST, and what they are better at,
 * from the maps alone. */
#include <string.h>

#include "harness.h"
#include "invariants.h"
#include "moves.h"

enum { LAYERS = 4, EXPERTS = 32, SLOTS = 48, GPUS = 12, PLACES = SLOTS / GPUS };
enum { LENGTH = LAYERS * SLOTS, ROW = LAYERS * EXPERTS };

static input of_splits(int64_t windows) {
  input in = input_make(EPLB_FLOAT64, LAYERS * windows, EXPERTS, SLOTS, GPUS, 31);
  in.windows = windows;
  in.layers = LAYERS;
  in.problem.objective = EPLB_OBJECTIVE_SPLIT;
  return in;
}

/* The plan of an objective; false after a failed check. */
static int solved(input in, eplb_objective objective, plan *out) {
  eplb_context *context;
  int done;
  in.problem.objective = objective;
  context = context_solved(&in);
  done = context != NULL && invariants_hold(context, &in, out);
  CALL(context_destroy)(context);
  return done;
}

/* The most that a GPU has of experts that are nowhere else, over the mean load of GPUs. */
static double most_that_stays(const input *in, const plan *p, int64_t layer) {
  const int64_t *placement = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + layer * SLOTS;
  const int64_t *count = p->ints[EPLB_MAP_REPLICA_COUNT] + layer * EXPERTS;
  double most = 0, sum = 0;
  int64_t slot, expert;
  for (expert = 0; expert < EXPERTS; expert++) sum += input_weight(in, layer, expert);
  for (slot = 0; slot < SLOTS; slot += PLACES) {
    double stays = 0;
    int64_t place;
    for (place = slot; place < slot + PLACES; place++)
      if (count[placement[place]] == 1) stays += input_weight(in, layer, placement[place]);
    if (stays > most) most = stays;
  }
  return most / (sum / GPUS);
}

static double largest(double one, double other) { return one > other ? one : other; }

static void what_cannot_move_is_spread_within_the_target(void) {
  static const double targets[] = {-1, 0, 1, 1.03, 1.2};
  input in = of_splits(1);
  eplb_effort effort;
  size_t i;
  for (effort = EPLB_EFFORT_FAST; effort <= EPLB_EFFORT_MAX; effort++) {
    plan sum, split;
    in.options.effort = effort;
    if (!solved(in, EPLB_OBJECTIVE_SUM, &sum)) return;
    for (i = 0; i < sizeof targets / sizeof *targets; i++) {
      double target = targets[i] > 0 ? targets[i] : 1.01, before = 0, after = 0;
      int64_t layer;
      in.options.target = targets[i];
      if (!solved(in, EPLB_OBJECTIVE_SPLIT, &split)) return;
      CHECK(memcmp(sum.ints[EPLB_MAP_REPLICA_COUNT], split.ints[EPLB_MAP_REPLICA_COUNT],
                   ROW * sizeof(int64_t)) == 0);
      for (layer = 0; layer < LAYERS; layer++) {
        double imbalance = sum.doubles[EPLB_MAP_IMBALANCE][layer];
        CHECK(split.doubles[EPLB_MAP_IMBALANCE][layer] <= largest(target, imbalance * 1.000001));
        CHECK(split.ints[EPLB_MAP_DUPLICATES][layer] <= sum.ints[EPLB_MAP_DUPLICATES][layer]);
        before += most_that_stays(&in, &sum, layer);
        after += most_that_stays(&in, &split, layer);
      }
      if (target > 1.01) CHECK(after < before);
      plan_free(&split);
    }
    plan_free(&sum);
  }
  input_free(&in);
}

static void windows_are_summed(void) {
  enum { WINDOWS = 3 };
  input in = of_splits(WINDOWS), summed = of_splits(1);
  int64_t placements[2][LENGTH], i, window;
  double *sum = summed.weights;
  for (i = 0; i < ROW; i++)
    for (window = 0, sum[i] = 0; window < WINDOWS; window++)
      sum[i] += ((double *)in.weights)[window * ROW + i];
  if (input_placement(&in, NULL, placements[0]) && input_placement(&summed, NULL, placements[1]))
    CHECK(memcmp(placements[0], placements[1], sizeof placements[0]) == 0);
  input_free(&summed);
  input_free(&in);
}

static void groups_stay_on_their_nodes(void) {
  input in = of_splits(1);
  plan sum, split;
  in.problem.num_nodes = 2;
  in.problem.num_groups = 4;
  in.problem.policy = EPLB_POLICY_HIERARCHICAL;
  in.options.target = 1.1;
  if (solved(in, EPLB_OBJECTIVE_SUM, &sum) && solved(in, EPLB_OBJECTIVE_SPLIT, &split)) {
    CHECK(sum.fingerprint != split.fingerprint);
    plan_free(&sum);
    plan_free(&split);
  }
  input_free(&in);
}

static void closed_slots_stay_empty(void) {
  static const int64_t slots[GPUS] = {4, 4, 0, 3, 4, 4, 4, 2, 4, 4, 4, 4};
  static const double speeds[GPUS] = {1, 0.7, 1, 1, 1.5, 1, 1, 1, 1, 1, 1, 1};
  input in = of_splits(1);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH], i;
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, slots, speeds, NULL, GPUS, ERR));
  if (input_upload_and_solve(context, &in) && input_fetch(context, &in, placement))
    for (i = 0; i < LENGTH; i++)
      CHECK((placement[i] >= 0) == (i % PLACES < slots[i % SLOTS / PLACES]));
  CALL(context_destroy)(context);
  input_free(&in);
}

static void a_layer_without_load_or_replicas_is_that_of_best(void) {
  input in = of_splits(1);
  plan sum, split;
  memset(in.weights, 0, EXPERTS * sizeof(double));
  if (solved(in, EPLB_OBJECTIVE_SUM, &sum) && solved(in, EPLB_OBJECTIVE_SPLIT, &split)) {
    CHECK(memcmp(sum.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL], split.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL],
                 SLOTS * sizeof(int64_t)) == 0);
    plan_free(&sum);
    plan_free(&split);
  }
  in.problem.num_slots = EXPERTS;
  in.problem.num_gpus = 8;
  if (solved(in, EPLB_OBJECTIVE_SUM, &sum) && solved(in, EPLB_OBJECTIVE_SPLIT, &split)) {
    CHECK(sum.fingerprint == split.fingerprint);
    plan_free(&sum);
    plan_free(&split);
  }
  input_free(&in);
}

/* Rebalances other weights from a placement that was made for these, into `out`, and checks what is
 * true of every rebalance. */
static eplb_context *rebalanced(input *in, const int64_t *current, plan *out) {
  eplb_context *context = context_make(1);
  in->options.strategy = EPLB_STRATEGY_REBALANCE;
  EXPECT(EPLB_OK, CALL(upload_placement)(context, current, LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
  if (CHECK(input_upload_and_solve(context, in)) && invariants_hold(context, in, out) &&
      moves_from(context, in, out, current, EPLB_TRANSFER_BUFFERED))
    return context;
  CALL(context_destroy)(context);
  return NULL;
}

/* How many layers of the plan are above an imbalance if their tokens are split. */
static int64_t layers_above(eplb_context *context, const input *in, double target) {
  double imbalance[LAYERS];
  int64_t layer, above = 0;
  EXPECT(EPLB_OK, CALL(split)(context, &in->problem, NULL, 0, 0, NULL, ERR));
  EXPECT(EPLB_OK,
         CALL(fetch_map)(context, EPLB_MAP_SPLIT_IMBALANCE, EPLB_FLOAT64, imbalance, LAYERS, ERR));
  for (layer = 0; layer < LAYERS; layer++) above += imbalance[layer] > target;
  return above;
}

/* Those of weights of another seed. */
static int placement_of_others(int64_t *current) {
  int done;
  input in = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, SLOTS, GPUS, 77);
  done = input_placement(&in, NULL, current);
  input_free(&in);
  return done;
}

static void a_rebalance_reaches_its_target_with_few_moves(void) {
  static const double targets[] = {1.05, 1.2, 1.5};
  int64_t current[LENGTH];
  size_t i;
  if (!placement_of_others(current)) return;
  for (i = 0; i < sizeof targets / sizeof *targets; i++) {
    input in = of_splits(1);
    plan even, split;
    eplb_context *context;
    in.options.target = targets[i];
    in.problem.objective = EPLB_OBJECTIVE_SUM;
    context = rebalanced(&in, current, &even);
    CALL(context_destroy)(context);
    in.problem.objective = EPLB_OBJECTIVE_SPLIT;
    context = rebalanced(&in, current, &split);
    if (context == NULL) return;
    CHECK(split.report.moves > 0 && split.report.moves < even.report.moves);
    EQUAL(0, split.report.layers_missed);
    EQUAL(0, layers_above(context, &in, targets[i]));
    EQUAL(split.report.moves_forced, split.report.moves_bound);
    CALL(context_destroy)(context);
    plan_free(&even);
    plan_free(&split);
    input_free(&in);
  }
}

static void a_rebalance_keeps_its_limits(void) {
  int64_t current[LENGTH], count[LAYERS], missed = LAYERS + 1, most, layer;
  if (!placement_of_others(current)) return;
  for (most = 0; most < 5; most++) {
    input in = of_splits(1);
    plan p;
    eplb_context *context;
    in.options.max_moves = most;
    in.options.max_arrivals = 1;
    in.options.target = 1.05;
    context = rebalanced(&in, current, &p);
    if (context == NULL) return;
    EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_MOVE_COUNT, EPLB_INT64, count, LAYERS, ERR));
    for (layer = 0; layer < LAYERS; layer++) CHECK(count[layer] <= most);
    CHECK(p.report.most_received <= 1);
    EQUAL(p.report.layers_missed, layers_above(context, &in, 1.05));
    CHECK(p.report.layers_missed <= missed);
    missed = p.report.layers_missed;
    if (most == 0) EQUAL(0, p.report.layers_changed);
    CALL(context_destroy)(context);
    plan_free(&p);
    input_free(&in);
  }
}

/* A GPU that died: its experts come first. */
static void a_rebalance_makes_forced_moves(void) {
  static const int64_t slots[GPUS] = {4, 4, 0, 4, 4, 4, 4, 4, 4, 4, 4, 4};
  int64_t current[LENGTH], placement[LENGTH], i;
  input in = of_splits(1);
  eplb_context *context = context_make(1);
  eplb_report report;
  if (!placement_of_others(current)) return;
  for (i = 0; i < LENGTH; i++)
    if (i % SLOTS / PLACES == 2) current[i] = -1;
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, slots, NULL, NULL, GPUS, ERR));
  EXPECT(EPLB_OK, CALL(upload_placement)(context, current, LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
  in.options.strategy = EPLB_STRATEGY_REBALANCE;
  in.options.target = 1.3;
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  if (input_upload_and_solve(context, &in) && input_fetch(context, &in, placement)) {
    for (i = 0; i < LENGTH; i++) CHECK((placement[i] < 0) == (i % SLOTS / PLACES == 2));
    EXPECT(EPLB_OK, CALL(fetch_report)(context, &report, ERR));
    CHECK(report.moves_forced > 0 && report.moves >= report.moves_forced);
    EQUAL(report.layers_missed, layers_above(context, &in, 1.3));
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

static void a_rebalance_keeps_groups_on_their_nodes(void) {
  int64_t current[LENGTH];
  input in = of_splits(1), other = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, SLOTS, GPUS, 77);
  input *const both[] = {&in, &other};
  eplb_context *context;
  plan p;
  int i;
  for (i = 0; i < 2; i++) {
    both[i]->problem.num_nodes = 2;
    both[i]->problem.num_groups = 4;
    both[i]->problem.policy = EPLB_POLICY_HIERARCHICAL;
  }
  in.options.target = 0;
  if (input_placement(&other, NULL, current)) {
    context = rebalanced(&in, current, &p);
    if (context) {
      CHECK(p.report.moves > 0);
      plan_free(&p);
    }
    CALL(context_destroy)(context);
  }
  input_free(&other);
  input_free(&in);
}

static void others_refuse_it(void) {
  static const char *const names[] = {"greedy",          "lpt_swap",       "l2_swap",
                                      "random_restarts", "noise_spectrum", "hybrid_init"};
  input in = of_splits(1);
  eplb_context *context = context_make(1);
  int64_t current[LENGTH];
  eplb_strategy strategy;
  if (context == NULL || !input_upload_and_solve(context, &in) ||
      !input_fetch(context, &in, current))
    return;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy < EPLB_STRATEGY_BEST; strategy++) {
    in.options.strategy = strategy;
    REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR),
            "EPLB_OBJECTIVE_SPLIT", names[strategy], "EPLB_STRATEGY_BEST");
  }
  EXPECT(EPLB_OK, CALL(upload_placement)(context, current, LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
  in.options.strategy = EPLB_STRATEGY_REBALANCE;
  in.options.allow_empty = 1;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR),
          "EPLB_OBJECTIVE_SPLIT", "allow_empty");
  in.options.allow_empty = 0;
  in.options.move_price = 0.01;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR),
          "EPLB_OBJECTIVE_SPLIT", "move_price");
  in.options.move_price = 0;
  in.options.max_moves_total = 5;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR),
          "EPLB_OBJECTIVE_SPLIT", "max_moves_total");
  in.options.max_moves_total = -1;
  in.options.strategy = EPLB_STRATEGY_BEST;
  in.problem.policy = EPLB_POLICY_SOFT;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR),
          "EPLB_OBJECTIVE_SPLIT", "EPLB_POLICY_SOFT");
  CALL(context_destroy)(context);
  input_free(&in);
}

void rules_split_objective(void) {
  RUN(what_cannot_move_is_spread_within_the_target);
  RUN(windows_are_summed);
  RUN(groups_stay_on_their_nodes);
  RUN(closed_slots_stay_empty);
  RUN(a_layer_without_load_or_replicas_is_that_of_best);
  RUN(a_rebalance_reaches_its_target_with_few_moves);
  RUN(a_rebalance_keeps_its_limits);
  RUN(a_rebalance_makes_forced_moves);
  RUN(a_rebalance_keeps_groups_on_their_nodes);
  RUN(others_refuse_it);
}
