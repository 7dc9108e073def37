// The order in which a chain packs its items.
#pragma once

#include "solver/team/random.h"
#include "solver/packing/longest_first.h"
#include "solver/packing/preset.h"

EPLB_STAGE_BEGIN

// Sizes are not negative, so kNever - size puts the largest first; equal ones stay in order of creation.
template <class Team> EPLB_FN void order_by_size(Team& team, const Packing& p, View<int> size) {
  team.order(p.items, p.order, [&](int i) { return static_cast<uint64_t>(kNever - size[i]); });
}

// u has 24 bits, size below 30: size * (parts * 2^24 + noise * u) stays below 2^62.
template <class Team>
EPLB_FN void order_by_noisy_size(Team& team, const Packing& p, View<int> size, uint64_t noise, uint64_t parts,
                                 const Chance& chance) {
  team.order(p.items, p.order, [&](int i) {
    const uint64_t u = chance(static_cast<uint32_t>(i)) >> 8;
    return (uint64_t{1} << 62) - static_cast<uint64_t>(size[i]) * ((parts << 24) + noise * u);
  });
}

template <class Team> EPLB_FN void order_by_chance(Team& team, const Packing& p, const Chance& chance) {
  team.order(p.items, p.order, [&](int i) { return uint64_t{0xffffffff} - chance(static_cast<uint32_t>(i)); });
}

template <class Team> EPLB_FN void fold_order(Team& team, const Packing& p, View<int> size) {
  order_by_size(team, p, size);
  const int last = p.items - 1;
  team.for_each(p.items,
                [&](int i) { p.pack[i] = p.order[i % 2 == 0 ? i / 2 : last - i / 2]; });  // pack is free until later
  team.for_each(p.items, [&](int i) { p.order[i] = p.pack[i]; });
}

// Sets order and size by position for a chain.
template <class Team>
EPLB_FN void arrange(Team& team, const Packing& p, View<int> size, const Preset& preset, const Chance& chance) {
  const int chain = static_cast<int>(chance.chain);
  if (chain == 0)
    order_by_size(team, p, size);
  else if (chain >= preset.folded)
    fold_order(team, p, size);
  else if (chain >= preset.shuffled)
    order_by_chance(team, p, chance);
  else
    order_by_noisy_size(team, p, size, static_cast<uint64_t>(preset.noise_first + preset.noise_per_chain * chain),
                        static_cast<uint64_t>(preset.noise_parts), chance);
  team.for_each(p.items, [&](int i) { p.size[i] = size[p.order[i]]; });
}

EPLB_STAGE_END
