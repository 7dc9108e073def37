#include "layers.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

input layers_of(const input *in, int64_t first, int64_t count) {
  input part = *in;
  size_t row = (size_t)(count * in->experts) * input_element_size(in->dtype);
  size_t stride = (size_t)(in->layers * in->experts) * input_element_size(in->dtype);
  size_t start = (size_t)(first * in->experts) * input_element_size(in->dtype);
  int64_t t;
  part.layers = count;
  part.weights = malloc(row * (size_t)in->windows);
  for (t = 0; t < in->windows; t++)
    memcpy((char *)part.weights + (size_t)t * row,
           (const char *)in->weights + (size_t)t * stride + start, row);
  return part;
}

static int row_agrees(const plan *whole, int64_t layer, const plan *alone) {
  int i;
  for (i = 0; i < PLAN_MAPS; i++) {
    eplb_map map = plan_maps[i];
    const void *a =
        map_is_int(map) ? (const void *)whole->ints[map] : (const void *)whole->doubles[map];
    const void *b =
        map_is_int(map) ? (const void *)alone->ints[map] : (const void *)alone->doubles[map];
    size_t bytes = (size_t)alone->lengths[map] * 8;
    if (memcmp((const char *)a + (size_t)layer * bytes, b, bytes) != 0)
      return check_true(0, map_name(map), __FILE__, __LINE__);
  }
  return 1;
}

int layers_solved_alone_agree(const input *in, const plan *whole) {
  eplb_context *context = context_make(1);
  int64_t layer;
  int fine = context != NULL;
  for (layer = 0; fine && layer < in->layers; layer++) {
    input part = layers_of(in, layer, 1);
    plan alone;
    fine = input_upload_and_solve(context, &part) && plan_fetch(&alone, context, &part);
    if (fine) {
      fine = row_agrees(whole, layer, &alone);
      plan_free(&alone);
    }
    input_free(&part);
  }
  CALL(context_destroy)(context);
  return fine;
}
