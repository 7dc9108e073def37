#include "json.h"

#include <stdlib.h>
#include <string.h>

static char *skip_white(char *at) { return at + strspn(at, " \t\r\n"); }

/* The readers return where the value ends, or NULL. */
static char *read_value(char *at, json *value);

/* The closing quote becomes 0. */
static char *read_text(char *at, const char **text) {
  *text = at + 1;
  if (*at != '"') return NULL;
  at = strpbrk(at + 1, "\"\\");
  if (at == NULL || *at != '"') return NULL;
  *at = 0;
  return at + 1;
}

static char *read_field(char *at, json *field) {
  at = read_text(at, &field->name);
  if (at == NULL) return NULL;
  at = skip_white(at);
  return *at == ':' ? read_value(at + 1, field) : NULL;
}

static char *read_items(char *at, json *list, char end) {
  json **last = &list->first;
  at = skip_white(at + 1);
  if (*at == end) return at + 1;
  for (;; at = skip_white(at + 1)) {
    json *item = *last = calloc(1, sizeof *item);
    if (item == NULL) return NULL;
    last = &item->next;
    list->size++;
    at = list->kind == JSON_OBJECT ? read_field(at, item) : read_value(at, item);
    if (at == NULL) return NULL;
    at = skip_white(at);
    if (*at != ',') return *at == end ? at + 1 : NULL;
  }
}

static char *read_value(char *at, json *value) {
  size_t length;
  at = skip_white(at);
  value->kind = *at == '{'   ? JSON_OBJECT
                : *at == '[' ? JSON_LIST
                : *at == '"' ? JSON_TEXT
                             : JSON_NUMBER;
  switch (value->kind) {
    case JSON_OBJECT: return read_items(at, value, '}');
    case JSON_LIST: return read_items(at, value, ']');
    case JSON_TEXT: return read_text(at, &value->text);
    default:
      length = strcspn(at, ",]} \t\r\n");
      value->text = at;
      return length > 0 ? at + length : NULL;
  }
}

json *json_parse(char *text) {
  json *value = calloc(1, sizeof *value);
  char *end = value ? read_value(text, value) : NULL;
  if (end != NULL && *skip_white(end) == 0) return value;
  json_free(value);
  return NULL;
}

void json_free(json *value) {
  while (value != NULL) {
    json *next = value->next;
    json_free(value->first);
    free(value);
    value = next;
  }
}

const json *json_field(const json *object, const char *name) {
  const json *field;
  JSON_EACH(field, object) if (strcmp(field->name, name) == 0) return field;
  return NULL;
}

const json *json_first(const json *list) { return list ? list->first : NULL; }

int json_size(const json *list) { return list ? list->size : 0; }
