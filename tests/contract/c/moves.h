/* What holds of the maps that say how a current placement becomes the plan, computed from the maps
 * and the two placements alone. */
#ifndef EPLB_TESTS_MOVES_H
#define EPLB_TESTS_MOVES_H

#include "plan.h"

/* Solves the input again from several current placements in every transfer order, and checks that
 * the plan is the same, and its moves, also those of eplb_plan_transfers. Leaves the context without
 * a current placement. */
int moves_hold(eplb_context *context, const input *in, const plan *p);

/* The same for one current placement [L,S], which stays. */
int moves_from(eplb_context *context, const input *in, const plan *p, const int64_t *current,
               eplb_transfer_order order);

#endif
