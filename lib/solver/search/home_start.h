// A placement to begin with where groups have homes: every expert once, at home; and what empty
// slots get that are left at the end.
#pragma once

#include "solver/search/current_start.h"
#include "solver/search/homes.h"

EPLB_STAGE_BEGIN

// The heaviest expert first, each to the GPU of its home with the least time, so that all GPUs of a
// node hold about equally many. By one lane.
class HomeStart {
 public:
  // order: experts, heaviest first.
  EPLB_FN HomeStart(const NodesAndGroups& of, View<int> order)
      : of_(of),
        state_(of.search.state),
        order_(order),
        held_(of.search.workspace.mark),
        load_(of.search.workspace.over) {}

  // Leaves out what has no room at home.
  EPLB_FN void place_all() const {
    const Cluster& cluster = of_.search.cluster;
    for (int node = 0; node < of_.nodes; ++node) of_.memory.slots[node] = of_.memory.used[node] = 0;
    for (int g = 0; g < state_.gpus; ++g) {
      held_[g] = load_[g] = 0;
      of_.memory.slots[of_.memory.node[g]] += open_slots(cluster, g);
      for (int row = 0; row < open_slots(cluster, g); ++row)
        state_.expert[row * state_.stride + g] = state_.void_expert();
    }
    for (int e = 0; e < state_.experts; ++e) ++of_.memory.used[home_of(e)];
    const bool too_large = int64_t{state_.experts} * state_.gpus > kMostLooks;
    if (too_large) list_gpus();
    for (int i = 0; i < state_.experts; ++i)
      too_large ? place_in_turn(order_[i]) : place(order_[i]);
  }

 private:
  // Beyond, GPUs of a node get experts in turn: models are far smaller.
  static constexpr int64_t kMostLooks = int64_t{1} << 29;

  EPLB_FN int home_of(int e) const {
    return of_.memory.home[group_of(e, state_.experts, of_.groups)];
  }
  EPLB_FN bool has_room(int g, int node) const {
    const int64_t open = open_slots(of_.search.cluster, g), slots = of_.memory.slots[node];
    return held_[g] < open && held_[g] * slots < of_.memory.used[node] * open;
  }
  EPLB_FN int64_t time(int g) const {
    return int64_t{load_[g]} * kFastest / pace(of_.search.cluster, g);
  }
  EPLB_FN void place(int e) const {
    const int node = home_of(e);
    int best = -1;
    for (int g = 0; g < state_.gpus; ++g)
      if (of_.memory.node[g] == node && has_room(g, node) && (best < 0 || time(g) < time(best)))
        best = g;
    if (best < 0) return;
    put(e, best);
  }

  // Those of a node follow each other as a ring; `over` is where a node's turn is, -1 where none
  // has room.
  EPLB_FN void list_gpus() const {
    const View<int> at = of_.memory.over, next = of_.search.due;
    for (int node = 0; node < of_.nodes; ++node) at[node] = -1;
    for (int g = 0; g < state_.gpus; ++g) {
      const int last = at[of_.memory.node[g]];
      next[g] = last < 0 ? g : next[last];
      if (last >= 0) next[last] = g;
      at[of_.memory.node[g]] = g;
    }
  }
  EPLB_FN void place_in_turn(int e) const {
    const View<int> at = of_.memory.over, next = of_.search.due;
    const int node = home_of(e), last = at[node];
    if (last < 0) return;
    int g = next[last];
    while (g != last && !has_room(g, node)) g = next[g];
    at[node] = has_room(g, node) ? g : -1;
    if (at[node] >= 0) put(e, g);
  }
  EPLB_FN void put(int e, int g) const {
    state_.expert[held_[g]++ * state_.stride + g] = e;
    load_[g] += total_weight(state_, e);
  }

  const NodesAndGroups& of_;
  const Arrangement& state_;
  View<int> order_;
  View<int> held_, load_;  // by GPU: experts, and their weight
};

EPLB_ONCE void start_at_home(Team auto& team, ExcessSearch& search, const NodesAndGroups& of) {
  Arrangement& state = search.state;
  clear_places(team, state);
  team.order(state.experts, search.picked,
             [&](int e) { return largest_first(total_weight(state, e)); });
  team.single([&] {
    HomeStart(of, search.picked).place_all();
    derive_all(state);
  });
  state.most_empty = 0;  // what is filled stays so
  keep(search);
  create_lost(team, search);
}

// What it takes to give an expert one more copy, in an empty slot.
struct OneMoreCopy {
  const ExcessSearch& search;
  int place;

  EPLB_FN bool is_possible(int e) const { return may_retarget(search, place, e); }
  // Excess, at its most urgent, and prices.
  EPLB_FN int64_t cost(int e) const {
    const Arrangement& state = search.state;
    const Prices& prices = state.prices;
    int64_t excess = 0;
    for (int t = 0; t < state.windows; ++t) {
      const int kind = t * state.kinds() + e, more = state.share_more[kind];
      const int less = state.share[kind] - more;
      const View<int> over = state.excess.from(t * state.stride);
      for_each_place(state, e, [&](int host) {
        const int there = over[state.gpu[host]];
        excess += larger(there - less, 0) - larger(there, 0);
      });
      const int here = over[state.gpu[place]];
      excess += larger(here + more, 0) - larger(here, 0);
    }
    return kMostUrgency * excess +
           (prices.away[e] + price_of(state, place, e)) * prices.share_more[e] -
           prices.away[e] * prices.share[e];
  }
};
// The expert that costs least in an empty slot; ties: the one with the largest replicas, then the
// lowest. -1 if none can be there.
EPLB_FN int cheapest_copy(Team auto& team, const ExcessSearch& search, int place) {
  const Arrangement& state = search.state;
  const OneMoreCopy copy{search, place};
  const int64_t least = -team.max_of(
      state.experts, [&](int e) { return copy.is_possible(e) ? -copy.cost(e) : -kNever64; });
  if (least == kNever64) return -1;
  auto size_of = [&](int e) {
    return copy.is_possible(e) && copy.cost(e) == least ? state.prices.share[e] : -1;
  };
  const int largest = team.max_of(state.experts, size_of);
  return team.find_of(state.experts, [&](int e) { return size_of(e) == largest; });
}
// While more slots than these are empty, the lowest of them gets the expert that costs least there.
EPLB_ONCE void fill_empty(Team auto& team, ExcessSearch& search, int most) {
  const Arrangement& state = search.state;
  const int64_t looks_of_slot =
      2 * (int64_t{search.slow()} * state.experts + search.looks_to_weigh());
  for (int place = 0; place < state.places && state.totals[0].empty > most; ++place) {
    if (state.expert[place] != state.void_expert()) continue;
    if (!search.affords(looks_of_slot)) return;
    const int e = cheapest_copy(team, search, place);
    if (e < 0) continue;
    apply(team, search, {Change::kRetarget, place, e});
    keep(search);
  }
}
// Empty slots, GPU by GPU: each gets the lightest expert of which its GPU has nothing and which may
// have one more copy, if there is one. By one lane.
class FillApart {
 public:
  // order: experts, lightest first. holder: by expert, scratch.
  EPLB_FN FillApart(const Arrangement& state, View<int> order, View<int> holder)
      : state_(state), order_(order), holder_(holder) {}

  EPLB_FN void fill() {
    for (int e = 0; e < state_.kinds(); ++e) holder_[e] = -1;
    for (int g = 0; g < state_.gpus; ++g) fill_gpu(g);
  }

 private:
  EPLB_FN bool may_grow(int e) const { return state_.copies[e] < state_.most_copies; }
  EPLB_FN void fill_gpu(int g) {
    for (int place = g; place < state_.places; place += state_.stride)
      holder_[state_.expert[place]] = g;
    while (first_ < state_.experts && !may_grow(order_[first_])) ++first_;
    int next = first_;
    for (int place = g; place < state_.places; place += state_.stride) {
      if (state_.expert[place] != state_.void_expert()) continue;
      while (next < state_.experts && (holder_[order_[next]] == g || !may_grow(order_[next])))
        ++next;
      if (next == state_.experts) return;
      const int e = order_[next++];
      state_.expert[place] = e;
      ++state_.copies[e];
    }
  }

  const Arrangement& state_;
  View<int> order_, holder_;
  int first_ = 0;  // in order: all before it have as many copies as they may
};
// Slots that are empty even so: their GPUs hold all experts that may have more copies, or no looks
// were left, and then those get what their GPUs lack. Each of the others gets the lightest expert
// that may have one more copy, next to another copy of it; ties: the lowest.
EPLB_ONCE void fill_what_is_left(Team auto& team, ExcessSearch& search, int most_copies) {
  const Arrangement& state = search.state;
  if (state.totals[0].empty == 0) return;
  const View<int> order = search.picked;
  team.order(state.experts, order,
             [&](int e) { return static_cast<uint64_t>(total_weight(state, e)); });
  team.single([&] {
    if (search.looks <= 0) FillApart(state, order, search.workspace.head_mark).fill();
    for (int place = 0, next = 0; place < state.places; ++place) {
      if (state.expert[place] != state.void_expert()) continue;
      while (state.copies[order[next]] >= most_copies) ++next;
      state.expert[place] = order[next];
      ++state.copies[order[next]];
    }
    derive_all(state);
  });
  keep(search);
}

EPLB_STAGE_END
