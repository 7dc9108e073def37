// Packing by a preset: chains with different orders, of which the best is taken.
#pragma once

#include "solver/layer/solve_layer.h"
#include "solver/packing/item_order.h"
#include "solver/packing/refine.h"

EPLB_STAGE_BEGIN

// The chain with the least score wins.
EPLB_FN int score_of(Team auto& team, const Packing& packing, Winner winner) {
  const View<int> load = packing.load;
  const int largest = team.max(0, packing.packs, [=](auto pack) { return load[pack]; });
  if (winner == Winner::kLeastLargest) return largest;
  return largest - team.min(0, packing.packs, [=](auto pack) { return load[pack]; });
}

// The number of chains that can differ. With one slot per pack the answer is the identity, as in
// the published program.
EPLB_FN int chains_of(const Preset& preset, int items, int packs) {
  return items == packs ? 1 : preset.chains;
}

// slot_of[item] from the best of these chains (ties: lowest chain). Returns its score.
template <class Number>
EPLB_FN int pack(Team auto& team, const Preset& preset, Packing packing, int items, int packs,
                 View<int> size, Chance chance, Chains chains, View<int> slot_of) {
  packing.items = items;
  packing.packs = packs;
  packing.slots_per_pack = items / packs;
  if (packing.slots_per_pack == 1) {
    team.for_each(items, [&](int item) { slot_of[item] = item; });
    return 0;
  }
  int best = kNever;
  for (int chain = chains.from; chain < smaller(chains.to, preset.chains); ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    arrange(team, packing, size, preset, chance);
    place_longest_first<Number>(team, packing, [](int) { return 1; });
    if (preset.most_exchanges > 0)
      refine(team, packing, preset.exchange, preset.most_exchanges, chain == 0);
    const int score = score_of(team, packing, preset.winner);
    if (score >= best) continue;
    best = score;
    write_slots(team, packing, slot_of);
  }
  return best;
}

EPLB_STAGE_END
