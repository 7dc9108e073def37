/* Reads JSON, so that the harness links no library: one would have to be there for every machine
 * that it is compiled for. */
#ifndef EPLB_TESTS_JSON_H
#define EPLB_TESTS_JSON_H

#include <stddef.h>

typedef enum json_kind { JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json {
  json_kind kind;   /* true, false and null count as numbers */
  const char *name; /* of a field of an object */
  const char *text; /* of a number up to what follows it, of a text up to a 0 */
  int size;         /* of a list or object, as its first item */
  struct json *first, *next;
} json;

/* Values point into the text, which is changed. NULL if it is not JSON, or has an escape. */
json *json_parse(char *text);
void json_free(json *value);

/* Of NULL: NULL and 0. */
const json *json_field(const json *object, const char *name);
const json *json_first(const json *list);
int json_size(const json *list);

#define JSON_EACH(item, list) for (item = json_first(list); item != NULL; item = item->next)

#endif
