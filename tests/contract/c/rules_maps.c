/* Maps: shapes, dtypes, lengths, and that a refused fetch leaves the buffer as it was. */
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"

enum { LAYERS = 2, EXPERTS = 8, SLOTS = 16, GPUS = 8, BUFFER = 512 };

static input in;
static eplb_context *context;

static union {
  int64_t words[BUFFER];
  unsigned char bytes[BUFFER * 8];
} buffer;

static void fill_buffer(void) { memset(&buffer, 0x5A, sizeof buffer); }

static int untouched_from(size_t byte) {
  for (; byte < sizeof buffer; byte++)
    if (buffer.bytes[byte] != 0x5A) return 0;
  return 1;
}

static int64_t length_of(eplb_map map) {
  static const int64_t lengths[] = {LAYERS * SLOTS, LAYERS * EXPERTS * (SLOTS - EXPERTS + 1),
                                    LAYERS * EXPERTS, LAYERS * SLOTS, LAYERS * GPUS};
  return map <= EPLB_MAP_GPU_LOAD ? lengths[map] : LAYERS;
}

static void wrong_dtypes_are_refused(void) {
  eplb_dtype dtype;
  int i;
  fill_buffer();
  for (i = 0; i < PLAN_MAPS; i++)
    for (dtype = EPLB_FLOAT32; dtype <= EPLB_INT64; dtype++) {
      eplb_map map = plan_maps[i];
      int fits =
          map_is_int(map) ? dtype == EPLB_INT32 || dtype == EPLB_INT64 : dtype == EPLB_FLOAT64;
      if (!fits)
        INVALID(CALL(fetch_map)(context, map, dtype, &buffer, length_of(map), ERR), "dtype",
                map_name(map));
    }
  CHECK(untouched_from(0));
}

static void wrong_lengths_name_both_numbers(void) {
  int i;
  fill_buffer();
  for (i = 0; i < PLAN_MAPS; i++) {
    eplb_map map = plan_maps[i];
    eplb_dtype dtype = map_is_int(map) ? EPLB_INT64 : EPLB_FLOAT64;
    char right[24];
    snprintf(right, sizeof right, "%d", (int)length_of(map));
    INVALID(CALL(fetch_map)(context, map, dtype, &buffer, length_of(map) + 7001, ERR), "length",
            right, "7");
    INVALID(CALL(fetch_map)(context, map, dtype, &buffer, length_of(map) - 1, ERR), "length",
            right);
    INVALID(CALL(fetch_map)(context, map, dtype, &buffer, 0, ERR), "length", right);
    INVALID(CALL(fetch_map)(context, map, dtype, &buffer, -length_of(map), ERR), "length", right);
  }
  CHECK(untouched_from(0));
}

static void fetches_write_their_length_and_no_more(void) {
  int i;
  for (i = 0; i < PLAN_MAPS; i++) {
    eplb_map map = plan_maps[i];
    eplb_dtype dtype = map_is_int(map) ? EPLB_INT32 : EPLB_FLOAT64;
    size_t bytes = (size_t)length_of(map) * input_element_size(dtype);
    fill_buffer();
    EXPECT(EPLB_OK, CALL(fetch_map)(context, map, dtype, &buffer, length_of(map), ERR));
    CHECK(untouched_from(bytes));
    CHECK(memcmp(&buffer, "ZZZZ", 4) != 0);
  }
}

static void null_pointers_are_named(void) {
  int64_t dims[4] = {-7, -7, -7, -7};
  int32_t rank = -7;
  INVALID(CALL(fetch_map)(NULL, 0, EPLB_INT64, &buffer, 32, ERR), "context");
  INVALID(CALL(fetch_map)(context, 0, EPLB_INT64, NULL, 32, ERR), "buffer");
  INVALID(CALL(map_shape)(NULL, 0, &rank, dims, 4, ERR), "context");
  INVALID(CALL(map_shape)(context, 0, NULL, dims, 4, ERR), "rank");
  INVALID(CALL(map_shape)(context, 0, &rank, NULL, 4, ERR), "dims");
  INVALID(CALL(map_shape)(context, 0, &rank, dims, 3, ERR), "dims_length", "3", "4");
  INVALID(CALL(map_shape)(context, 0, &rank, dims, -4, ERR), "dims_length", "-4", "4");
  EQUAL(-7, rank);
  EQUAL(-7, dims[0]);
}

static void a_longer_dims_is_welcome(void) {
  int64_t dims[6] = {0, 0, 0, 0, -7, -7};
  int32_t rank = 0;
  EXPECT(EPLB_OK, CALL(map_shape)(context, EPLB_MAP_LOGICAL_TO_PHYSICAL, &rank, dims, 6, ERR));
  EQUAL(3, rank);
  EQUAL(SLOTS - EXPERTS + 1, dims[2]);
  EQUAL(1, dims[3]);
}

static int64_t width_of_logical_to_physical(void) {
  int64_t dims[4] = {0};
  int32_t rank;
  EXPECT(EPLB_OK, CALL(map_shape)(context, EPLB_MAP_LOGICAL_TO_PHYSICAL, &rank, dims, 4, ERR));
  return dims[2];
}

/* With a cap the width of LOGICAL_TO_PHYSICAL is the cap, even where no expert can use it up. */
static void caps_decide_the_shape(void) {
  static const int64_t caps[] = {2, 3, 9, 40};
  size_t i;
  for (i = 0; i < sizeof caps / sizeof *caps; i++) {
    input capped = in;
    eplb_status status;
    capped.options.max_replicas = caps[i];
    capped.options.strategy = EPLB_STRATEGY_LPT_SWAP;
    status = CALL(solve)(context, &capped.problem, &capped.options, ERR);
    if (status == EPLB_INVALID_ARGUMENT && caps[i] < 9) {
      INVALID(status, "max_replicas");
    } else if (EXPECT(EPLB_OK, status)) {
      EQUAL(caps[i], width_of_logical_to_physical());
      invariants_hold(context, &capped, NULL);
    }
  }
  input_solve(context, &in);
  EQUAL(SLOTS - EXPERTS + 1, width_of_logical_to_physical());
}

/* The problem's own cap and that of the options: the lower one holds. */
static void the_lower_cap_holds(void) {
  static const int64_t caps[][2] = {{9, 0}, {9, 12}, {12, 9}, {0, 9}};
  size_t i;
  for (i = 0; i < sizeof caps / sizeof *caps; i++) {
    input capped = in;
    capped.problem.max_replicas = caps[i][0];
    capped.options.max_replicas = caps[i][1];
    capped.options.strategy = EPLB_STRATEGY_LPT_SWAP;
    if (!EXPECT(EPLB_OK, CALL(solve)(context, &capped.problem, &capped.options, ERR))) continue;
    EQUAL(9, width_of_logical_to_physical());
    capped.problem.max_replicas = 9;
    capped.options.max_replicas = 9;
    invariants_hold(context, &capped, NULL);
  }
  in.problem.max_replicas = -1;
  INVALID(CALL(solve)(context, &in.problem, &in.options, ERR), "max_replicas", "-1");
  in.problem.max_replicas = 1;
  INVALID(CALL(solve)(context, &in.problem, NULL, ERR), "max_replicas", "1", "2");
  in.problem.max_replicas = 0;
  input_solve(context, &in);
}

static void caps_that_cannot_be_kept(void) {
  static const float one_hot[8] = {1000, 0, 0, 0, 0, 0, 0, 0};
  input hot = input_of(one_hot, 8, 16, 8);
  eplb_solve_options options = in.options;
  int strategy;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_LPT_SWAP; strategy++) {
    eplb_status status;
    options.strategy = strategy;
    options.max_replicas = 1;
    INVALID(CALL(solve)(context, &in.problem, &options, ERR), "max_replicas", "1", "2");
    options.max_replicas = -1;
    INVALID(CALL(solve)(context, &in.problem, &options, ERR), "max_replicas", "-1");
    options.max_replicas = (int64_t)1 << 61; /* times 8 experts this would be 0 elements */
    INVALID(CALL(solve)(context, &in.problem, &options, ERR), "max_replicas", "262144");
    hot.options = options;
    hot.options.max_replicas = 2;
    if (!input_upload(context, &hot)) continue;
    status = CALL(solve)(context, &hot.problem, &hot.options, ERR);
    if (status != EPLB_OK)
      INVALID(status, "max_replicas", "2");
    else
      invariants_hold(context, &hot, NULL);
    input_upload_and_solve(context, &in);
  }
  input_free(&hot);
}

static void reserve_answers_shapes(void) {
  eplb_solve_options options = in.options;
  int64_t dims[4] = {0};
  int32_t rank;
  eplb_context *fresh = context_make(1);
  eplb_problem problem = in.problem;
  if (fresh == NULL) return;
  options.max_replicas = 5;
  EXPECT(EPLB_OK, CALL(context_reserve)(fresh, EPLB_INT32, 2, 6, EXPERTS, &problem, &options, ERR));
  EXPECT(EPLB_OK, CALL(map_shape)(fresh, EPLB_MAP_LOGICAL_TO_PHYSICAL, &rank, dims, 4, ERR));
  EQUAL(3, rank);
  EQUAL(6, dims[0]);
  EQUAL(EXPERTS, dims[1]);
  EQUAL(5, dims[2]);
  EXPECT(EPLB_OK, CALL(context_reserve)(fresh, EPLB_INT32, 1, 3, EXPERTS, &problem, NULL, ERR));
  EXPECT(EPLB_OK, CALL(map_shape)(fresh, EPLB_MAP_GPU_LOAD, &rank, dims, 4, ERR));
  EQUAL(2, rank);
  EQUAL(3, dims[0]);
  EQUAL(GPUS, dims[1]);
  EXPECT(EPLB_OK, CALL(map_shape)(fresh, EPLB_MAP_LOGICAL_TO_PHYSICAL, &rank, dims, 4, ERR));
  EQUAL(SLOTS - EXPERTS + 1, dims[2]);
  INVALID(CALL(context_reserve)(fresh, EPLB_INT32, 1, 3, EXPERTS, NULL, NULL, ERR), "problem");
  problem.num_slots = 17;
  INVALID(CALL(context_reserve)(fresh, EPLB_INT32, 1, 3, EXPERTS, &problem, NULL, ERR), "num_slots",
          "17", "16", "24");
  EXPECT(EPLB_OK, CALL(map_shape)(fresh, EPLB_MAP_GPU_LOAD, &rank, dims, 4, ERR));
  EQUAL(3, dims[0]);
  if (input_upload(fresh, &in)) { /* what was reserved stays so */
    EXPECT(EPLB_OK, CALL(map_shape)(fresh, EPLB_MAP_GPU_LOAD, &rank, dims, 4, ERR));
    EQUAL(3, dims[0]);
    input_upload_and_solve(fresh, &in);
    EXPECT(EPLB_OK, CALL(map_shape)(fresh, EPLB_MAP_GPU_LOAD, &rank, dims, 4, ERR));
    EQUAL(LAYERS, dims[0]);
  }
  CALL(context_destroy)(fresh);
}

void rules_maps(void) {
  test_begin("the input of the map tests");
  in = input_make(EPLB_FLOAT64, LAYERS, EXPERTS, SLOTS, GPUS, 13);
  context = context_solved(&in);
  CHECK(context != NULL);
  test_end();
  if (context == NULL) return;
  RUN(wrong_dtypes_are_refused);
  RUN(wrong_lengths_name_both_numbers);
  RUN(fetches_write_their_length_and_no_more);
  RUN(null_pointers_are_named);
  RUN(a_longer_dims_is_welcome);
  RUN(caps_decide_the_shape);
  RUN(the_lower_cap_holds);
  RUN(caps_that_cannot_be_kept);
  RUN(reserve_answers_shapes);
  CALL(context_destroy)(context);
  input_free(&in);
}
