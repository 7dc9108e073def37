/* What holds of every placement, whatever made it, computed from the maps alone. */
#ifndef EPLB_TESTS_INVARIANTS_H
#define EPLB_TESTS_INVARIANTS_H

#include "plan.h"

/* Checks the plan that the context holds. `out`, unless NULL, receives it; free it then. */
int invariants_hold(eplb_context *context, const input *in, plan *out);

/* The same of what every effort makes of an input, in contexts of its own. */
void invariants_hold_of_all_efforts(const input *in);

#endif
