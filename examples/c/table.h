/* Reads tables of numbers, CSV with a row per line, for the examples. */
#ifndef TABLE_H
#define TABLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct table {
  double *values;
  int64_t rows, columns, length, room;
} table;

static int append(table *t, double value) {
  if (t->length == t->room) {
    const int64_t room = t->room ? 2 * t->room : 1024;
    double *values = realloc(t->values, (size_t)room * sizeof *values);
    if (values == NULL) return 0;
    t->values = values;
    t->room = room;
  }
  t->values[t->length++] = value;
  return 1;
}

static int read_rows(table *t, FILE *file) {
  double value;
  int after;
  while (fscanf(file, "%lf", &value) == 1) {
    if (!append(t, value)) return 0;
    after = fgetc(file);
    if (after == '\r') after = fgetc(file);
    if (after == ',') continue;
    t->rows++;
    if (t->rows == 1) t->columns = t->length;
    if (t->length != t->rows * t->columns || (after != '\n' && after != EOF)) return 0;
  }
  return t->length > 0 && feof(file);
}

/* Says what is wrong with a file and returns 0, or reads it into an empty table. */
static int read_table(table *t, const char *path) {
  FILE *file = fopen(path, "r");
  const int good = file != NULL && read_rows(t, file);
  if (!good) fprintf(stderr, "%s is not a table of numbers\n", path);
  if (file != NULL) fclose(file);
  return good;
}

#endif
