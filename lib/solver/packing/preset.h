// The presets: strategies that differ in their parameters alone. Each follows a reference program.
#pragma once

#include "core/problem.h"
#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

// Which packs exchange items while a packing is refined (packing/refine.h).
enum class Exchange { kNone, kHeaviestWithAny, kAnyPair, kHeaviestWithLightest };

// What makes a chain the best: its largest load, or the difference of its largest and least load.
enum class Winner { kLeastLargest, kLeastSpread };

// A noisy chain packs in order of size * (1 + noise * u), with u uniform on [0, 1) and
// noise = (first + per_chain * chain) / parts.
struct Noise {
  int first = 0;
  int per_chain = 0;
  int parts = 1;
};

// Chain 0 packs the items in order of size, all others in a noisy order but for those named here.
struct Preset {
  int chains = 1;              // packings to choose from
  Noise noise = {};            // of chains 1 .. shuffled_from - 1
  int shuffled_from = kNever;  // first chain that packs in random order
  int folded_from = kNever;    // first chain that packs largest, smallest, second largest, ...
  Exchange exchange = Exchange::kNone;
  int most_exchanges = 0;  // in each chain
  Winner winner = Winner::kLeastLargest;
};

// The published program, deepseek-ai/EPLB.
EPLB_FN Preset greedy() { return {}; }

// Reference program vectorized_lpt_and_swap.
EPLB_FN Preset lpt_swap() { return {.exchange = Exchange::kHeaviestWithAny, .most_exchanges = 50}; }

// Reference program l2_opt_packing_gpu.
EPLB_FN Preset l2_swap() { return {.exchange = Exchange::kAnyPair, .most_exchanges = 50}; }

// Reference program gpu_parallel_randomized_greedy_refinement.
EPLB_FN Preset random_restarts() {
  return {
      .chains = 4,
      .noise = {.first = 1, .per_chain = 0, .parts = 20},
      .exchange = Exchange::kHeaviestWithLightest,
      .most_exchanges = 20,
      .winner = Winner::kLeastSpread,
  };
}

// Reference program parallel_candidates_and_gpu_fix.
EPLB_FN Preset noise_spectrum() {
  return {
      .chains = 64,
      .noise = {.first = 0, .per_chain = 1, .parts = 126},
      .exchange = Exchange::kHeaviestWithAny,
      .most_exchanges = 20,
  };
}

// Reference program hybrid_init_packing. Its 32 folded chains involve no chance and are equal: one
// stands for all.
EPLB_FN Preset hybrid_init() {
  return {
      .chains = 97,
      .noise = {.first = 1, .per_chain = 0, .parts = 5},
      .shuffled_from = 64,
      .folded_from = 96,
      .exchange = Exchange::kHeaviestWithAny,
      .most_exchanges = 20,
  };
}

// What looking for an exchange looks at, at most.
EPLB_FN int64_t looks_of(Exchange exchange, int64_t items, int64_t packs) {
  const int64_t per_pack = items / packs;
  if (exchange == Exchange::kHeaviestWithAny) return per_pack * items;
  return exchange == Exchange::kAnyPair ? items * items / 2 : per_pack * per_pack;
}

// What sorting and placing an item takes.
inline constexpr int kLooksPerItem = 256;

// The same with fewer chains, and fewer exchanges in them, where there are far more items than
// models have slots: so that one of `parts` that are packed ends within its share of seconds.
EPLB_FN Preset within_seconds(Preset preset, int items, int packs, int parts,
                              int looks_per_item = kLooksPerItem) {
  constexpr int64_t kMostLooks = int64_t{1} << 32;
  if (preset.chains == 1 && preset.exchange == Exchange::kNone) return preset;
  const int64_t looks = kMostLooks / parts;
  const int64_t chains = looks / (int64_t{items} * looks_per_item);
  if (chains < preset.chains) preset.chains = larger(1, static_cast<int>(chains));
  if (preset.exchange == Exchange::kNone) return preset;
  const int64_t exchanges = looks / (preset.chains * looks_of(preset.exchange, items, packs) + 1);
  if (exchanges < preset.most_exchanges) preset.most_exchanges = static_cast<int>(exchanges);
  return preset;
}

EPLB_FN Preset preset_of(eplb_strategy strategy) {
  switch (strategy) {
    case EPLB_STRATEGY_LPT_SWAP: return lpt_swap();
    case EPLB_STRATEGY_L2_SWAP: return l2_swap();
    case EPLB_STRATEGY_RANDOM_RESTARTS: return random_restarts();
    case EPLB_STRATEGY_NOISE_SPECTRUM: return noise_spectrum();
    case EPLB_STRATEGY_HYBRID_INIT: return hybrid_init();
    default: return greedy();
  }
}

// One chain of a preset.
struct PresetChain {
  Preset preset;
  int chain;
};

// Those of all presets but GREEDY, one after the other, each judged by its largest load.
EPLB_FN PresetChain preset_chain(int number) {
  eplb_strategy strategy = EPLB_STRATEGY_LPT_SWAP;
  while (number >= preset_of(strategy).chains) number -= preset_of(strategy++).chains;
  Preset preset = preset_of(strategy);
  preset.winner = Winner::kLeastLargest;
  return {preset, number};
}

EPLB_FN int all_preset_chains() {
  int chains = 0;
  for (eplb_strategy strategy = EPLB_STRATEGY_LPT_SWAP; strategy <= EPLB_STRATEGY_HYBRID_INIT;
       ++strategy)
    chains += preset_of(strategy).chains;
  return chains;
}

EPLB_STAGE_END
