/* Structs begin with struct_size, init writes the defaults, and a struct may be older or newer than
 * the library. */
#include <string.h>

#include "harness.h"
#include "input.h"

/* A struct of any kind with room behind it: what a newer program, whose struct is longer, would
 * hand in. */
enum { ROOM = 64 };
typedef union any_struct {
  int64_t struct_size;
  eplb_backend backend;
  eplb_context_options context_options;
  eplb_problem problem;
  eplb_solve_options solve_options;
  eplb_split_options split_options;
  eplb_static_dispatch_options dispatch_options;
  eplb_report report;
  unsigned char bytes[sizeof(eplb_report) + ROOM];
} any_struct;

static eplb_context *solved;

/* Casts, since &s->backend of a NULL is no pointer at all. */
static eplb_status init_backend(any_struct *s, int64_t size, eplb_error *e) {
  return CALL(backend_init)((eplb_backend *)s, size, e);
}
static eplb_status init_context(any_struct *s, int64_t size, eplb_error *e) {
  return CALL(context_options_init)((eplb_context_options *)s, size, e);
}
static eplb_status init_problem(any_struct *s, int64_t size, eplb_error *e) {
  return CALL(problem_init)((eplb_problem *)s, size, e);
}
static eplb_status init_solve(any_struct *s, int64_t size, eplb_error *e) {
  return CALL(solve_options_init)((eplb_solve_options *)s, size, e);
}
static eplb_status init_split(any_struct *s, int64_t size, eplb_error *e) {
  return CALL(split_options_init)((eplb_split_options *)s, size, e);
}
static eplb_status init_dispatch(any_struct *s, int64_t size, eplb_error *e) {
  return CALL(static_dispatch_options_init)((eplb_static_dispatch_options *)s, size, e);
}
static eplb_status init_report(any_struct *s, int64_t size, eplb_error *e) {
  return CALL(report_init)((eplb_report *)s, size, e);
}

static eplb_status use_backend(any_struct *s, eplb_error *e) {
  return CALL(backend_info)(EPLB_DEVICE_CPU, &s->backend, NULL, 0, e);
}
static eplb_status use_context(any_struct *s, eplb_error *e) {
  eplb_context *context = NULL;
  eplb_status status = CALL(context_create)(&context, &s->context_options, e);
  CALL(context_destroy)(context);
  return status;
}
static eplb_status use_problem(any_struct *s, eplb_error *e) {
  s->problem.num_slots = 16;
  s->problem.num_gpus = 8;
  return CALL(solve)(solved, &s->problem, NULL, e);
}
static eplb_status use_solve(any_struct *s, eplb_error *e) {
  eplb_problem problem;
  CALL(problem_init)(&problem, sizeof problem, NULL);
  problem.num_slots = 16;
  problem.num_gpus = 8;
  return CALL(solve)(solved, &problem, &s->solve_options, e);
}
static eplb_status use_split(any_struct *s, eplb_error *e) {
  return CALL(split)(solved, NULL, NULL, 0, 0, &s->split_options, e);
}
static eplb_status use_dispatch(any_struct *s, eplb_error *e) {
  return CALL(static_dispatch)(solved, NULL, NULL, 0, 0, &s->dispatch_options, e);
}
static eplb_status use_report(any_struct *s, eplb_error *e) {
  return CALL(fetch_report)(solved, &s->report, e);
}

/* `first` is the size in ABI 1.0, or in the version that the struct came with, forever: a program of
 * that time hands in no more, whatever the structs have become. */
static const struct kind {
  const char *argument;
  size_t size, first;
  eplb_status (*init)(any_struct *, int64_t, eplb_error *);
  eplb_status (*use)(any_struct *, eplb_error *);
} kinds[] = {{"backend", sizeof(eplb_backend), 32, init_backend, use_backend},
             {"options", sizeof(eplb_context_options), 24, init_context, use_context},
             {"problem", sizeof(eplb_problem), 48, init_problem, use_problem},
             {"options", sizeof(eplb_solve_options), 32, init_solve, use_solve},
             {"options", sizeof(eplb_split_options), 16, init_split, use_split},
             {"options", sizeof(eplb_static_dispatch_options), 32, init_dispatch, use_dispatch},
             {"report", sizeof(eplb_report), 104, init_report, use_report}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int all_bytes(const unsigned char *bytes, size_t count, unsigned char value) {
  size_t i;
  for (i = 0; i < count; i++)
    if (bytes[i] != value) return 0;
  return 1;
}

static const int64_t no_sizes[] = {0, -1, -8, INT64_MIN, 1, 7, 8, 15, INT64_MAX};
enum { NO_SIZES = sizeof no_sizes / sizeof *no_sizes };

/* Below the first size there is no program that means it. */
static int64_t no_size(const struct kind *kind, int i) {
  return i == NO_SIZES ? (int64_t)kind->first - 1 : no_sizes[i];
}

static void init_refuses_impossible_sizes(void) {
  int k, i;
  for (k = 0; k < KINDS; k++)
    for (i = 0; i <= NO_SIZES; i++) {
      any_struct s;
      memset(&s, 0xAA, sizeof s);
      INVALID(kinds[k].init(&s, no_size(&kinds[k], i), ERR), kinds[k].argument, "struct_size");
      CHECK(all_bytes(s.bytes, sizeof s, 0xAA));
    }
}

static void init_refuses_null(void) {
  int k;
  for (k = 0; k < KINDS; k++)
    INVALID(kinds[k].init(NULL, (int64_t)kinds[k].size, ERR), kinds[k].argument);
}

static void init_fills_the_given_size_and_no_more(void) {
  int k;
  for (k = 0; k < KINDS; k++) {
    size_t sizes[3], i;
    sizes[0] = kinds[k].first;
    sizes[1] = kinds[k].size;
    sizes[2] = kinds[k].size + 24;
    for (i = 0; i < 3; i++) {
      any_struct s, whole;
      memset(&s, 0xAA, sizeof s);
      memset(&whole, 0, sizeof whole);
      EXPECT(EPLB_OK, kinds[k].init(&whole, (int64_t)kinds[k].size, ERR));
      EXPECT(EPLB_OK, kinds[k].init(&s, (int64_t)sizes[i], ERR));
      EQUAL(sizes[i], s.struct_size);
      whole.struct_size = s.struct_size;
      CHECK(memcmp(s.bytes, whole.bytes, sizes[i]) == 0);
      CHECK(all_bytes(s.bytes + sizes[i], sizeof s - sizes[i], 0xAA));
    }
  }
}

static void use_refuses_impossible_sizes(void) {
  int k, i;
  for (k = 0; k < KINDS; k++)
    for (i = 0; i <= NO_SIZES; i++) {
      any_struct s;
      EXPECT(EPLB_OK, kinds[k].init(&s, (int64_t)kinds[k].size, ERR));
      s.struct_size = no_size(&kinds[k], i);
      INVALID(kinds[k].use(&s, ERR), kinds[k].argument, "struct_size");
    }
}

/* An older program does not know the last fields: they take defaults, and bytes behind its struct
 * are its own. */
static void shorter_structs_take_defaults(void) {
  int k;
  for (k = 0; k < KINDS; k++) {
    any_struct s;
    memset(&s, 0xAA, sizeof s);
    CHECK(kinds[k].first <= kinds[k].size);
    EXPECT(EPLB_OK, kinds[k].init(&s, (int64_t)kinds[k].first, ERR));
    EXPECT(EPLB_OK, kinds[k].use(&s, ERR));
    EQUAL(kinds[k].first, s.struct_size);
    CHECK(all_bytes(s.bytes + kinds[k].first, sizeof s - kinds[k].first, 0xAA));
  }
}

static void longer_structs_may_end_in_zeros_only(void) {
  int k;
  for (k = 0; k < KINDS; k++) {
    size_t longer = kinds[k].size + 16, at;
    any_struct s;
    memset(&s, 0xAA, sizeof s);
    EXPECT(EPLB_OK, kinds[k].init(&s, (int64_t)longer, ERR));
    EXPECT(EPLB_OK, kinds[k].use(&s, ERR));
    EQUAL(longer, s.struct_size);
    CHECK(all_bytes(s.bytes + kinds[k].size, 16, 0));
    CHECK(all_bytes(s.bytes + longer, sizeof s - longer, 0xAA));
    for (at = kinds[k].size; at < longer; at += 15) {
      EXPECT(EPLB_OK, kinds[k].init(&s, (int64_t)longer, ERR));
      s.bytes[at] = 1;
      INVALID(kinds[k].use(&s, ERR), kinds[k].argument, "non-zero");
    }
  }
}

static void defaults_are_the_ones_in_the_header(void) {
  any_struct s;
  EXPECT(EPLB_OK, init_context(&s, sizeof s.context_options, ERR));
  EQUAL(EPLB_DEVICE_CPU, s.context_options.device_kind);
  EQUAL(0, s.context_options.device_index);
  EQUAL(1, s.context_options.num_threads);
  EXPECT(EPLB_OK, init_problem(&s, sizeof s.problem, ERR));
  EQUAL(0, s.problem.num_slots);
  EQUAL(0, s.problem.num_gpus);
  EQUAL(1, s.problem.num_nodes);
  EQUAL(1, s.problem.num_groups);
  EQUAL(EPLB_POLICY_AUTO, s.problem.policy);
  EQUAL(EPLB_BOUND_SIMPLE, s.problem.bound_kind);
  EQUAL(EPLB_OBJECTIVE_SUM, s.problem.objective);
  EQUAL(0, s.problem.reserved);
  CHECK(s.problem.off_home_target == 1.01);
  EQUAL(0, s.problem.max_replicas);
  EXPECT(EPLB_OK, init_solve(&s, sizeof s.solve_options, ERR));
  EQUAL(EPLB_EFFORT_NORMAL, s.solve_options.effort);
  EQUAL(0, s.solve_options.seed);
  EQUAL(0, s.solve_options.max_replicas);
  EQUAL(EPLB_STRATEGY_BEST, s.solve_options.strategy);
  EQUAL(EPLB_TRANSFER_BUFFERED, s.solve_options.transfer_order);
  EQUAL(0, s.solve_options.allow_empty);
  EQUAL(-1, s.solve_options.max_moves);
  EQUAL(-1, s.solve_options.max_moves_total);
  EQUAL(0, s.solve_options.max_arrivals);
  CHECK(s.solve_options.target == -1);
  CHECK(s.solve_options.move_price == 0);
  EXPECT(EPLB_OK, init_split(&s, sizeof s.split_options, ERR));
  CHECK(s.split_options.tolerance == 0);
  EXPECT(EPLB_OK, init_report(&s, sizeof s.report, ERR));
  CHECK(all_bytes(s.bytes + 8, sizeof s.report - 8, 0));
}

void rules_structs(void) {
  static const float weights[8] = {600, 560, 120, 120, 20, 10, 10, 10};
  input in;
  test_begin("the input of the struct tests");
  in = input_of(weights, 8, 16, 8);
  solved = context_solved(&in);
  CHECK(solved != NULL);
  EXPECT(EPLB_OK, CALL(split_prepare)(solved, &in.problem, NULL, 0, 0, ERR));
  test_end();
  RUN(init_refuses_impossible_sizes);
  RUN(init_refuses_null);
  RUN(init_fills_the_given_size_and_no_more);
  RUN(use_refuses_impossible_sizes);
  RUN(shorter_structs_take_defaults);
  RUN(longer_structs_may_end_in_zeros_only);
  RUN(defaults_are_the_ones_in_the_header);
  CALL(context_destroy)(solved);
  input_free(&in);
}
