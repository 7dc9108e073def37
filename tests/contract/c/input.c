#include "input.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

size_t input_element_size(eplb_dtype dtype) {
  return dtype == EPLB_FLOAT32 || dtype == EPLB_INT32 ? 4 : 8;
}

int64_t input_length(const input *in) { return in->windows * in->layers * in->experts; }

static uint64_t next_random(uint64_t *state) {
  uint64_t x = (*state += 0x9E3779B97F4A7C15u);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

static void store(input *in, int64_t index, int64_t value) {
  switch (in->dtype) {
    case EPLB_FLOAT32: ((float *)in->weights)[index] = (float)value; break;
    case EPLB_FLOAT64: ((double *)in->weights)[index] = (double)value; break;
    case EPLB_INT32: ((int32_t *)in->weights)[index] = (int32_t)value; break;
    default: ((int64_t *)in->weights)[index] = value;
  }
}

static void set_problem(input *in, int64_t slots, int64_t gpus) {
  EXPECT(EPLB_OK, CALL(problem_init)(&in->problem, sizeof in->problem, ERR));
  EXPECT(EPLB_OK, CALL(solve_options_init)(&in->options, sizeof in->options, ERR));
  in->problem.num_slots = slots;
  in->problem.num_gpus = gpus;
  in->problem.policy = EPLB_POLICY_GLOBAL;
}

input input_make(eplb_dtype dtype, int64_t layers, int64_t experts, int64_t slots, int64_t gpus,
                 uint64_t seed) {
  input in = {0};
  int64_t i;
  in.dtype = dtype;
  in.windows = 1;
  in.layers = layers;
  in.experts = experts;
  in.weights = calloc((size_t)input_length(&in), input_element_size(dtype));
  for (i = 0; i < input_length(&in); i++) {
    uint64_t a = next_random(&seed) & 1023, b = next_random(&seed) & 1023;
    store(&in, i, (int64_t)(1 + a * b));
  }
  set_problem(&in, slots, gpus);
  return in;
}

input input_of(const float *weights, int64_t experts, int64_t slots, int64_t gpus) {
  input in = {0};
  in.dtype = EPLB_FLOAT32;
  in.windows = in.layers = 1;
  in.experts = experts;
  in.weights = malloc((size_t)experts * sizeof *weights);
  memcpy(in.weights, weights, (size_t)experts * sizeof *weights);
  set_problem(&in, slots, gpus);
  return in;
}

void input_set_prices(input *in, int64_t columns, uint64_t seed) {
  int64_t length = in->problem.num_nodes * columns, i;
  free(in->prices);
  in->price_columns = columns;
  in->prices = malloc((size_t)length * sizeof *in->prices);
  for (i = 0; i < length; i++) in->prices[i] = (double)(next_random(&seed) % 10);
  in->prices[next_random(&seed) % (uint64_t)length] = 9;
}

void input_drop_tables(input *in) {
  free(in->prices);
  free(in->window_weights);
  in->prices = in->window_weights = NULL;
  in->price_columns = 0;
}

void input_free(input *in) {
  input_drop_tables(in);
  free(in->weights);
  in->weights = NULL;
}

double input_weight(const input *in, int64_t layer, int64_t expert) {
  int64_t exact = 0, t;
  double sum = 0;
  for (t = 0; t < in->windows; t++) {
    int64_t i = (t * in->layers + layer) * in->experts + expert;
    switch (in->dtype) {
      case EPLB_FLOAT32: sum += (double)((const float *)in->weights)[i]; break;
      case EPLB_FLOAT64: sum += ((const double *)in->weights)[i]; break;
      case EPLB_INT32: exact += ((const int32_t *)in->weights)[i]; break;
      default: exact += ((const int64_t *)in->weights)[i];
    }
  }
  return in->dtype == EPLB_INT32 || in->dtype == EPLB_INT64 ? (double)exact : sum;
}

eplb_context *context_make(int64_t threads) {
  eplb_context_options options;
  eplb_context *context = NULL;
  if (!EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR))) return NULL;
  options.num_threads = threads;
  if (!EXPECT(EPLB_OK, CALL(context_create)(&context, &options, ERR)) || !CHECK(context != NULL))
    return NULL;
  return context;
}

int input_upload_tables(eplb_context *context, const input *in) {
  int64_t nodes = in->problem.num_nodes, columns = in->price_columns;
  return EXPECT(EPLB_OK,
                CALL(upload_prices)(context, in->prices, nodes * columns, nodes, columns, ERR)) &&
         EXPECT(EPLB_OK,
                CALL(upload_window_weights)(context, in->window_weights, in->windows, ERR));
}

int input_upload(eplb_context *context, const input *in) {
  int has_tables = in->prices != NULL || in->window_weights != NULL;
  return EXPECT(EPLB_OK, CALL(upload_weights)(context, in->weights, input_length(in), in->dtype,
                                              in->windows, in->layers, in->experts, ERR)) &&
         (!has_tables || input_upload_tables(context, in));
}

int input_solve(eplb_context *context, const input *in) {
  return EXPECT(EPLB_OK, CALL(solve)(context, &in->problem, &in->options, ERR));
}

int input_upload_and_solve(eplb_context *context, const input *in) {
  return context != NULL && input_upload(context, in) && input_solve(context, in);
}

int input_fetch(eplb_context *context, const input *in, int64_t *placement) {
  return EXPECT(EPLB_OK, CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64,
                                         placement, in->layers * in->problem.num_slots, ERR));
}

int input_placement(const input *in, const int64_t *current, int64_t *placement) {
  const int64_t slots = in->problem.num_slots;
  eplb_context *context = context_make(1);
  int done = context != NULL && input_upload(context, in);
  if (done && current != NULL)
    done = EXPECT(EPLB_OK, CALL(upload_placement)(context, current, in->layers * slots, EPLB_INT64,
                                                  in->layers, slots, ERR));
  done = done && input_solve(context, in) && input_fetch(context, in, placement);
  CALL(context_destroy)(context);
  return done;
}

int input_evaluate(eplb_context *context, const input *in, const int64_t *placement,
                   eplb_report *report) {
  return EXPECT(EPLB_OK, CALL(report_init)(report, sizeof *report, ERR)) &&
         EXPECT(EPLB_OK,
                CALL(evaluate)(context, &in->problem, placement, in->layers * in->problem.num_slots,
                               EPLB_INT64, report, NULL, NULL, NULL, 0, ERR));
}

eplb_context *context_solved(const input *in) {
  eplb_context *context = context_make(1);
  if (input_upload_and_solve(context, in)) return context;
  CALL(context_destroy)(context);
  return NULL;
}
