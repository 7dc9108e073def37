// The state of a search that starts from the current placement: which expert is in each place, and
// what follows from it. It changes by swaps and re-targets, which can be undone.
//
// A *place* is a slot counted row by row: place row * stride + gpu, so that a vector holds the same
// row of several GPUs. stride is the number of GPUs rounded up to whole vectors. A place that is no
// slot holds the *wall*, an empty slot the *void*: numbers that follow those of the experts.
//
// Loads may be those of several windows. What depends on a window is window by window:
// array[window * places + place], and the same with kinds() and stride.
//
// A *pair* is a GPU and an expert on it. It is *new* if the current placement lacks it: then it is
// a move.
#pragma once

#include "solver/layer/cluster.h"
#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// A swap of two places, or a re-target: one place gets another expert.
struct Change {
  enum Kind { kNone, kSwap, kRetarget };
  int kind = kNone;
  int place = 0;
  int other = 0;  // the other place, or the expert
};

// Instead of a burden: the last copy of an expert stays.
inline constexpr int kLastCopy = 1 << 30;

// The highest price of load, where groups are: that of load away from home.
inline constexpr int kHighestPrice = kPriceUnits;
// What of a replica is above a limit counts as excess, this many times: no GPU can take it well.
inline constexpr int kOversizeFactor = 4;

EPLB_FN bool has_prices(const Problem& problem) {
  return problem.limits.policy == EPLB_POLICY_SOFT;
}

// What load costs by the node that serves it. Nothing of it is laid out where there are no prices.
struct Prices {
  View<int> price;   // by node and expert, the void and the wall included: 0 to kHighestPrice
  View<int> first;   // by GPU, in whole vectors: where the prices of its node begin
  View<int> here;    // by place: of its expert
  View<int> away;    // by expert: of all its places, added up
  View<int> weight;  // by expert: what prices are paid for
  View<int> share, share_more;  // by expert: weight / copies, and with one copy more
  // By expert: how much less of it is oversized with one copy more, and how much more with one
  // less.
  View<int> split, merged;
};

struct Arrangement {
  int windows;
  int experts, gpus, rows, stride, places;
  int most_copies;    // of an expert
  int most_arrivals;  // new pairs of a GPU
  int most_empty;     // slots

  // By window: how much it matters, of kWindowShare. So much its loads are scaled down.
  View<int> window_share;
  bool same_shares;  // do all matter as much?

  // By place. What is on the void and the walls: size 0.
  View<int> expert, gpu;
  View<int> size;            // by window: the load that the replica brings
  View<int> growth;          // by window: by how much that grows if one of its expert's others goes
  View<int> is_new;          // is its pair new?
  View<int> burden;          // how much excess comes if it goes: set by a step if it has others
  View<int> together;        // how many of its expert its GPU has, as a negative number but at the
                             // lowest of them: set by a step where some GPU has several
  View<int> next, previous;  // places of the same expert, a ring

  // By expert, the void and the wall included, in whole vectors.
  View<int> weight;             // by window
  View<int> share, share_more;  // by window: weight / copies, and with one copy more
  View<int> copies;
  View<int> any_place;   // one of the ring
  View<int> home;        // the only node that may hold it, -1: any
  View<int> position;    // in `replicated`
  View<int> replicated;  // the experts with more than one copy, in any order

  // By GPU, in whole vectors.
  View<int> load;      // by window
  View<int> limit;     // by window: of the load
  View<int> excess;    // by window: load - limit
  View<int> peak;      // the largest excess of all windows, where there are several
  View<int> arrivals;  // new pairs

  // The current placement.
  View<int> was;              // by slot, as it is numbered outside; -1: nothing
  View<int> first_was, held;  // GPUs that hold expert e: held[first_was[e] .. first_was[e + 1])

  struct Totals {
    int moves;       // new pairs
    int replicated;  // experts
    int empty;       // slots
    int cost;        // prices paid for all load
    bool together;   // did the current placement have copies of an expert on one GPU?
  };
  View<Totals> totals;

  bool priced;
  int largest_share;  // what of a replica is above it, in a window, is oversized
  Prices prices;

  EPLB_FN static int padded(int n) { return (n + kRow - 1) / kRow * kRow; }
  EPLB_FN int void_expert() const { return experts; }
  EPLB_FN int wall() const { return experts + 1; }
  EPLB_FN int kinds() const { return padded(experts + 2); }  // experts, void and walls

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int slots = problem.cluster.slots;
    experts = problem.experts;
    gpus = problem.cluster.gpus;
    rows = slots / gpus;
    stride = padded(gpus);
    places = rows * stride;
    windows = problem.windows_apart;
    window_share = arena.take<int>(windows);
    arena.take(windows * places, size, growth);
    arena.take(windows * kinds(), weight, share, share_more);
    arena.take(windows * stride, load, limit, excess);
    arena.take(places, expert, gpu, is_new, burden, together, next, previous);
    arena.take(kinds(), copies, any_place, home, position, replicated);
    arena.take(stride, peak, arrivals);
    arena.take(slots, was, held);
    first_was = arena.take<int>(experts + 1);
    totals = arena.take<Totals>(1);
    priced = has_prices(problem);
    if (priced) lay_out_prices(arena, smaller(problem.cluster.nodes, gpus));
  }
  EPLB_FN void lay_out_prices(Arena& arena, int nodes) {
    prices.price = arena.take<int>(nodes * kinds());
    prices.first = arena.take<int>(stride);
    prices.here = arena.take<int>(places);
    arena.take(kinds(), prices.away, prices.weight, prices.share, prices.share_more, prices.split,
               prices.merged);
  }
  EPLB_FN View<int> was_on(int g) const { return was.from(g * rows); }
  EPLB_FN bool is_expert(int e) const { return e < experts; }
  EPLB_FN int moves() const { return totals[0].moves; }
};

// ------------------------------------------------------------------------------ questions, one
// lane

EPLB_FN bool holds(const Arrangement& state, int g, int e) {
  int row = 0;
  while (row < state.rows && state.expert[row * state.stride + g] != e) ++row;
  return row < state.rows;
}
EPLB_FN bool is_among_holders(const Arrangement& state, int g, int e) {
  int low = state.first_was[e];
  for (int high = state.first_was[e + 1]; low < high;) {
    const int middle = low + (high - low) / 2;
    if (state.held[middle] < g)
      low = middle + 1;
    else
      high = middle;
  }
  return low < state.first_was[e + 1] && state.held[low] == g;
}
// Of an expert. On GPUs of many slots those that held it are looked through.
EPLB_FN bool held_before(const Arrangement& state, int g, int e) {
  constexpr int kFewRows = 64;
  if (state.rows > kFewRows) return is_among_holders(state, g, e);
  const View<int> was = state.was_on(g);
  int row = 0;
  while (row < state.rows && was[row] != e) ++row;
  return row < state.rows;
}
// Is it the only place of its GPU with this expert, or the lowest of them? After count_together.
EPLB_FN bool is_lowest(const Arrangement& state, int place) {
  return !state.totals[0].together || state.together[place] > 0;
}
// How many places of a GPU have the expert of this one. After count_together.
EPLB_FN int copies_together(const Arrangement& state, int place) {
  return state.totals[0].together ? magnitude(state.together[place]) : 1;
}
// Over all windows.
EPLB_FN int total_weight(const Arrangement& state, int e) {
  int sum = 0;
  for (int t = 0; t < state.windows; ++t) sum += state.weight[t * state.kinds() + e];
  return sum;
}
// May expert e be on GPU g, which has nothing of it?
EPLB_FN bool may_hold(const Arrangement& state, const Cluster& cluster, int g, int e) {
  return state.home[e] < 0 || state.home[e] == node_of(cluster, g);
}

// ------------------------------------------------------------------------------ changes, one lane

EPLB_FN void add_load(const Arrangement& state, int at, int amount) {
  state.load[at] += amount;
  state.excess[at] += amount;
}
// Of what the place has in a window; in each.
EPLB_FN void add_size(const Arrangement& state, int t, int place, int sign) {
  add_load(state, t * state.stride + state.gpu[place], sign * state.size[t * state.places + place]);
}
EPLB_FN void add_sizes(const Arrangement& state, int place, int sign) {
  for (int t = 0; t < state.windows; ++t) add_size(state, t, place, sign);
}
EPLB_FN bool has_others(const Arrangement& state, int e) {
  return state.is_expert(e) && state.copies[e] > 1;
}
EPLB_FN void show_size(const Arrangement& state, int t, int place) {
  const int e = state.expert[place], at = t * state.places + place, kind = t * state.kinds() + e;
  const int share = state.share[kind];
  state.size[at] = share;
  state.growth[at] = has_others(state, e) ? state.weight[kind] / (state.copies[e] - 1) - share : 0;
}
EPLB_FN void show_burden(const Arrangement& state, int place) {
  const int e = state.expert[place];
  state.burden[place] = has_others(state, e) || e == state.void_expert() ? 0 : kLastCopy;
}
EPLB_FN void show_sizes(const Arrangement& state, int place) {
  for (int t = 0; t < state.windows; ++t) show_size(state, t, place);
  show_burden(state, place);
}
// A load or a time as it counts in a window.
EPLB_FN int in_window(const Arrangement& state, int t, int load) {
  return static_cast<int>(int64_t{load} * state.window_share[t] / kWindowShare);
}
// How much an expert with this number of copies is oversized, over all windows.
EPLB_FN int oversize(const Arrangement& state, int e, int copies) {
  int sum = 0;
  for (int t = 0; copies > 0 && t < state.windows; ++t) {
    const int most = in_window(state, t, state.largest_share);
    sum += copies * larger(0, state.weight[t * state.kinds() + e] / copies - most);
  }
  return kOversizeFactor * sum;
}
EPLB_FN void set_priced_copies(const Arrangement& state, int e, int copies) {
  const Prices& prices = state.prices;
  prices.share[e] = copies > 0 ? prices.weight[e] / copies : 0;
  prices.share_more[e] = prices.weight[e] / (copies + 1);
  const int now = oversize(state, e, copies);
  prices.split[e] = now - oversize(state, e, copies + 1);
  prices.merged[e] = copies > 1 ? oversize(state, e, copies - 1) - now : 0;
}
EPLB_FN void set_copies(const Arrangement& state, int e, int copies) {
  const int before = state.copies[e];
  if (state.priced) set_priced_copies(state, e, copies);
  state.copies[e] = copies;
  for (int t = 0; t < state.windows; ++t) {
    const int kind = t * state.kinds() + e;
    state.share[kind] = copies > 0 ? state.weight[kind] / copies : 0;
    state.share_more[kind] = state.weight[kind] / (copies + 1);
  }
  int& listed = state.totals[0].replicated;
  if (before <= 1 && copies > 1) {
    state.position[e] = listed;
    state.replicated[listed++] = e;
  } else if (before > 1 && copies <= 1) {
    const int last = state.replicated[--listed], at = state.position[e];
    state.replicated[at] = last;
    state.position[last] = at;
  }
}
EPLB_FN void add_to_ring(const Arrangement& state, int e, int place) {
  const int after = state.any_place[e];
  state.any_place[e] = place;
  if (after < 0) {
    state.next[place] = state.previous[place] = place;
    return;
  }
  const int before = state.previous[after];
  state.next[place] = after;
  state.previous[place] = before;
  state.next[before] = state.previous[after] = place;
}
EPLB_FN void take_from_ring(const Arrangement& state, int e, int place) {
  const int after = state.next[place], before = state.previous[place];
  state.next[before] = after;
  state.previous[after] = before;
  if (state.any_place[e] == place) state.any_place[e] = after == place ? -1 : after;
}
// What an expert's load costs in a place.
EPLB_FN int price_of(const Arrangement& state, int place, int e) {
  return state.prices.price[state.prices.first[state.gpu[place]] + e];
}
// Of the load of a place.
EPLB_FN void pay(const Arrangement& state, int place, int sign) {
  const Prices& prices = state.prices;
  const int e = state.expert[place], price = sign * prices.here[place];
  prices.away[e] += price;
  state.totals[0].cost += price * prices.share[e];
}
EPLB_FN void leave(const Arrangement& state, int place) {
  const int e = state.expert[place], g = state.gpu[place];
  if (e == state.wall()) return;
  if (state.priced) pay(state, place, -1);
  take_from_ring(state, e, place);
  state.totals[0].empty -= !state.is_expert(e);
  state.totals[0].moves -= state.is_new[place];
  state.arrivals[g] -= state.is_new[place];
  add_sizes(state, place, -1);
}
// All but its sizes.
EPLB_FN void enter_without_load(const Arrangement& state, int place, int e) {
  const int g = state.gpu[place];
  state.expert[place] = e;
  show_burden(state, place);
  state.is_new[place] = state.is_expert(e) && !held_before(state, g, e);
  if (state.priced) state.prices.here[place] = price_of(state, place, e);
  if (e == state.wall()) return;
  if (state.priced) pay(state, place, 1);
  add_to_ring(state, e, place);
  state.totals[0].empty += !state.is_expert(e);
  state.totals[0].moves += state.is_new[place];
  state.arrivals[g] += state.is_new[place];
}
EPLB_FN void enter(const Arrangement& state, int place, int e) {
  enter_without_load(state, place, e);
  for (int t = 0; t < state.windows; ++t) {
    show_size(state, t, place);
    add_size(state, t, place, 1);
  }
}
// Calls f(place) for the places of an expert.
EPLB_FN void for_each_place(const Arrangement& state, int e, auto f) {
  const int first = state.any_place[e];
  if (first < 0) return;
  int place = first;
  do {
    const int after = state.next[place];
    f(place);
    place = after;
  } while (place != first);
}
EPLB_FN void recount(const Arrangement& state, int e, int change) {
  if (!state.is_expert(e)) return;
  if (state.priced) state.totals[0].cost -= state.prices.away[e] * state.prices.share[e];
  set_copies(state, e, state.copies[e] + change);
  if (state.priced) state.totals[0].cost += state.prices.away[e] * state.prices.share[e];
  for_each_place(state, e, [&](int place) {
    add_sizes(state, place, -1);
    show_sizes(state, place);
    add_sizes(state, place, 1);
  });
}
EPLB_FN void swap_places(const Arrangement& state, int one, int other) {
  const int e = state.expert[one], f = state.expert[other];
  leave(state, one);
  leave(state, other);
  enter(state, one, f);
  enter(state, other, e);
}
EPLB_FN void retarget_place(const Arrangement& state, int place, int e) {
  const int before = state.expert[place];
  leave(state, place);
  recount(state, before, -1);
  recount(state, e, 1);
  enter(state, place, e);
}

EPLB_STAGE_END
