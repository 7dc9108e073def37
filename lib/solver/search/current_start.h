// The arrangement that a search starts from: the current placement, as far as its slots are still
// there, and the experts that are nowhere on it.
#pragma once

#include "solver/search/excess_search.h"

EPLB_STAGE_BEGIN

// Calls visit(e, g) for every pair of the current placement once. By one lane.
EPLB_FN void for_each_pair(const Arrangement& state, auto visit) {
  const View<int> last_gpu = state.position;
  for (int e = 0; e < state.experts; ++e) last_gpu[e] = -1;
  for (int slot = 0; slot < state.rows * state.gpus; ++slot) {
    const int e = state.was[slot], g = slot / state.rows;
    if (e < 0 || last_gpu[e] == g) continue;
    last_gpu[e] = g;
    visit(e, g);
  }
}
// Sets what the current placement is, current[slot], and who held what; null: there is none.
EPLB_FN void remember_current(Team auto& team, const Arrangement& state, const int* current) {
  team.for_each(state.rows * state.gpus,
                [&](int slot) { state.was[slot] = current ? current[slot] : -1; });
  const View<int> first = state.first_was;
  team.single([&] {
    for (int e = 0; e <= state.experts; ++e) first[e] = 0;
    for_each_pair(state, [&](int e, int) { ++first[e + 1]; });
    for (int e = 0; e < state.experts; ++e) first[e + 1] += first[e];
    for_each_pair(state, [&](int e, int g) { state.held[first[e]++] = g; });
    for (int e = state.experts; e > 0; --e) first[e] = first[e - 1];
    first[0] = 0;
  });
}

// What a GPU keeps of what it had. An expert keeps its slot if that is still one.
class KeptExperts {
 public:
  EPLB_FN KeptExperts(const ExcessSearch& search, View<int> pairs)
      : search_(search), state_(search.state), pairs_(pairs), seen_(search.state.position) {}

  // By one lane.
  EPLB_FN void place_all() const {
    for (int e = 0; e < state_.experts; ++e) pairs_[e] = 0;
    for_each_pair(state_, [&](int e, int g) {
      if (may_hold(state_, search_.cluster, g, e)) ++pairs_[e];
    });
    for (int e = 0; e < state_.experts; ++e) seen_[e] = -1;
    for (int g = 0; g < state_.gpus; ++g) place_on(g);
  }

 private:
  // At its first slot on a GPU.
  EPLB_FN bool is_kept(int g, int e) const {
    if (e < 0 || seen_[e] == g || !may_hold(state_, search_.cluster, g, e)) return false;
    seen_[e] = g;
    return true;
  }
  // Experts that others have go first, the lightest replica of them first; ties: lowest row.
  EPLB_FN bool goes_before(int e, int f) const {
    const bool has_others = pairs_[e] > 1, other_has = pairs_[f] > 1;
    if (has_others != other_has) return has_others;
    return total_weight(state_, e) / pairs_[e] < total_weight(state_, f) / pairs_[f];
  }
  EPLB_FN void drop_one() const {
    int dropped = -1;
    for (int row = 0; row < state_.rows; ++row) {
      const int e = search_.missing[row];
      if (e >= 0 && (dropped < 0 || goes_before(e, search_.missing[dropped]))) dropped = row;
    }
    drop(dropped);
  }
  EPLB_FN void drop(int row) const {
    --pairs_[search_.missing[row]];
    search_.missing[row] = -1;
  }
  // Where there are far more than models have, the last ones go.
  EPLB_FN void drop_some(int count) const {
    constexpr int64_t kMostLooks = int64_t{1} << 24;
    if (int64_t{count} * state_.rows <= kMostLooks) {
      for (; count > 0; --count) drop_one();
      return;
    }
    for (int row = state_.rows - 1; count > 0; --row) {
      if (search_.missing[row] < 0) continue;
      drop(row);
      --count;
    }
  }
  // As many as have room; the rows of those that are left are open.
  EPLB_FN void choose_kept(int g, int open) const {
    const View<int> kept = search_.missing, was = state_.was_on(g);
    int left = -open;
    for (int row = 0; row < state_.rows; ++row) {
      const bool is_one = is_kept(g, was[row]);
      kept[row] = is_one ? was[row] : -1;
      left += is_one;
    }
    drop_some(left);
    for (int row = open, free = 0; row < state_.rows; ++row) {
      if (kept[row] < 0) continue;
      while (kept[free] >= 0) ++free;
      kept[free] = kept[row];
    }
  }
  EPLB_FN void place_on(int g) const {
    const int open = open_slots(search_.cluster, g);
    const View<int> kept = search_.missing, was = state_.was_on(g);
    choose_kept(g, open);
    const int here = state_.gpus + g;
    for (int row = 0; row < open; ++row)
      if (kept[row] >= 0) seen_[kept[row]] = here;
    for (int row = 0; row < open; ++row) {
      const bool is_copy = kept[row] < 0 && was[row] >= 0 && seen_[was[row]] == here;
      const int e = is_copy ? was[row] : kept[row];
      state_.expert[row * state_.stride + g] = e >= 0 ? e : state_.void_expert();
    }
  }

  const ExcessSearch& search_;
  const Arrangement& state_;
  View<int> pairs_;  // by expert: GPUs that hold it
  View<int> seen_;   // by expert: the last GPU that had it; gpus more once it is kept there
};

EPLB_FN void clear_places(Team auto& team, const Arrangement& state) {
  team.for_each(state.places, [&](int place) {
    state.expert[place] = state.wall();
    state.gpu[place] = place % state.stride;
  });
}
EPLB_FN void place_current(Team auto& team, const ExcessSearch& search) {
  const Arrangement& state = search.state;
  clear_places(team, state);
  team.single([&] {
    KeptExperts(search, search.workspace.relief).place_all();
    derive_all(state);
  });
}

// What is in each slot, -1 for nothing.
EPLB_FN void read_slots(Team auto& team, const Arrangement& state, View<int> slots) {
  team.for_each(state.rows * state.gpus, [&](int slot) {
    const int e = state.expert[place_of_slot(state, slot)];
    slots[slot] = state.is_expert(e) ? e : -1;
  });
}

// A placement that knows of no other: nothing was anywhere. expert[slot]: -1 for a closed slot.
EPLB_FN void place_fresh(Team auto& team, const ExcessSearch& search, View<int> expert) {
  const Arrangement& state = search.state;
  const int slots = state.rows * state.gpus;
  remember_current(team, state, nullptr);
  clear_places(team, state);
  team.for_each(slots, [&](int slot) {
    if (expert[slot] >= 0) state.expert[place_of_slot(state, slot)] = expert[slot];
  });
  team.single([&] { derive_all(state); });
}

// What saved excess is worth less what the first copy of an expert costs at a candidate.
template <bool kPriced> struct CopyWorth {
  View<int> cost, gpu, price, first;
  int weight;

  EPLB_FN CopyWorth(const ExcessSearch& search, int e)
      : cost(search.workspace.candidates.cost),
        gpu(search.workspace.candidates.gpu),
        price(kPriced ? search.state.prices.price.from(e) : View<int>{}),
        first(search.state.prices.first),
        weight(kPriced ? search.state.prices.weight[e] : 0) {}
  EPLB_INLINE EPLB_FN auto operator()(auto saved, auto i) const {
    if constexpr (kPriced)
      return smaller(larger(saved, -kMostGain), kMostGain) * kMostUrgency - cost[i] -
             price[first[gpu[i]]] * weight;
    else
      return saved;
  }
};
// What a place is worth to an expert that is nowhere: f(auto candidate).
template <bool kPriced> EPLB_FN auto saved_for(const ExcessSearch& search, int e, int most) {
  const Arrangement& state = search.state;
  return [=, list = search.workspace.candidates, mark = search.workspace.mark,
          arrivals = state.arrivals, weight = state.weight.from(e), kinds = state.kinds(),
          windows = state.windows, worth = CopyWorth<kPriced>(search, e)](auto i) {
    auto saved = list.saved[i];
    for (int t = 0; t < windows; ++t)
      saved = saved - larger(list.rest.from(t * list.most)[i] + weight[t * kinds], 0);
    const auto forbidden = (mark[list.gpu[i]] >= kForbidden) | (arrivals[list.gpu[i]] >= most);
    return choose(forbidden, -kNever, worth(saved, i));
  };
}
// The place where such an expert costs least, in excess and prices: an empty slot, or that of a
// replica whose expert has others; ties: lowest place. -1 if no GPU may receive more.
template <bool kPriced>
EPLB_FN int cheapest_place_if(Team auto& team, const ExcessSearch& search, int e, int most) {
  const Arrangement& state = search.state;
  const int candidates = weigh_copies<true, kPriced>(team, state, search.workspace);
  mark_gpus(team, state, search.cluster, search.workspace, e);
  const auto saved = saved_for<kPriced>(search, e, most);
  const int best = team.max(0, candidates, saved);
  if (best == -kNever) return -1;
  return team.min(0, candidates, [=, place = search.workspace.candidates.place](auto i) {
    return choose(saved(i) == best, place[i], kNever);
  });
}

EPLB_FN int cheapest_place(Team auto& team, const ExcessSearch& search, int e, int most) {
  return search.state.priced ? cheapest_place_if<true>(team, search, e, most)
                             : cheapest_place_if<false>(team, search, e, most);
}

// Places for experts that are nowhere, where looking for the best takes too long: the first ones in
// the order of rows that are empty, or whose expert has others.
class FirstPlaces {
 public:
  EPLB_FN explicit FirstPlaces(const ExcessSearch& search)
      : cluster_(search.cluster), state_(search.state), next_(search.state.peak) {}

  // By one lane.
  EPLB_FN void fill() const {
    for (int node = 0; node < state_.gpus; ++node) next_[node] = 0;
    for (int e = 0; e < state_.experts; ++e)
      if (state_.copies[e] == 0) give_place(e);
    derive_all(state_);
  }

 private:
  // Places that had no room once have none later.
  EPLB_FN void give_place(int e) const {
    const int home = state_.home[e], node = larger(home, 0);
    const int gpus = home < 0 ? state_.gpus : state_.gpus / cluster_.nodes;
    while (!is_free(place_of(next_[node], node * gpus, gpus))) ++next_[node];
    const int place = place_of(next_[node]++, node * gpus, gpus), before = state_.expert[place];
    if (state_.is_expert(before)) --state_.copies[before];
    state_.expert[place] = e;
    state_.copies[e] = 1;
  }
  EPLB_FN int place_of(int number, int first_gpu, int gpus) const {
    return number / gpus * state_.stride + first_gpu + number % gpus;
  }
  EPLB_FN bool is_free(int place) const {
    const int e = state_.expert[place];
    return e == state_.void_expert() || (state_.is_expert(e) && state_.copies[e] > 1);
  }

  const Cluster& cluster_;
  const Arrangement& state_;
  View<int> next_;  // by node: how many of its places have been looked at
};

// Are there looks enough to compare the places of these?
EPLB_FN bool affords_places(ExcessSearch& search, int64_t experts) {
  const int64_t looks_of_one =
      search.looks_to_weigh() + int64_t{search.slow()} * search.state.experts;
  return experts == 0 || search.affords(experts * looks_of_one);
}
// Returns whether the limit on arrivals is kept.
EPLB_FN bool create_quickly(Team auto& team, ExcessSearch& search) {
  team.single([&] { FirstPlaces(search).fill(); });
  keep(search);
  return largest_number_of_arrivals(team, search.state) <= search.state.most_arrivals;
}

// Gives a place to every expert that is nowhere, the heaviest first; ties: lowest expert. False if
// the limit on arrivals had to be exceeded.
EPLB_FN bool create_lost(Team auto& team, ExcessSearch& search) {
  const Arrangement& state = search.state;
  const int64_t lost =
      team.sum_of(state.experts, [&](int e) { return state.copies[e] == 0 ? 1 : 0; });
  if (!affords_places(search, lost)) return create_quickly(team, search);
  auto lost_weight = [&](int e) { return state.copies[e] == 0 ? total_weight(state, e) : -1; };
  bool fits = true;
  for (;;) {
    const int heaviest = team.max_of(state.experts, lost_weight);
    if (heaviest < 0) return fits;
    const int e = team.find_of(state.experts, [&](int i) { return lost_weight(i) == heaviest; });
    int place = cheapest_place(team, search, e, state.most_arrivals);
    fits = fits && place >= 0;
    if (place < 0) place = cheapest_place(team, search, e, kNever);
    apply(team, search, {Change::kRetarget, place, e});
    keep(search);
  }
}

// From the current placement; experts that are nowhere get their places, where they cost least of
// what is above times of `least`. False if that exceeds the limit on arrivals.
EPLB_ONCE bool start_from_current(Team auto& team, ExcessSearch& search, int64_t least,
                                  bool allow_empty) {
  Arrangement& state = search.state;
  aim(team, state, search.cluster, least);
  place_current(team, search);
  state.most_empty = allow_empty ? kNever : state.totals[0].empty;
  keep(search);
  return create_lost(team, search);
}

EPLB_STAGE_END
