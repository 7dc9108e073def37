// Packing by a preset: chains with different orders, the best of them.
#pragma once

#include "solver/packing/item_order.h"
#include "solver/layer/solve_layer.h"
#include "solver/packing/refine.h"

EPLB_STAGE_BEGIN

// What decides between chains.
template <class Team> EPLB_FN int score(Team& team, const Packing& p, Winner winner) {
  const int largest = team.most(0, p.packs, [=](auto g) { return p.load[g]; });
  if (winner == Winner::kLeastLargest) return largest;
  return largest - team.least(0, p.packs, [=](auto g) { return p.load[g]; });
}

// How many chains make a difference: one place per pack is the identity, as in the published program.
EPLB_FN int chains_of(const Preset& preset, int items, int packs) { return items == packs ? 1 : preset.chains; }

// place[item] for items of such sizes, from the best of these chains (ties: lowest), and its score.
template <class Number, class Team>
EPLB_FN int pack(Team& team, const Preset& preset, Packing p, int items, int packs, View<int> size, Chance chance,
                 Chains chains, View<int> place) {
  p.items = items;
  p.packs = packs;
  p.places = items / packs;
  if (p.places == 1) {
    team.for_each(items, [&](int i) { place[i] = i; });
    return 0;
  }
  int best = kNever;
  for (int chain = chains.from; chain < less(chains.to, preset.chains); ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    arrange(team, p, size, preset, chance);
    place_longest_first<Number>(team, p, [](int) { return 1; });
    if (preset.moves > 0) refine(team, p, preset.move, preset.moves, chain == 0);
    const int own = score(team, p, preset.winner);
    if (own >= best) continue;
    best = own;
    number_places(team, p, place);
  }
  return best;
}

EPLB_STAGE_END
