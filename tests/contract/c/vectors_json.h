/* What golden vectors say, as tests/golden/vectors.py writes it. */
#ifndef EPLB_TESTS_VECTORS_JSON_H
#define EPLB_TESTS_VECTORS_JSON_H

#include <cjson/cJSON.h>

#include "input.h"

char *json_text(const char *path); /* of a file; NULL if it cannot be read */

/* Numbers may be strings. */
double json_double(const cJSON *item);
int64_t json_int(const cJSON *item);

/* A field of an object, and what it is without one: "" for texts. */
int64_t field_int(const cJSON *object, const char *name, int64_t otherwise);
double field_double(const cJSON *object, const char *name, double otherwise);
const char *field_text(const cJSON *object, const char *name);

/* -1 if it is none of them. */
int index_of(const char *word, const char *const *words, int count);

/* Weights, problem, seed and cap of a vector; false after a failed check. */
int input_from(const cJSON *vector, input *in);

/* Every case of the policy SOFT. */
void soft_vectors(const cJSON *cases);

#endif
