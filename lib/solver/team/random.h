// Random numbers without state: a draw is a hash of what it is for. The hash is Philox4x32-10
// (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011). The number of
// the layer is no part of it, so a layer's answer does not depend on its position in the batch.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// What a draw is for. The values are part of the answer.
enum ChanceStage : uint32_t {
  kGroupKeys = 1,        // orders of groups to be packed on nodes
  kReplicaKeys = 2,      // orders of replicas to be packed on GPUs
  kNoisyCounts = 3,      // BEST: weights for noisy counts
  kRetarget = 6,         // BEST: which replica changes its expert
  kSearch = 7,           // BEST: tenures, walks, where pairs are looked for
  kTwoSlotKick = 8,      // BEST, two slots per GPU: kicks
  kTwoSlotProposal = 9,  // BEST, two slots per GPU: proposals
  kRebalance = 10,       // REBALANCE: ruins
};

struct Chance {
  uint64_t seed;
  uint32_t stage, node, chain;

  EPLB_FN Chance at(uint32_t other_stage) const { return {seed, other_stage, node, chain}; }

  EPLB_FN uint32_t operator()(uint32_t draw) const {
    return static_cast<uint32_t>(drawn(static_cast<int>(draw)));
  }
  // Ten rounds of Philox, for an int or a vector of them. The counter has four words, the key two.
  template <class Word> EPLB_FN Word drawn(Word draw) const {
    Word word0 = draw, word1 = static_cast<int>(chain), word2 = static_cast<int>(node),
         word3 = static_cast<int>(stage);
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const Word upper0 = upper_product(word0, 0xD2511F53),
                 lower0 = lower_product(word0, 0xD2511F53);
      const Word upper2 = upper_product(word2, 0xCD9E8D57),
                 lower2 = lower_product(word2, 0xCD9E8D57);
      word0 = upper2 ^ word1 ^ static_cast<int>(key0);
      word1 = lower2;
      word2 = upper0 ^ word3 ^ static_cast<int>(key1);
      word3 = lower0;
      key0 += 0x9E3779B9;
      key1 += 0xBB67AE85;
    }
    return word0;
  }
};

// The draws of a stage, computed a block at a time: lanes work on them in parallel, and no draw
// waits for the ten rounds of the one before.
struct ChanceBuffer {
  static constexpr int kBlock = 32;
  Chance chance;
  View<int> known;  // draws first .. first + kBlock - 1
  uint32_t first;

  EPLB_FN void lay_out(Arena& arena) { known = arena.take<int>(kBlock); }
  EPLB_FN void begin(Team auto& team, const Chance& of) {
    chance = of;
    draw_from(team, 0);
  }
  EPLB_FN uint32_t operator()(Team auto& team, uint32_t draw) {
    if (draw - first >= kBlock) draw_from(team, draw);
    return static_cast<uint32_t>(known[static_cast<int>(draw - first)]);
  }

 private:
  EPLB_APART void draw_from(Team auto& team, uint32_t draw) {
    first = draw;
    team.barrier();
    team.sweep(kBlock, [=, at = static_cast<int>(draw), out = known, of = chance](auto i) {
      out.set(i, of.drawn(value_of(i) + at));
    });
  }
};

// A number from 0 to n - 1.
EPLB_FN int below(uint32_t random, int n) {
  return static_cast<int>(static_cast<uint64_t>(random) * static_cast<uint32_t>(n) >> 32);
}

EPLB_STAGE_END
