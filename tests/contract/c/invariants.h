/* What holds of every placement, whatever made it, computed from the maps alone. */
#ifndef EPLB_TESTS_INVARIANTS_H
#define EPLB_TESTS_INVARIANTS_H

#include "plan.h"

/* Checks the plan that the context holds. `out`, unless NULL, receives it; free it then. */
int invariants_hold(eplb_context *context, const input *in, plan *out);

#endif
