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

// The exchange that costs least; ties: lowest place. -1 if there is none, or looks do not suffice.
EPLB_FN int cheapest_parting(Team auto& team, ExcessSearch& search, int place) {
  const Arrangement& state = search.state;
  const Parting parting{search, place};
  if (!search.affords(int64_t{state.places} * (state.rows + state.windows - 1))) return -1;
  const int64_t least = -team.max_of(state.places, [&](int other) {
    return parting.is_possible(other) ? -parting.cost(other) : -kNever64;
  });
  if (least == kNever64) return -1;
  return team.find_of(state.places, [&](int other) {
    return parting.is_possible(other) && parting.cost(other) == least;
  });
}
// The lowest place of expert f whose GPU lacks e and may have it; the number of places if there is
// none.
EPLB_FN int place_of_exchange(Team auto& team, ExcessSearch& search, int e, int f) {
  const Arrangement& state = search.state;
  if (!search.affords(state.places)) return state.places;
  return team.find_of(state.places, [&](int other) {
    const int h = state.gpu[other];
    return state.expert[other] == f && !holds(state, h, e) && may_hold(state, search.cluster, h, e);
  });
}
// Where no exchange parts copies, as can be where GPUs differ, one for another expert of the GPU
// makes that one the copy, which may be parted then, or exchanged again. Chains of these:
struct CopyChains {
  int place;        // whose replica shares its GPU with a copy
  View<int> row;    // in the order in which they are found
  View<int> first;  // by row: the exchange that its chain begins with, or -1
};
// From the i-th row on; `end` have been found. Returns how many have been then.
EPLB_FN int lengthen(Team auto& team, ExcessSearch& search, const CopyChains& chains, int i,
                     int end) {
  const Arrangement& state = search.state;
  const int g = state.gpu[chains.place], from = chains.row[i];
  const int e = state.expert[from * state.stride + g];
  for (int row = 0; row < state.rows; ++row) {
    const int f = state.expert[row * state.stride + g];
    if (chains.first[row] >= 0 || !state.is_expert(f) || f == state.expert[chains.place]) continue;
    const int other = place_of_exchange(team, search, e, f);
    if (other == state.places) continue;
    team.single([&] {
      chains.first[row] = i == 0 ? other : chains.first[from];
      chains.row[end] = row;
    });
    ++end;
  }
  return end;
}
// The first exchange of a shortest chain; -1 if there is none.
EPLB_FN int first_of_chain(Team auto& team, ExcessSearch& search, int place) {
  const Arrangement& state = search.state;
  const CopyChains chains{place, search.missing, search.picked};
  team.for_each(state.rows, [&](int row) { chains.first[row] = -1; });
  team.single([&] { chains.row[0] = place / state.stride; });
  for (int i = 0, end = 1; i < end && !search.is_over(team); ++i) {
    const int row = chains.row[i], copy = row * state.stride + state.gpu[place];
    if (i > 0 && cheapest_parting(team, search, copy) >= 0) return chains.first[row];
    end = lengthen(team, search, chains, i, end);
  }
  return -1;
}
// While the replica in a place shares its GPU with a copy it is exchanged for what parts the two.
EPLB_FN void part_copies_of(Team auto& team, ExcessSearch& search, int place) {
  const Arrangement& state = search.state;
  const Parting parting{search, place};
  while (search.affords(state.rows) && !team.stopped() &&
         parting.copies_on(state.gpu[place], state.expert[place]) > 1) {
    int other = cheapest_parting(team, search, place);
    if (other < 0 && is_unequal(search.cluster)) other = first_of_chain(team, search, place);
    if (other < 0) return;
    apply(team, search, {Change::kSwap, place, other});
    keep(search);
  }
}
EPLB_ONCE void part_copies(Team auto& team, ExcessSearch& search) {
  const Arrangement& state = search.state;
  if (!state.totals[0].together) return;
  search.looks = int64_t{1} << 29;  // whatever searching has left
  for (int place = 0; place < state.places; ++place)
    if (state.is_expert(state.expert[place])) part_copies_of(team, search, place);
}

EPLB_STAGE_END
