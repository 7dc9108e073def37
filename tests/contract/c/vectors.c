/* The golden vectors through the C API: every case by every strategy that this version has. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "invariants.h"
#include "layers.h"
#include "moves.h"
#include "streams.h"
#include "vectors_json.h"

static const char *const strategy_names[] = {
    "greedy", "lpt_swap", "l2_swap", "random_restarts", "noise_spectrum", "hybrid_init", "best"};
enum { STRATEGIES = sizeof strategy_names / sizeof *strategy_names };

static int ints_agree(const json *answer, const char *name, const plan *p, eplb_map map) {
  const json *list = json_field(answer, name), *item;
  int64_t i = 0;
  if (list == NULL)
    return CHECK(map != EPLB_MAP_PHYSICAL_TO_LOGICAL && map != EPLB_MAP_REPLICA_COUNT);
  if (!EQUAL(p->lengths[map], json_size(list))) return 0;
  JSON_EACH(item, list) {
    if (!check_equal(json_int(item), p->ints[map][i++], name, __FILE__, __LINE__)) return 0;
  }
  return 1;
}

static int answer_agrees(const json *vector, const json *answer, const plan *p) {
  const json *imbalance = json_field(answer, "imbalance"), *item;
  const char *policy = field_text(vector, "policy_used");
  int64_t i = 0;
  JSON_EACH(item, imbalance) {
    if (!CLOSE(json_double(item), p->doubles[EPLB_MAP_IMBALANCE][i++], 1e-12)) return 0;
  }
  if (*policy != 0)
    EQUAL(strcmp(policy, "global") == 0 ? EPLB_POLICY_GLOBAL : EPLB_POLICY_HIERARCHICAL,
          p->report.policy);
  return ints_agree(answer, "physical_to_logical", p, EPLB_MAP_PHYSICAL_TO_LOGICAL) &&
         ints_agree(answer, "replica_count", p, EPLB_MAP_REPLICA_COUNT) &&
         ints_agree(answer, "replica_slots", p, EPLB_MAP_REPLICA_SLOTS) &&
         ints_agree(answer, "duplicates", p, EPLB_MAP_DUPLICATES);
}

/* Vectors skipped for each strategy: one line at the end says as much as one for each. */
static int not_there[STRATEGIES];

static void skip_strategy(int strategy) {
  not_there[strategy]++;
  test_skip(NULL);
}

/* Whether the answer is one that the published program, which knows no float64 and no cap, may
 * refuse to give. */
static int greedy_may_refuse(const input *in, eplb_status status) {
  return in->options.strategy == EPLB_STRATEGY_GREEDY &&
         (status == EPLB_INVALID_WEIGHT ||
          (status == EPLB_INVALID_ARGUMENT && in->options.max_replicas > 0));
}

/* The answers of a vector: one for each strategy at the default effort, and BEST's at FAST. */
enum { ANSWERS = STRATEGIES + 1 };
static const char *answer_name(int i) {
  return i < (int)STRATEGIES ? strategy_names[i] : "best_fast";
}

/* One answer: as the reference says where it says something, and a placement in any case. */
static void check_answer(const json *vector, input *in, int which) {
  const json *answers = json_field(vector, "answers");
  const json *answer = json_field(answers, answer_name(which));
  const eplb_strategy strategy = which < (int)STRATEGIES ? which : EPLB_STRATEGY_BEST;
  eplb_context *context = context_make(1);
  eplb_status status;
  plan p;
  in->options.strategy = strategy;
  if (which == (int)STRATEGIES) in->options.effort = EPLB_EFFORT_FAST;
  if (context == NULL || !input_upload(context, in)) return;
  status = CALL(solve)(context, &in->problem, &in->options, ERR);
  if (status == EPLB_UNAVAILABLE) {
    EXPECT(EPLB_UNAVAILABLE, status);
    skip_strategy(strategy);
  } else if (answer == NULL && greedy_may_refuse(in, status)) {
    REFUSED(status, status, status == EPLB_INVALID_WEIGHT ? "float32" : "max_replicas");
  } else if (EXPECT(EPLB_OK, status) && invariants_hold(context, in, &p)) {
    if (answer != NULL) answer_agrees(vector, answer, &p);
    layers_solved_alone_agree(in, &p);
    /* Moves follow from the placement: one strategy is enough. */
    if (which == EPLB_STRATEGY_LPT_SWAP) moves_hold(context, in, &p);
    plan_free(&p);
  }
  CALL(context_destroy)(context);
}

static void check_refusal(const json *vector, input *in, const json *error) {
  const json *weights = json_field(vector, "weights");
  int strategy = index_of(field_text(error, "strategy"), strategy_names, STRATEGIES);
  eplb_context *context = context_make(1);
  eplb_status status;
  if (context == NULL) return;
  if (strategy >= 0) in->options.strategy = strategy;
  status = CALL(upload_weights)(context, in->weights, json_size(weights), in->dtype, in->windows,
                                in->layers, in->experts, ERR);
  if (status == EPLB_OK) status = CALL(solve)(context, &in->problem, &in->options, ERR);
  if (strategy >= 0 && status == EPLB_UNAVAILABLE) {
    EXPECT(EPLB_UNAVAILABLE, status);
    skip_strategy(strategy);
  } else {
    CHECK(strcmp(field_text(error, "status"), CALL(status_name)(status)) == 0);
    REFUSED(status, status, field_text(error, "text"));
  }
  CALL(context_destroy)(context);
}

static void run_vector(const json *vector) {
  const json *error = json_field(vector, "error");
  char name[256];
  input in = {0};
  int which;
  for (which = 0; which < (error ? 1 : (int)ANSWERS); which++) {
    snprintf(name, sizeof name, "vector %s/%s", field_text(vector, "name"),
             error ? "refused" : answer_name(which));
    test_begin(name);
    if (input_from(vector, &in)) {
      if (error != NULL)
        check_refusal(vector, &in, error);
      else
        check_answer(vector, &in, which);
    }
    input_free(&in);
    test_end();
  }
}

void golden_vectors(const char *path) {
  char *text = json_text(path);
  json *file = text ? json_parse(text) : NULL;
  const json *cases = json_field(file, "cases"), *vector;
  int strategy;
  test_begin("the golden vectors are there");
  CHECK(text != NULL);
  CHECK(json_size(cases) > 0);
  test_end();
  JSON_EACH(vector, cases) run_vector(vector);
  soft_vectors(json_field(file, "soft"));
  for (strategy = 0; strategy < (int)STRATEGIES; strategy++)
    if (not_there[strategy] > 0)
      fprintf(report_stream(), "skipped %d vectors by %s: not in this version\n",
              not_there[strategy], strategy_names[strategy]);
  json_free(file);
  free(text);
}
