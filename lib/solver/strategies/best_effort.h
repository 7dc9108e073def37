// How much work BEST does: the parameters of its efforts.
#pragma once

#include "core/problem.h"
#include "solver/counts/enumerate_counts.h"
#include "solver/packing/preset.h"

EPLB_STAGE_BEGIN

struct Effort {
  // Three or more slots per GPU: chains of
  // (steps_per_slot * slots + steps_per_gpu * gpus) / 16 steps.
  int chains;
  int steps_per_slot, steps_per_gpu;
  int tolerance_shift;  // a chain ends mean / 2^tolerance_shift above the mean
  int slack;            // a load that is at most 1/slack above the lower bound ends the choice
  bool presets;         // without redundancy: are the presets' packings chains, too?
  // Two slots per GPU.
  int two_slot_chains;
  int proposals;  // of a chain, per 4 slots
  // Tiny problems: what trying counts one after the other may take, with the rounds of the chains;
  // and attempts of the search that puts groups on tiny nodes. A round takes longer there, for most
  // find the search stuck: so FAST and NORMAL have so few that a slot takes no longer than one of
  // 288 on 32 GPUs, but for what every node takes before its search. MAX does more for all that
  // have few slots.
  int rounds;       // per 4 slots
  int group_steps;  // per slot
};

// At most this many slots: the largest effort is many short chains.
inline constexpr int kFewSlots = 128;

EPLB_FN Effort effort_of(eplb_effort level, int slots) {
  const bool few = slots <= kFewSlots, tiny = slots <= kTiny;
  if (level == EPLB_EFFORT_FAST)
    return {.chains = tiny ? 1 : 2,
            .steps_per_slot = 5,
            .steps_per_gpu = 5,
            .tolerance_shift = 16,
            .slack = 100,
            .presets = false,
            .two_slot_chains = 1,
            .proposals = 3,
            .rounds = 1,
            .group_steps = 4};
  if (level == EPLB_EFFORT_NORMAL)
    return {.chains = tiny ? 1 : 3,
            .steps_per_slot = tiny ? 8 : 32,
            .steps_per_gpu = 8,
            .tolerance_shift = 16,
            .slack = 400,
            .presets = false,
            .two_slot_chains = 1,
            .proposals = tiny ? 8 : 16,
            .rounds = 4,
            .group_steps = 8};
  return {.chains = tiny  ? 8
                    : few ? 24
                          : 4,
          .steps_per_slot = few ? 16 : 96,
          .steps_per_gpu = 8,
          .tolerance_shift = 17,
          .slack = 32768,
          .presets = few,
          .two_slot_chains = 4,
          .proposals = 40,
          .rounds = 97,
          .group_steps = 194};
}

// On three or more slots per GPU.
EPLB_FN int most_chains(const Effort& effort, int experts, int slots) {
  return effort.chains + (effort.presets && slots == experts ? all_preset_chains() : 0);
}

// A step may look at every slot, a proposal several times. Where there are far more slots than
// models have, a chain has fewer, so that it ends within seconds.
EPLB_FN int within_seconds(int steps, int looks_of_one) {
  constexpr int64_t kMostLooks = int64_t{1} << 31;
  return smaller(steps, static_cast<int>(kMostLooks / looks_of_one));
}

EPLB_FN int steps_of(const Effort& effort, int slots, int gpus) {
  const int steps = (effort.steps_per_slot * slots + effort.steps_per_gpu * gpus) / 16;
  return within_seconds(steps, slots);
}
EPLB_FN int proposals_of(const Effort& effort, int slots) {
  return within_seconds(effort.proposals * slots / 4, 4 * slots);
}

EPLB_STAGE_END
