// Copies of an expert that share a GPU though they could be apart. A search makes none, but may
// begin with some that could not be apart, and changes what else there is.
#pragma once

#include "solver/search/excess_search.h"

EPLB_STAGE_BEGIN

// Exchanges of the replica in a place, which shares its GPU with a copy.
struct Parting {
  const ExcessSearch& search;
  int place;

  EPLB_FN int copies_on(int g, int e) const {
    const Arrangement& state = search.state;
    int copies = 0;
    for (int at = g; at < state.places; at += state.stride) copies += state.expert[at] == e;
    return copies;
  }
  // Does an exchange with another place leave fewer copies together?
  EPLB_FN bool is_possible(int other) const {
    const Arrangement& state = search.state;
    const int e = state.expert[place], f = state.expert[other];
    const int g = state.gpu[place], h = state.gpu[other];
    return state.is_expert(f) && g != h && !holds(state, h, e) &&
           (!holds(state, g, f) || copies_on(h, f) > 1) && may_hold(state, search.cluster, h, e) &&
           may_hold(state, search.cluster, g, f);
  }
  // What an exchange adds to the excess, at its most urgent, and to what is paid for load.
  EPLB_FN int64_t cost(int other) const {
    const Arrangement& state = search.state;
    int64_t excess = 0;
    for (int t = 0; t < state.windows; ++t) {
      const View<int> size = state.size.from(t * state.places);
      const int less = size[place] - size[other];
      excess += more_above(t, state.gpu[place], -less) + more_above(t, state.gpu[other], less);
    }
    if (!state.priced) return excess;
    return kMostUrgency * excess + price(place, other) + price(other, place);
  }

 private:
  EPLB_FN int64_t more_above(int t, int g, int more) const {
    const int excess = search.state.excess[t * search.state.stride + g];
    return int64_t{larger(excess + more, 0)} - larger(excess, 0);
  }
  // More, for the load of what goes from a place to another one.
  EPLB_FN int64_t price(int from, int to) const {
    const Arrangement& state = search.state;
    const int e = state.expert[from];
    return int64_t{price_of(state, to, e) - price_of(state, from, e)} * state.prices.share[e];
  }
};

// While the replica in a place shares its GPU with a copy it is exchanged with the one for which
// that costs least; ties: lowest place.
EPLB_FN void part_copies_of(Team auto& team, ExcessSearch& search, int place) {
  const Arrangement& state = search.state;
  const Parting parting{search, place};
  while (!search.is_over(team) && copies_together(state, place) > 1) {
    search.looks -= int64_t{state.places} * state.rows;
    const int64_t least = -team.max_of(state.places, [&](int other) {
      return parting.is_possible(other) ? -parting.cost(other) : -kNever64;
    });
    if (least == kNever64) return;
    const int other = team.find_of(
        state.places, [&](int at) { return parting.is_possible(at) && parting.cost(at) == least; });
    apply(team, search, {Change::kSwap, place, other});
    keep(search);
  }
}
EPLB_ONCE void part_copies(Team auto& team, ExcessSearch& search) {
  const Arrangement& state = search.state;
  if (!state.totals[0].together) return;
  for (int place = 0; place < state.places; ++place)
    if (state.is_expert(state.expert[place])) part_copies_of(team, search, place);
}

EPLB_STAGE_END
