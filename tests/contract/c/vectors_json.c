#include "vectors_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

char *json_text(const char *path) {
  FILE *file = fopen(path, "rb");
  char *text = NULL;
  long size;
  if (file == NULL) return NULL;
  fseek(file, 0, SEEK_END);
  size = ftell(file);
  rewind(file);
  text = malloc((size_t)size + 1);
  size = (long)fread(text, 1, (size_t)size, file);
  text[size] = 0;
  fclose(file);
  return text;
}

double json_double(const json *item) { return strtod(item->text, NULL); }

int64_t json_int(const json *item) { return strtoll(item->text, NULL, 10); }

int64_t field_int(const json *object, const char *name, int64_t otherwise) {
  const json *item = json_field(object, name);
  return item == NULL ? otherwise : json_int(item);
}

double field_double(const json *object, const char *name, double otherwise) {
  const json *item = json_field(object, name);
  return item == NULL ? otherwise : json_double(item);
}

const char *field_text(const json *object, const char *name) {
  const json *item = json_field(object, name);
  return item != NULL && item->kind == JSON_TEXT ? item->text : "";
}

int index_of(const char *word, const char *const *words, int count) {
  int i;
  for (i = 0; i < count; i++)
    if (strcmp(word, words[i]) == 0) return i;
  return -1;
}

static void *weights_of(const json *list, eplb_dtype dtype) {
  int64_t i = 0;
  char *weights = calloc((size_t)json_size(list) + 1, input_element_size(dtype));
  const json *item;
  JSON_EACH(item, list) {
    switch (dtype) {
      case EPLB_FLOAT32: ((float *)(void *)weights)[i] = (float)json_double(item); break;
      case EPLB_FLOAT64: ((double *)(void *)weights)[i] = json_double(item); break;
      case EPLB_INT32: ((int32_t *)(void *)weights)[i] = (int32_t)json_int(item); break;
      default: ((int64_t *)(void *)weights)[i] = json_int(item);
    }
    i++;
  }
  return weights;
}

/* Seeds are unsigned: the largest is beyond int64. */
static uint64_t field_seed(const json *options) {
  const json *seed = json_field(options, "seed");
  return seed ? strtoull(seed->text, NULL, 10) : 0;
}

static int problem_of(const json *vector, input *in) {
  static const char *const policies[] = {"auto", "hierarchical", "global", "soft"};
  const json *problem = json_field(vector, "problem");
  const json *options = json_field(vector, "options");
  int policy = index_of(field_text(problem, "policy"), policies, 4);
  EXPECT(EPLB_OK, CALL(problem_init)(&in->problem, sizeof in->problem, ERR));
  EXPECT(EPLB_OK, CALL(solve_options_init)(&in->options, sizeof in->options, ERR));
  in->problem.num_slots = field_int(problem, "num_slots", 0);
  in->problem.num_gpus = field_int(problem, "num_gpus", 0);
  in->problem.num_nodes = field_int(problem, "num_nodes", in->problem.num_nodes);
  in->problem.num_groups = field_int(problem, "num_groups", in->problem.num_groups);
  in->problem.off_home_target =
      field_double(problem, "off_home_target", in->problem.off_home_target);
  in->problem.policy = policy < 0 ? EPLB_POLICY_AUTO : policy;
  in->options.seed = field_seed(options);
  in->options.max_replicas = field_int(options, "max_replicas", 0);
  return CHECK(policy >= 0 || *field_text(problem, "policy") == 0);
}

int input_from(const json *vector, input *in) {
  static const char *const dtypes[] = {"float32", "float64", "int32", "int64"};
  const json *shape = json_field(vector, "shape");
  const json *weights = json_field(vector, "weights");
  memset(in, 0, sizeof *in);
  in->dtype = index_of(field_text(vector, "dtype"), dtypes, 4);
  if (!CHECK(in->dtype >= 0) || !EQUAL(3, json_size(shape))) return 0;
  in->windows = json_int(json_first(shape));
  in->layers = json_int(json_first(shape)->next);
  in->experts = json_int(json_first(shape)->next->next);
  in->weights = weights_of(weights, in->dtype);
  return problem_of(vector, in);
}
