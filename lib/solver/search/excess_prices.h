// What the candidates of a step cost where load has a price. See docs/algorithms.md, section 15.2.
#pragma once

#include "solver/search/arrangement.h"

EPLB_STAGE_BEGIN

// What changes cost where load has a price.
struct PriceMarks {
  View<int> swap_to_head;    // by place: if its expert comes to the head, instead of staying
  View<int> swap_from_head;  // by GPU: if an expert of the head comes there
  View<int> copy_there;      // by GPU: if that expert gets one more copy there
  View<int> copy_at_head;    // by expert: if it gets one more copy at the head

  EPLB_FN void lay_out(Arena& arena, const Arrangement& state) {
    if (!state.priced) return;
    swap_to_head = arena.take<int>(state.places);
    arena.take(state.stride, swap_from_head, copy_there);
    copy_at_head = arena.take<int>(state.kinds());
  }
};

// What it costs if the replica in a place goes, whose expert has others.
EPLB_FN int cost_of_leaving(const Arrangement& state, int place) {
  const Prices& prices = state.prices;
  const int e = state.expert[place], others = state.copies[e] - 1;
  return (prices.away[e] - prices.here[place]) * (prices.weight[e] / others) -
         prices.away[e] * prices.share[e];
}

// What each place and each expert would cost if it came to the head.
EPLB_FN void price_head(Team auto& team, const Arrangement& state, const PriceMarks& costs,
                        int head) {
  const Prices& prices = state.prices;
  const View<int> expert = state.expert, here = prices.here, share = prices.share,
                  more = prices.share_more, away = prices.away,
                  at_head = prices.price.from(prices.first[head]);
  const View<int> swap_to_head = costs.swap_to_head, copy_at_head = costs.copy_at_head;
  team.sweep(state.kinds(), [=](auto e) {
    copy_at_head.set(e, (away[e] + at_head[e]) * more[e] - away[e] * share[e]);
  });
  team.sweep(state.places, [=](auto place) {
    const auto e = expert[place];
    swap_to_head.set(place, (at_head[e] - here[place]) * share[e]);
  });
}
// What expert e of the head would cost on each GPU.
EPLB_FN void price_gpus(Team auto& team, const Arrangement& state, const PriceMarks& costs,
                        int head, int e) {
  const Prices& prices = state.prices;
  const View<int> price = prices.price.from(e), first = prices.first;
  const View<int> swap_from_head = costs.swap_from_head, copy_there = costs.copy_there;
  const int away = prices.away[e], share = prices.share[e], more = prices.share_more[e];
  const int at_head = price[first[head]];
  team.sweep(state.stride, [=](auto g) {
    const auto there = price[first[g]];
    swap_from_head.set(g, (there - at_head) * share);
    copy_there.set(g, (there + away) * more - away * share);
  });
}

EPLB_STAGE_END
