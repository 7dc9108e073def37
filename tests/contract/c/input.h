/* What goes into a solve, in one place, so that it can be solved again, in parts, and judged
 * afterwards. */
#ifndef EPLB_TESTS_INPUT_H
#define EPLB_TESTS_INPUT_H

#include "eplb.h"

typedef struct input {
  eplb_dtype dtype;
  int64_t windows, layers, experts;
  void *weights; /* [windows, layers, experts] */
  eplb_problem problem;
  eplb_solve_options options;
  /* Tables, which an upload of the input takes along; NULL: it leaves those that are there. */
  double *prices; /* [num_nodes, price_columns] */
  int64_t price_columns;
  double *window_weights; /* [windows] */
} input;

/* Weights, seeded and skewed as measured ones are; whole numbers below 2^20, so that every dtype
 * holds them exactly. The problem is global with one node unless changed. */
input input_make(eplb_dtype dtype, int64_t layers, int64_t experts, int64_t slots, int64_t gpus,
                 uint64_t seed);

/* The same as float32 with the given weights: one layer. */
input input_of(const float *weights, int64_t experts, int64_t slots, int64_t gpus);

/* Gives it prices: whole numbers up to 9, seeded, of which one is 9. */
void input_set_prices(input *in, int64_t columns, uint64_t seed);

void input_drop_tables(input *in);

void input_free(input *in);

int64_t input_length(const input *in);
size_t input_element_size(eplb_dtype dtype);

/* Weight of an expert, windows summed, as a double. */
double input_weight(const input *in, int64_t layer, int64_t expert);

/* A context of `threads` threads; a failure is a failed check and NULL. */
eplb_context *context_make(int64_t threads);

/* Uploads its tables; those that it lacks are forgotten. False after a failed check, like all that
 * follow. */
int input_upload_tables(eplb_context *context, const input *in);

/* Upload, and solve. */
int input_upload(eplb_context *context, const input *in);
int input_solve(eplb_context *context, const input *in);
int input_upload_and_solve(eplb_context *context, const input *in);

/* Fetches the placement of its plan [layers, slots]. */
int input_fetch(eplb_context *context, const input *in, int64_t *placement);

/* Solves in a context of its own, from a current placement unless that is NULL, and fetches. */
int input_placement(const input *in, const int64_t *current, int64_t *placement);

/* Evaluates a placement. */
int input_evaluate(eplb_context *context, const input *in, const int64_t *placement,
                   eplb_report *report);

/* A context that has solved the input, or NULL after a failed check. */
eplb_context *context_solved(const input *in);

#endif
