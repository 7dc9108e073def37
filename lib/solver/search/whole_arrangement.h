// What follows from all of an arrangement, and what is asked of it as a whole: limits, excess,
// times.
#pragma once

#include "solver/layer/quantise.h"
#include "solver/search/arrangement.h"

EPLB_STAGE_BEGIN

EPLB_FN int place_of_slot(const Arrangement& state, int slot) {
  return slot % state.rows * state.stride + slot / state.rows;
}

EPLB_FN void count_copies(const Arrangement& state) {
  for (int e = 0; e < state.kinds(); ++e) {
    state.any_place[e] = -1;
    state.copies[e] = 0;
    if (state.priced) state.prices.away[e] = 0;
  }
  for (int place = 0; place < state.places; ++place) ++state.copies[state.expert[place]];
  for (int e = 0; e < state.kinds(); ++e) {
    const int copies = state.copies[e];
    state.copies[e] = 0;
    set_copies(state, e, state.is_expert(e) ? copies : 1);
  }
  // Nothing is lost when an empty slot gets an expert.
  state.copies[state.void_expert()] = kNever;
}
// Does a GPU have an expert twice? By one lane.
EPLB_FN bool has_copies_together(const Arrangement& state) {
  const View<int> seen = state.peak;  // by GPU: the last expert
  bool together = false;
  for (int g = 0; g < state.stride; ++g) seen[g] = -1;
  for (int i = 0; i < state.totals[0].replicated && !together; ++i) {
    const int e = state.replicated[i];
    for_each_place(state, e, [&](int place) {
      together |= seen[state.gpu[place]] == e;
      seen[state.gpu[place]] = e;
    });
  }
  return together;
}
// Derives all that follows from where the experts are: by one lane.
EPLB_ONCE void derive_all(const Arrangement& state) {
  state.totals[0] = {};
  const int loads = state.windows * state.stride;
  for (int i = 0; i < loads; ++i) state.load[i] = state.excess[i] = 0;
  for (int g = 0; g < state.stride; ++g) state.arrivals[g] = 0;
  count_copies(state);
  for (int place = 0; place < state.places; ++place)
    enter_without_load(state, place, state.expert[place]);
  for (int t = 0; t < state.windows; ++t)
    for (int place = 0; place < state.places; ++place) {
      show_size(state, t, place);
      add_size(state, t, place, 1);
    }
  for (int i = 0; i < loads; ++i) state.excess[i] = state.load[i] - state.limit[i];
  state.totals[0].together = has_copies_together(state);
}

// Loads should be at most `most` on a GPU of the highest pace, and less in proportion on others.
// No load is above kQuantaLimit.
EPLB_FN void aim(Team auto& team, const Arrangement& state, const Cluster& cluster, int64_t most) {
  team.for_each(state.windows * state.stride, [&](int i) {
    const int g = i % state.stride, share = g < state.gpus ? pace(cluster, g) : kFastest;
    const int64_t limit = most * share / kFastest, any = kQuantaLimit - 1;
    state.limit[i] =
        in_window(state, i / state.stride, static_cast<int>(limit < any ? limit : any));
    state.excess[i] = state.load[i] - state.limit[i];
  });
}

EPLB_FN int largest_number_of_arrivals(Team auto& team, const Arrangement& state) {
  const View<int> arrivals = state.arrivals;
  return team.max(0, state.stride, [=](auto g) { return arrivals[g]; });
}
EPLB_FN int total_excess(Team auto& team, const Arrangement& state) {
  return team.sum(0, state.windows * state.stride,
                  [=](auto i) { return larger(state.excess[i], 0); });
}
// What is above the limits of GPUs, in the window in which it is most.
EPLB_FN View<int> peaks(Team auto& team, const Arrangement& state) {
  if (state.windows == 1) return state.excess;
  const View<int> excess = state.excess, peak = state.peak;
  team.sweep(state.stride, [=](auto g) {
    auto most = excess[g];
    for (int t = 1; t < state.windows; ++t) most = larger(most, excess.from(t * state.stride)[g]);
    peak.set(g, most);
  });
  return peak;
}
// The largest load of all windows, as it would be on a GPU of the highest pace and in a window that
// matters all it can, rounded up; at most kLongest, for a GPU may be very slow.
inline constexpr int64_t kLongest = int64_t{1} << 30;
EPLB_FN int as_time(int64_t time) { return static_cast<int>(time < kLongest ? time : kLongest); }
EPLB_FN int64_t full_load(const Arrangement& state, int t, int64_t load) {
  const int64_t share = state.window_share[t];
  return share == kWindowShare ? load : (load * kWindowShare + share - 1) / share;
}
EPLB_FN int largest_time(Team auto& team, const Arrangement& state, const Cluster& cluster) {
  const int loads = state.windows * state.stride;
  if (!cluster.gpu_pace && state.same_shares)
    return team.max(0, loads, [=](auto i) { return state.load[i]; });
  const int64_t longest = team.max_of(loads, [&](int i) {
    const int g = i % state.stride;
    const int64_t share = g < state.gpus ? pace(cluster, g) : kFastest;
    return (full_load(state, i / state.stride, state.load[i]) * kFastest + share - 1) / share;
  });
  return as_time(longest);
}

EPLB_STAGE_END
