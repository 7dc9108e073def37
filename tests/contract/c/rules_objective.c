/* The objective of windows: what it changes and what it must not, from the maps alone. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"

enum { WINDOWS = 4, LAYERS = 3, EXPERTS = 16, SLOTS = 24, GPUS = 6, PLACES = SLOTS / GPUS };
enum { LENGTH = LAYERS * SLOTS, ROW = LAYERS * EXPERTS, MOST_WINDOWS = 64 };

/* [T,L,E] lies in memory like [T*L,E]. */
static input of_windows(int64_t windows) {
  input in = input_make(EPLB_FLOAT64, LAYERS * windows, EXPERTS, SLOTS, GPUS, 29);
  in.windows = windows;
  in.layers = LAYERS;
  in.problem.objective = EPLB_OBJECTIVE_WINDOWS;
  return in;
}

static double *window_of(const input *in, int64_t window) {
  return (double *)in->weights + window * ROW;
}

/* Good for the first window alone. */
static int stale_placement(int64_t *placement) {
  input in = of_windows(WINDOWS);
  int done;
  in.windows = 1;
  done = input_placement(&in, NULL, placement);
  input_free(&in);
  return done;
}

/* Whether two inputs have the same answers: fresh ones, and some from a placement. */
static void same_answers(input *one, input *other, int64_t first_layer, int64_t end_layer) {
  int64_t stale[LENGTH], answers[2][LENGTH];
  int64_t first = first_layer * SLOTS, count = (end_layer - first_layer) * SLOTS;
  eplb_strategy strategy;
  if (!stale_placement(stale)) return;
  for (strategy = EPLB_STRATEGY_BEST; strategy <= EPLB_STRATEGY_REBALANCE; strategy++) {
    int current = strategy == EPLB_STRATEGY_REBALANCE;
    one->options.strategy = other->options.strategy = strategy;
    one->options.max_moves = other->options.max_moves = current ? 6 : -1;
    if (!input_placement(one, current ? stale : NULL, answers[0]) ||
        !input_placement(other, current ? stale : NULL, answers[1]))
      return;
    CHECK(memcmp(answers[0] + first, answers[1] + first, (size_t)count * sizeof(int64_t)) == 0);
  }
}

static void windows_are_better_balanced(void) {
  input in = of_windows(WINDOWS);
  eplb_effort effort;
  for (effort = EPLB_EFFORT_FAST; effort <= EPLB_EFFORT_MAX; effort++) {
    plan plans[2];
    int objective;
    in.options.effort = effort;
    for (objective = EPLB_OBJECTIVE_SUM; objective <= EPLB_OBJECTIVE_WINDOWS; objective++) {
      eplb_context *context;
      in.problem.objective = objective;
      context = context_solved(&in);
      if (context == NULL || !invariants_hold(context, &in, &plans[objective])) return;
      CALL(context_destroy)(context);
    }
    CHECK(plans[1].report.windows_mean < plans[0].report.windows_mean);
    CHECK(plans[1].report.windows_worst < plans[0].report.windows_worst);
    plan_free(&plans[0]);
    plan_free(&plans[1]);
  }
  input_free(&in);
}

static void one_window_is_solved_as_the_sum(void) {
  input in = of_windows(1), of_sum = of_windows(1);
  of_sum.problem.objective = EPLB_OBJECTIVE_SUM;
  same_answers(&in, &of_sum, 0, LAYERS);
  input_free(&of_sum);
  input_free(&in);
}

/* The layer in the middle has load in one window only. */
static void a_layer_with_one_window_is_solved_as_the_sum(void) {
  input in = of_windows(WINDOWS), of_sum;
  int64_t window;
  for (window = 1; window < WINDOWS; window++)
    memset(window_of(&in, window) + EXPERTS, 0, EXPERTS * sizeof(double));
  of_sum = in;
  of_sum.problem.objective = EPLB_OBJECTIVE_SUM;
  same_answers(&in, &of_sum, 1, 2);
  input_free(&in);
}

static void a_window_without_load_changes_nothing(void) {
  input in = of_windows(WINDOWS);
  int64_t place;
  for (place = 0; place <= WINDOWS; place++) {
    input more = of_windows(WINDOWS + 1);
    size_t before = (size_t)(place * ROW) * sizeof(double), row = ROW * sizeof(double);
    memcpy(more.weights, in.weights, before);
    memset(window_of(&more, place), 0, row);
    if (place < WINDOWS)
      memcpy(window_of(&more, place + 1), window_of(&in, place), (WINDOWS * row) - before);
    same_answers(&in, &more, 0, LAYERS);
    input_free(&more);
  }
  input_free(&in);
}

static void windows_are_equally_important(void) {
  static const double factors[WINDOWS] = {1048576, 1, 0.001953125, 8};
  input in = of_windows(WINDOWS), scaled = of_windows(WINDOWS);
  int64_t i;
  for (i = 0; i < WINDOWS * ROW; i++) ((double *)scaled.weights)[i] *= factors[i / ROW];
  same_answers(&in, &scaled, 0, LAYERS);
  input_free(&scaled);
  input_free(&in);
}

/* Experts that a GPU holds and did not hold. */
static int64_t arrivals(const int64_t *held, const int64_t *holds) {
  int64_t expert, slot, found = 0;
  for (expert = 0; expert < EXPERTS; expert++) {
    int before = 0, after = 0;
    for (slot = 0; slot < PLACES; slot++) {
      before |= held[slot] == expert;
      after |= holds[slot] == expert;
    }
    found += after && !before;
  }
  return found;
}

static void limits_are_kept(const eplb_solve_options *options, const int64_t *current,
                            const int64_t *placement) {
  int64_t layer, gpu, total = 0;
  for (layer = 0; layer < LAYERS; layer++) {
    int64_t moves = 0;
    for (gpu = 0; gpu < GPUS; gpu++) {
      int64_t slot = layer * SLOTS + gpu * PLACES;
      int64_t got = arrivals(current + slot, placement + slot);
      CHECK(options->max_arrivals == 0 || got <= options->max_arrivals);
      moves += got;
    }
    CHECK(options->max_moves < 0 || moves <= options->max_moves);
    total += moves;
  }
  CHECK(options->max_moves_total < 0 || total <= options->max_moves_total);
  CHECK(options->max_moves == 0 ? total == 0 : total > 0);
}

static void a_rebalance_keeps_its_limits(void) {
  static const int64_t limits[][3] = {{5, 0, -1}, {-1, 1, -1}, {-1, 0, 7}, {4, 2, 9}, {0, 0, -1}};
  int64_t current[LENGTH];
  size_t i;
  if (!stale_placement(current)) return;
  for (i = 0; i < sizeof limits / sizeof *limits; i++) {
    input in = of_windows(WINDOWS);
    eplb_context *context = context_make(1);
    plan p;
    in.options.strategy = EPLB_STRATEGY_REBALANCE;
    in.options.max_moves = limits[i][0];
    in.options.max_arrivals = limits[i][1];
    in.options.max_moves_total = limits[i][2];
    EXPECT(EPLB_OK,
           CALL(upload_placement)(context, current, LENGTH, EPLB_INT64, LAYERS, SLOTS, ERR));
    if (input_upload_and_solve(context, &in) && invariants_hold(context, &in, &p)) {
      limits_are_kept(&in.options, current, p.ints[EPLB_MAP_PHYSICAL_TO_LOGICAL]);
      plan_free(&p);
    }
    CALL(context_destroy)(context);
    input_free(&in);
  }
}

static void groups_stay_on_their_nodes(void) {
  input in = of_windows(WINDOWS);
  eplb_context *context;
  in.problem.num_nodes = 2;
  in.problem.num_groups = 4;
  in.problem.policy = EPLB_POLICY_HIERARCHICAL;
  context = context_solved(&in);
  if (context != NULL) invariants_hold(context, &in, NULL);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void closed_slots_stay_empty(void) {
  static const int64_t slots[GPUS] = {4, 4, 0, 3, 4, 4};
  static const double speeds[GPUS] = {1, 0.7, 1, 1, 1.5, 1};
  input in = of_windows(WINDOWS);
  eplb_context *context = context_make(1);
  int64_t placement[LENGTH], i;
  EXPECT(EPLB_OK, CALL(upload_cluster)(context, slots, speeds, NULL, GPUS, ERR));
  if (input_upload_and_solve(context, &in)) {
    EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, placement,
                                    LENGTH, ERR));
    for (i = 0; i < LENGTH; i++)
      CHECK((placement[i] >= 0) == (i % PLACES < slots[i % SLOTS / PLACES]));
    EXPECT(EPLB_OK, CALL(evaluate)(context, &in.problem, placement, LENGTH, EPLB_INT64, NULL, NULL,
                                   NULL, NULL, 0, ERR));
  }
  CALL(context_destroy)(context);
  input_free(&in);
}

static void what_does_not_know_windows_is_refused(void) {
  static const char *const names[EPLB_STRATEGY_BEST] = {
      "greedy", "lpt_swap", "l2_swap", "random_restarts", "noise_spectrum", "hybrid_init"};
  input in = of_windows(WINDOWS), many = of_windows(MOST_WINDOWS + 1);
  eplb_context *context = context_make(1);
  eplb_strategy strategy;
  if (context == NULL || !input_upload(context, &in)) return;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy < EPLB_STRATEGY_BEST; strategy++) {
    in.options.strategy = strategy;
    REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR),
            "EPLB_OBJECTIVE_WINDOWS", names[strategy], "EPLB_STRATEGY_BEST",
            "EPLB_STRATEGY_REBALANCE");
  }
  if (input_upload(context, &many))
    REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &many.problem, &many.options, ERR), "windows",
            "more than 64");
  CALL(context_destroy)(context);
  input_free(&many);
  input_free(&in);
}

void rules_objective(void) {
  RUN(windows_are_better_balanced);
  RUN(one_window_is_solved_as_the_sum);
  RUN(a_layer_with_one_window_is_solved_as_the_sum);
  RUN(a_window_without_load_changes_nothing);
  RUN(windows_are_equally_important);
  RUN(a_rebalance_keeps_its_limits);
  RUN(groups_stay_on_their_nodes);
  RUN(closed_slots_stay_empty);
  RUN(what_does_not_know_windows_is_refused);
}
