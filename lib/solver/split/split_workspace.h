// What a split works with.
#pragma once

#include "core/problem.h"
#include "solver/team/memory.h"

EPLB_STAGE_BEGIN

// Tokens that some GPUs cannot give to others, and their paces. No split is better than that.
struct SplitBound {
  int64_t tokens, pace;
};
// Exact: tokens are less than 2^29, paces at most 2^34.
EPLB_FN bool is_above(const SplitBound& a, const SplitBound& b) {
  return a.tokens * b.pace > b.tokens * a.pace;
}

struct SplitWorkspace {
  View<int> quota;              // by edge: tokens
  View<int> change;             // by edge: in a push what the GPU offers, then what it gets; 0
                                // between pushes, scratch at the start
  View<int> base;               // by GPU: tokens that cannot move
  View<int> load, most;         // by GPU: what it has, and should have at most
  View<int> steps, steps_of;    // by GPU, by split expert: see find_steps
  View<int> full, reached;      // GPUs without room; those of them that can give to one with room
  View<int> num_reached;        // [1], of the latter
  View<int> offered;            // split experts that are offered tokens in a push
  View<int> tight;              // by GPU: is it one of those that the bound is of?
  View<int64_t> tokens, paces;  // by component
  View<SplitBound> bound;       // [1]

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int slots = problem.cluster.slots, gpus = problem.cluster.gpus;
    arena.take(slots, quota, change);
    arena.take(gpus, base, load, most, steps, full, reached, tight);
    arena.take(gpus, tokens, paces);
    arena.take(smaller(problem.experts, slots / 2) + 1, steps_of, offered);
    num_reached = arena.take<int>(1);
    bound = arena.take<SplitBound>(1);
  }
};

EPLB_STAGE_END
