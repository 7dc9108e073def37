/* Windows: what maps and reports say of each, for which weights there are any, and what is refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "plan.h"

enum { WINDOWS = 4, LAYERS = 3, EXPERTS = 8, SLOTS = 12, GPUS = 4, FIGURES = LAYERS * WINDOWS };
/* Without load: a window, a layer, and one layer more in one window. */
enum { EMPTY_WINDOW = 1, EMPTY_LAYER = 2, MOST_WINDOWS = 64 };

static const double kTolerance = 1e-12;

static void clear(input *in, int64_t window, int64_t layer) {
  size_t row = (size_t)in->experts * input_element_size(in->dtype);
  memset((char *)in->weights + (size_t)(window * in->layers + layer) * row, 0, row);
}

/* [T,L,E] lies in memory like [T*L,E]. */
static input of_windows(eplb_dtype dtype, int64_t windows) {
  input in = input_make(dtype, LAYERS * windows, EXPERTS, SLOTS, GPUS, 23);
  in.windows = windows;
  in.layers = LAYERS;
  return in;
}

static input with_gaps(eplb_dtype dtype) {
  input in = of_windows(dtype, WINDOWS);
  int64_t i;
  for (i = 0; i < LAYERS; i++) clear(&in, EMPTY_WINDOW, i);
  for (i = 0; i < WINDOWS; i++) clear(&in, i, EMPTY_LAYER);
  clear(&in, 3, 0);
  return in;
}

/* A window as an input of its own. */
static input window_of(const input *in, int64_t window) {
  input one = input_make(in->dtype, in->layers, in->experts, SLOTS, GPUS, 1);
  size_t bytes = (size_t)input_length(&one) * input_element_size(in->dtype);
  memcpy(one.weights, (const char *)in->weights + (size_t)window * bytes, bytes);
  return one;
}

/* The largest load of a layer in a window, from the placement [L,S] alone; 0 without load. */
static double largest_of(const input *one, const int64_t *placement, int64_t layer, double *mean) {
  const int64_t *row = placement + layer * SLOTS;
  double count[EXPERTS] = {0}, largest = 0;
  int64_t i, per_gpu = SLOTS / GPUS;
  *mean = 0;
  for (i = 0; i < SLOTS; i++) count[row[i]]++;
  for (i = 0; i < GPUS; i++) {
    double load = 0;
    int64_t k;
    for (k = i * per_gpu; k < (i + 1) * per_gpu; k++)
      load += input_weight(one, layer, row[k]) / count[row[k]];
    largest = fmax(largest, load);
    *mean += load / GPUS;
  }
  return largest;
}

static int fetch_windows(eplb_context *context, eplb_map map, int64_t windows, double *out) {
  int64_t dims[4] = {0};
  int32_t rank = 0;
  return EXPECT(EPLB_OK, CALL(map_shape)(context, map, &rank, dims, 4, ERR)) && EQUAL(2, rank) &&
         EQUAL(LAYERS, dims[0]) && EQUAL(windows, dims[1]) &&
         EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_FLOAT64, out, LAYERS * windows, ERR));
}

/* Of a plan, and the same of its placement as anyone's. */
static int windows_hold(eplb_context *context, const input *in, const plan *p) {
  const int64_t *placement = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL];
  double imbalance[FIGURES], bound[FIGURES], again[2][FIGURES], sum = 0, worst = 1;
  int64_t window, layer, loaded = 0, empty = 0, worst_window = 0, worst_layer = 0;
  eplb_report report;
  if (!fetch_windows(context, EPLB_MAP_WINDOW_BOUND, WINDOWS, bound) ||
      !fetch_windows(context, EPLB_MAP_WINDOW_IMBALANCE, WINDOWS, imbalance))
    return 0;
  for (window = 0; window < WINDOWS; window++) {
    input one = window_of(in, window);
    int64_t before = loaded;
    for (layer = 0; layer < LAYERS; layer++) {
      double mean, largest = largest_of(&one, placement, layer, &mean);
      double got = imbalance[layer * WINDOWS + window], least = bound[layer * WINDOWS + window];
      CLOSE(largest > 0 ? largest / mean : 1, got, kTolerance);
      CHECK(least <= largest && least >= mean * (1 - 1e-9));
      if (largest == 0) continue;
      loaded++;
      sum += got;
      if (got <= worst) continue;
      worst = got;
      worst_window = window;
      worst_layer = layer;
    }
    empty += loaded == before;
    input_free(&one);
  }
  CLOSE(sum / (double)loaded, p->report.windows_mean, kTolerance);
  CHECK(p->report.windows_worst == worst);
  EQUAL(WINDOWS, p->report.num_windows);
  EQUAL(empty, p->report.num_empty_windows);
  EQUAL(worst_window, p->report.worst_window);
  EQUAL(worst_layer, p->report.worst_window_layer);
  EXPECT(EPLB_OK, CALL(evaluate_windows)(context, &in->problem, placement, LAYERS * SLOTS,
                                         EPLB_INT64, again[0], again[1], FIGURES, ERR));
  CHECK(memcmp(again[0], imbalance, sizeof imbalance) == 0);
  CHECK(memcmp(again[1], bound, sizeof bound) == 0);
  EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR));
  EXPECT(EPLB_OK, CALL(evaluate)(context, &in->problem, placement, LAYERS * SLOTS, EPLB_INT64,
                                 &report, NULL, NULL, NULL, 0, ERR));
  return EQUAL(WINDOWS, report.num_windows) && EQUAL(empty, report.num_empty_windows) &&
         CHECK(report.windows_mean == p->report.windows_mean) &&
         CHECK(report.windows_worst == worst) && EQUAL(worst_window, report.worst_window) &&
         EQUAL(worst_layer, report.worst_window_layer);
}

static void every_window_is_measured(void) {
  eplb_dtype dtype;
  for (dtype = EPLB_FLOAT32; dtype <= EPLB_INT64; dtype++) {
    input in = with_gaps(dtype);
    eplb_context *context = context_solved(&in);
    plan p;
    if (context != NULL && CHECK(plan_fetch(&p, context, &in))) {
      EQUAL(1, p.report.num_empty_windows);
      windows_hold(context, &in, &p);
      plan_free(&p);
    }
    CALL(context_destroy)(context);
    input_free(&in);
  }
}

/* A window is measured as it would be alone, bounds included. */
static void a_window_is_what_it_is_alone(void) {
  input in = of_windows(EPLB_FLOAT64, WINDOWS);
  eplb_context *context = context_solved(&in), *alone = context_make(1);
  double imbalance[FIGURES], bound[FIGURES];
  int64_t window, layer;
  plan p;
  if (context == NULL || alone == NULL || !CHECK(plan_fetch(&p, context, &in)) ||
      !fetch_windows(context, EPLB_MAP_WINDOW_IMBALANCE, WINDOWS, imbalance) ||
      !fetch_windows(context, EPLB_MAP_WINDOW_BOUND, WINDOWS, bound))
    return;
  for (window = 0; window < WINDOWS; window++) {
    input one = window_of(&in, window);
    double own[2][LAYERS];
    if (input_upload(alone, &one))
      EXPECT(EPLB_OK, CALL(evaluate)(alone, &one.problem, p.ints[0], LAYERS * SLOTS, EPLB_INT64,
                                     NULL, own[0], own[1], NULL, LAYERS, ERR));
    for (layer = 0; layer < LAYERS; layer++)
      CHECK(own[0][layer] == imbalance[layer * WINDOWS + window] &&
            own[1][layer] == bound[layer * WINDOWS + window]);
    input_free(&one);
  }
  plan_free(&p);
  CALL(context_destroy)(alone);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void one_window_is_the_sum(void) {
  input in = of_windows(EPLB_INT32, 1);
  eplb_context *context = context_solved(&in);
  double imbalance[LAYERS], bound[LAYERS];
  plan p;
  if (context == NULL || !CHECK(plan_fetch(&p, context, &in)) ||
      !fetch_windows(context, EPLB_MAP_WINDOW_IMBALANCE, 1, imbalance) ||
      !fetch_windows(context, EPLB_MAP_WINDOW_BOUND, 1, bound))
    return;
  CHECK(memcmp(imbalance, p.doubles[EPLB_MAP_IMBALANCE], sizeof imbalance) == 0);
  CHECK(memcmp(bound, p.doubles[EPLB_MAP_BOUND], sizeof bound) == 0);
  EXPECT(EPLB_OK, CALL(evaluate_windows)(context, &in.problem, p.ints[0], LAYERS * SLOTS,
                                         EPLB_INT64, imbalance, bound, LAYERS, ERR));
  CHECK(memcmp(imbalance, p.doubles[EPLB_MAP_IMBALANCE], sizeof imbalance) == 0);
  CHECK(memcmp(bound, p.doubles[EPLB_MAP_BOUND], sizeof bound) == 0);
  EQUAL(1, p.report.num_windows);
  CHECK(p.report.windows_worst == p.report.imbalance_worst);
  EQUAL(p.report.worst_layer, p.report.worst_window_layer);
  plan_free(&p);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void no_more_than_64_are_kept(void) {
  int64_t windows;
  for (windows = MOST_WINDOWS; windows <= MOST_WINDOWS + 1; windows++) {
    input in = of_windows(EPLB_FLOAT32, windows);
    eplb_context *context = context_solved(&in);
    double *figures = malloc((size_t)(LAYERS * windows) * sizeof *figures);
    int64_t dims[4];
    int32_t rank;
    plan p;
    if (context != NULL && CHECK(plan_fetch(&p, context, &in))) {
      eplb_status status = CALL(evaluate_windows)(context, &in.problem, p.ints[0], LAYERS * SLOTS,
                                                  EPLB_INT64, figures, NULL, LAYERS * windows, ERR);
      if (windows == MOST_WINDOWS) {
        EXPECT(EPLB_OK, status);
        fetch_windows(context, EPLB_MAP_WINDOW_IMBALANCE, windows, figures);
        EQUAL(windows, p.report.num_windows);
      } else {
        REFUSED(EPLB_UNAVAILABLE, status, "windows", "more than 64");
        REFUSED(EPLB_UNAVAILABLE,
                CALL(map_shape)(context, EPLB_MAP_WINDOW_BOUND, &rank, dims, 4, ERR), "64");
        REFUSED(EPLB_UNAVAILABLE,
                CALL(fetch_map)(context, EPLB_MAP_WINDOW_IMBALANCE, EPLB_FLOAT64, figures,
                                LAYERS * windows, ERR),
                "64");
        CHECK(p.report.num_windows == 0 && p.report.num_empty_windows == 0 &&
              p.report.windows_mean == 0 && p.report.windows_worst == 0);
      }
      plan_free(&p);
    }
    free(figures);
    CALL(context_destroy)(context);
    input_free(&in);
  }
}

static void reserve_answers_their_shape(void) {
  input in = of_windows(EPLB_FLOAT32, 1);
  eplb_context *context = context_make(1);
  int64_t dims[4] = {0};
  int32_t rank;
  if (context == NULL) return;
#define RESERVE(windows) \
  EXPECT(EPLB_OK,        \
         CALL(context_reserve)(context, EPLB_INT32, windows, 5, EXPERTS, &in.problem, NULL, ERR))
  RESERVE(7);
  EXPECT(EPLB_OK, CALL(map_shape)(context, EPLB_MAP_WINDOW_IMBALANCE, &rank, dims, 4, ERR));
  CHECK(rank == 2 && dims[0] == 5 && dims[1] == 7 && dims[2] == 1);
  RESERVE(65);
#undef RESERVE
  REFUSED(EPLB_UNAVAILABLE, CALL(map_shape)(context, EPLB_MAP_WINDOW_BOUND, &rank, dims, 4, ERR),
          "64");
  CALL(context_destroy)(context);
  input_free(&in);
}

static void arguments_are_checked(void) {
  input in = of_windows(EPLB_FLOAT32, WINDOWS);
  eplb_context *context = context_solved(&in), *fresh = context_make(1);
  double figures[FIGURES], before[FIGURES];
  plan p;
  if (context == NULL || fresh == NULL || !CHECK(plan_fetch(&p, context, &in))) return;
  memset(figures, 0x5A, sizeof figures);
  memcpy(before, figures, sizeof figures);
#define EVALUATE(c, problem, where, length, windows_length) \
  CALL(evaluate_windows)(c, problem, where, length, EPLB_INT64, figures, NULL, windows_length, ERR)
  INVALID(EVALUATE(NULL, &in.problem, p.ints[0], LAYERS * SLOTS, FIGURES), "context");
  INVALID(EVALUATE(context, NULL, p.ints[0], LAYERS * SLOTS, FIGURES), "problem");
  INVALID(EVALUATE(context, &in.problem, NULL, LAYERS * SLOTS, FIGURES), "placement");
  INVALID(EVALUATE(context, &in.problem, p.ints[0], 35, FIGURES), "placement_length", "35", "36");
  INVALID(EVALUATE(context, &in.problem, p.ints[0], LAYERS * SLOTS, 11), "windows_length", "11",
          "3 * 4 = 12");
  REFUSED(EPLB_INVALID_STATE, EVALUATE(fresh, &in.problem, p.ints[0], LAYERS * SLOTS, FIGURES),
          "eplb_upload_weights");
  p.ints[0][SLOTS + 5] = EXPERTS;
  REFUSED(EPLB_INVALID_PLACEMENT,
          EVALUATE(context, &in.problem, p.ints[0], LAYERS * SLOTS, FIGURES), "layer 1", "slot 5",
          "8");
#undef EVALUATE
  INVALID(CALL(fetch_map)(context, EPLB_MAP_WINDOW_BOUND, EPLB_INT64, figures, FIGURES, ERR),
          "dtype", "WINDOW_BOUND");
  INVALID(CALL(fetch_map)(context, EPLB_MAP_WINDOW_IMBALANCE, EPLB_FLOAT64, figures, 3, ERR), "12",
          "WINDOW_IMBALANCE");
  CHECK(memcmp(before, figures, sizeof figures) == 0);
  plan_free(&p);
  CALL(context_destroy)(fresh);
  CALL(context_destroy)(context);
  input_free(&in);
}

/* Threads share layers; figures do not depend on them, nor on what was fetched before. */
static void any_threads_and_order(void) {
  input in = with_gaps(EPLB_FLOAT64);
  double first[2][FIGURES], again[2][FIGURES];
  int64_t threads;
  for (threads = 1; threads <= 3; threads += 2) {
    eplb_context *context = context_make(threads);
    double(*out)[FIGURES] = threads == 1 ? first : again;
    eplb_map one = threads == 1 ? EPLB_MAP_WINDOW_BOUND : EPLB_MAP_WINDOW_IMBALANCE;
    eplb_map other = threads == 1 ? EPLB_MAP_WINDOW_IMBALANCE : EPLB_MAP_WINDOW_BOUND;
    if (input_upload_and_solve(context, &in)) {
      fetch_windows(context, one, WINDOWS, out[one == EPLB_MAP_WINDOW_BOUND]);
      fetch_windows(context, other, WINDOWS, out[other == EPLB_MAP_WINDOW_BOUND]);
    }
    CALL(context_destroy)(context);
  }
  CHECK(memcmp(first, again, sizeof first) == 0);
  input_free(&in);
}

static void the_objective_is_checked(void) {
  input in = of_windows(EPLB_FLOAT32, WINDOWS);
  eplb_context *context = context_solved(&in);
  plan before;
  if (context == NULL || !CHECK(plan_fetch(&before, context, &in))) return;
  in.problem.objective = EPLB_OBJECTIVE_WINDOWS;
  in.options.strategy = EPLB_STRATEGY_GREEDY;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR), "objective",
          "EPLB_OBJECTIVE_WINDOWS", "greedy");
  in.options.strategy = EPLB_STRATEGY_BEST;
  EXPECT(EPLB_OK, CALL(evaluate)(context, &in.problem, before.ints[0], LAYERS * SLOTS, EPLB_INT64,
                                 NULL, NULL, NULL, NULL, 0, ERR));
  in.problem.objective = EPLB_OBJECTIVE_SPLIT + 1;
  REFUSED(EPLB_UNAVAILABLE, CALL(solve)(context, &in.problem, &in.options, ERR), "objective", "3");
  in.problem.objective = -1;
  INVALID(CALL(solve)(context, &in.problem, &in.options, ERR), "objective", "-1");
  in.problem.objective = EPLB_OBJECTIVE_SUM;
  in.problem.reserved = 7;
  INVALID(CALL(solve)(context, &in.problem, &in.options, ERR), "reserved", "7");
  in.problem.reserved = 0;
  plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}

void rules_windows(void) {
  RUN(every_window_is_measured);
  RUN(a_window_is_what_it_is_alone);
  RUN(one_window_is_the_sum);
  RUN(no_more_than_64_are_kept);
  RUN(reserve_answers_their_shape);
  RUN(arguments_are_checked);
  RUN(any_threads_and_order);
  RUN(the_objective_is_checked);
}
