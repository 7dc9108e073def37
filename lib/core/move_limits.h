// The limits of a rebalance, as its maps show them.
#pragma once

#include "core/plan.h"

namespace eplb {

// How many moves a layer cannot do without: of experts that are on no GPU with open slots, and of
// those that are on one GPU alone, which has too few slots for them.
int64_t forced_moves(const Problem& problem, int64_t layer);

// Throws InvalidArgument if forced moves alone exceed a limit.
void check_forced_moves(const Problem& problem);

// Is it a rebalance whose layers share a limit of moves?
bool shares_moves(const Problem& problem);

// Is the current placement to be changed for splits of tokens? Only the host can.
bool moves_for_splits(const Problem& problem);

// Is it a rebalance with limits, which forced moves could exceed?
bool has_limits(const Problem& problem);

// Throws InvalidArgument if a plan exceeds a limit: what is forced could not be placed otherwise.
void check_move_limits(const Plan& plan);

}  // namespace eplb
