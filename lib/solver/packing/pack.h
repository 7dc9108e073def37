// Packing by a preset: chains with different orders, of which the best is taken.
#pragma once

#include "solver/layer/solve_layer.h"
#include "solver/packing/refine.h"
#include "solver/team/random.h"

EPLB_STAGE_BEGIN

// Largest first. Sizes are not negative, so kNever - size is not either; equal items keep their
// order.
EPLB_FN void order_by_size(Team auto& team, const Packing& packing, View<int> size) {
  team.order(packing.items, packing.order, [&](int item) { return largest_first(size[item]); });
}

// Largest size * (1 + noise * u) first, u being uniform on [0, 1) with 24 bits. In integers:
// size * (parts * 2^24 + strength * u * 2^24) stays below 2^62, since size has at most 29 bits.
EPLB_FN void order_by_noisy_size(Team auto& team, const Packing& packing, View<int> size,
                                 const Noise& noise, const Chance& chance) {
  const uint64_t parts = static_cast<uint64_t>(noise.parts);
  const uint64_t strength =
      static_cast<uint64_t>(noise.first) + static_cast<uint64_t>(noise.per_chain) * chance.chain;
  team.order(packing.items, packing.order, [&](int item) {
    const uint64_t u = chance(static_cast<uint32_t>(item)) >> 8;
    return (uint64_t{1} << 62) - static_cast<uint64_t>(size[item]) * ((parts << 24) + strength * u);
  });
}

EPLB_FN void order_by_chance(Team auto& team, const Packing& packing, const Chance& chance) {
  team.order(packing.items, packing.order,
             [&](int item) { return uint64_t{0xffffffff} - chance(static_cast<uint32_t>(item)); });
}

// Largest, smallest, second largest, second smallest, ...
EPLB_FN void fold_order(Team auto& team, const Packing& packing, View<int> size) {
  order_by_size(team, packing, size);
  const int last = packing.items - 1;
  const View<int> folded = packing.pack;  // scratch: no item has a pack yet
  team.for_each(packing.items, [&](int position) {
    folded[position] = packing.order[position % 2 == 0 ? position / 2 : last - position / 2];
  });
  team.for_each(packing.items, [&](int position) { packing.order[position] = folded[position]; });
}

// Sets order and size of the positions of a chain.
EPLB_FN void arrange(Team auto& team, const Packing& packing, View<int> size, const Preset& preset,
                     const Chance& chance) {
  const int chain = static_cast<int>(chance.chain);
  if (chain == 0)
    order_by_size(team, packing, size);
  else if (chain >= preset.folded_from)
    fold_order(team, packing, size);
  else if (chain >= preset.shuffled_from)
    order_by_chance(team, packing, chance);
  else
    order_by_noisy_size(team, packing, size, preset.noise, chance);
  team.for_each(packing.items,
                [&](int position) { packing.size[position] = size[packing.order[position]]; });
}

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

// Is there one more chain to try? The first one is tried in any case: what follows needs an answer.
EPLB_FN bool goes_on(const Team auto& team, const Preset& preset, const Chains& chains, int chain,
                     int best) {
  return chain < smaller(chains.to, preset.chains) && (best == kNever || !team.stopped());
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
  for (int chain = chains.from; goes_on(team, preset, chains, chain, best); ++chain) {
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
