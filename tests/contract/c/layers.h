/* A layer's answer does not depend on the other layers of a call. */
#ifndef EPLB_TESTS_LAYERS_H
#define EPLB_TESTS_LAYERS_H

#include "plan.h"

/* Input of layer `first` and the `count - 1` after it, all windows kept; free it. */
input layers_of(const input *in, int64_t first, int64_t count);

/* Solves every layer in a call of its own and compares each with its row of the whole plan. */
int layers_solved_alone_agree(const input *in, const plan *whole);

#endif
