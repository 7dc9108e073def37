/* What golden vectors say, as tests/golden/vectors.py writes it. */
#ifndef EPLB_TESTS_VECTORS_JSON_H
#define EPLB_TESTS_VECTORS_JSON_H

#include "input.h"
#include "json.h"

char *json_text(const char *path); /* of a file; NULL if it cannot be read */

/* Numbers are strings where JSON has none (nan, inf) or a double would not hold them. */
double json_double(const json *item);
int64_t json_int(const json *item);

/* A field of an object, and what it is without one: "" for texts. */
int64_t field_int(const json *object, const char *name, int64_t otherwise);
double field_double(const json *object, const char *name, double otherwise);
const char *field_text(const json *object, const char *name);

/* -1 if it is none of them. */
int index_of(const char *word, const char *const *words, int count);

/* Weights, problem, seed and cap of a vector; false after a failed check. */
int input_from(const json *vector, input *in);

/* Every case of the policy SOFT. */
void soft_vectors(const json *cases);

#endif
