// What makes a strategy of the seeds: numbers, not a program.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

enum class Move { kNone, kHeaviest, kAnyPair, kHeaviestWithLightest };
enum class Winner { kLeastLargest, kLeastSpread };  // spread: largest load minus least

// Chain 0 packs in order of size. The others in the order of size * (1 + u * noise), noise = (first + per_chain * chain) /
// parts; from `shuffled` on in any order; from `folded` on largest, smallest, second largest, second smallest, ...
struct Preset {
  int chains = 1;
  int noise_first = 0, noise_per_chain = 0, noise_parts = 1;
  int shuffled = kNever, folded = kNever;
  Move move = Move::kNone;
  int moves = 0;
  Winner winner = Winner::kLeastLargest;
};

EPLB_FN Preset greedy() { return {}; }
EPLB_FN Preset lpt_swap() { return {1, 0, 0, 1, kNever, kNever, Move::kHeaviest, 50, Winner::kLeastLargest}; }
EPLB_FN Preset l2_swap() { return {1, 0, 0, 1, kNever, kNever, Move::kAnyPair, 50, Winner::kLeastLargest}; }
EPLB_FN Preset random_restarts() {
  return {4, 1, 0, 20, kNever, kNever, Move::kHeaviestWithLightest, 20, Winner::kLeastSpread};
}
EPLB_FN Preset noise_spectrum() { return {64, 0, 1, 126, kNever, kNever, Move::kHeaviest, 20, Winner::kLeastLargest}; }
// The seed's 32 folded chains have no chance in them: one stands for all.
EPLB_FN Preset hybrid_init() { return {97, 1, 0, 5, 64, 96, Move::kHeaviest, 20, Winner::kLeastLargest}; }

// By the value of its EPLB_STRATEGY_ constant.
EPLB_FN Preset preset_of(int strategy) {
  switch (strategy) {
    case 1: return lpt_swap();
    case 2: return l2_swap();
    case 3: return random_restarts();
    case 4: return noise_spectrum();
    case 5: return hybrid_init();
    default: return greedy();
  }
}

EPLB_STAGE_END
