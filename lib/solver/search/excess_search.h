// Descents that take away excess, and what undoes them: ruins, from which the next descent starts.
#pragma once

#include "solver/search/excess_step.h"
#include "solver/team/random.h"

EPLB_STAGE_BEGIN

struct ExcessSearch {
  Cluster cluster;
  Arrangement state;
  ExcessWorkspace workspace;
  View<int> picked;   // by place, scratch
  View<int> missing;  // by row, scratch
  View<int> due;      // by GPU, scratch; where load has a price
  ChanceBuffer chance;
  uint32_t drawn = 0;
  int budget = 0;              // of moves
  bool counts_moves = true;    // do moves cost something?
  int urgency = kMostUrgency;  // what excess costs where load has a price
  int64_t looks = kNever64;    // that are left: a search ends when they are used up

  struct Entry {
    int kind, place, other, before;
  };
  View<Entry> log;  // changes since the last state that was kept
  int logged = 0;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    state.lay_out(arena, problem);
    workspace.lay_out(arena, state);
    picked = arena.take<int>(state.places);
    missing = arena.take<int>(state.rows);
    due = arena.take<int>(state.priced ? state.stride : 0);
    chance.lay_out(arena);
    log = arena.take<Entry>(most_logged());
  }
  // Every step takes excess away, so a descent ends by itself: after far fewer than these.
  EPLB_FN int most_steps() const { return 1024 + 4 * state.rows * state.gpus; }
  EPLB_FN int most_logged() const { return most_steps() + 64; }
  // What is looked at one by one takes as long as this number of candidates in vectors: few where
  // all is in caches, as it is for models.
  EPLB_FN int slow() const {
    constexpr int kLeast = 2, kMost = 256, kInCaches = 1 << 13, kFewWindows = 8;
    const int times = larger(state.windows, kFewWindows) * state.places / kInCaches;
    return smaller(larger(times, kLeast), kMost);
  }
  // What is looked at in vectors counts more where it is not in caches, and where load has a price.
  EPLB_FN int wide() const {
    constexpr int kInCaches = 1 << 16;
    return (int64_t{state.windows} * state.places > kInCaches ? 2 : 1) * (state.priced ? 2 : 1);
  }
  // Before a change of any GPU is looked for.
  EPLB_FN int64_t looks_to_weigh() const { return int64_t{slow()} * state.windows * state.places; }
  // The candidates that a GPU's best change is chosen from, and what its experts' other GPUs hold.
  EPLB_FN int64_t looks_at_head(int g) const {
    int64_t hosts = 0;
    for (int row = 0; row < state.rows; ++row) {
      const int e = state.expert[row * state.stride + g];
      if (state.is_expert(e)) hosts += state.copies[e];
    }
    const int64_t once = 2 * (slow() * hosts + state.places) + state.kinds();
    return wide() * once * state.windows * state.rows;
  }
  // Uses up looks. False if there are too few: then none are left.
  EPLB_FN bool affords(int64_t amount) {
    looks = amount < looks ? looks - amount : 0;
    return looks > 0;
  }
  EPLB_FN bool is_over(const Team auto& team) const { return looks <= 0 || team.stopped(); }
  EPLB_FN uint32_t draw(Team auto& team) { return chance(team, drawn++); }
  // Without limits; weights and experts come next. Copies of an expert are on different GPUs.
  EPLB_FN void begin(Team auto& team, int most_replicas, const Chance& of) {
    state.most_copies = smaller(open_gpus(cluster), most_replicas);
    state.same_shares = true;
    team.for_each(state.windows, [&](int t) { state.window_share[t] = kWindowShare; });
    state.most_arrivals = budget = kNever;
    state.most_empty = 0;
    drawn = 0;
    chance.begin(team, of);
    team.for_each(state.windows * state.kinds(), [&](int i) { state.weight[i] = 0; });
    team.for_each(state.kinds(), [&](int e) { state.home[e] = -1; });
    begin_steps(team, state, workspace);
    team.for_each(state.windows * state.stride, [&](int i) { state.load[i] = 0; });
    aim(team, state, cluster, 0);
  }
};

EPLB_FN void apply(Team auto& team, ExcessSearch& search, Change change) {
  const Arrangement& state = search.state;
  const int before = state.expert[change.place], end = search.logged;
  team.barrier();
  team.single([&] {
    search.log[end] = {change.kind, change.place, change.other, before};
    if (change.kind == Change::kSwap)
      swap_places(state, change.place, change.other);
    else
      retarget_place(state, change.place, change.other);
  });
  search.logged = end + 1;
}
EPLB_FN void keep(ExcessSearch& search) { search.logged = 0; }
EPLB_ONCE void undo(Team auto& team, ExcessSearch& search) {
  const Arrangement& state = search.state;
  const int end = search.logged;
  team.barrier();
  team.single([&] {
    for (int i = end - 1; i >= 0; --i) {
      const ExcessSearch::Entry& entry = search.log[i];
      if (entry.kind == Change::kSwap)
        swap_places(state, entry.place, entry.other);
      else
        retarget_place(state, entry.place, entry.before);
    }
  });
  search.logged = 0;
}

// The GPU with the most excess after `before`, if any has some: by (peak descending, GPU).
struct Head {
  int gpu, excess;
};
EPLB_FN Head first_head(Team auto& team, const Arrangement& state, View<int> peak) {
  const MinMax range = team.min_max(state.stride, [=](auto g) { return peak[g]; });
  return {range.first_max, range.max};
}
EPLB_FN Head first_head(Team auto& team, const Arrangement& state) {
  return first_head(team, state, peaks(team, state));
}
EPLB_FN Head next_head(Team auto& team, const Arrangement& state, View<int> peak, Head before) {
  const int same = before.gpu + 1 + team.find(0, state.gpus - before.gpu - 1, [=](auto g) {
    return peak.from(before.gpu + 1)[g] == before.excess;
  });
  if (same < state.gpus) return {same, before.excess};
  const int less = team.max(
      0, state.stride, [=](auto g) { return choose(peak[g] < before.excess, peak[g], -kNever); });
  return {team.find(0, state.stride, [=](auto g) { return peak[g] == less; }), less};
}

// Each form is a function of its own for compilers for devices.
EPLB_ONCE Change best_at(Team auto& team, auto& step, int candidates, int head) {
  return step.best(team, candidates, head);
}
// Calls use(step) with the form of ExcessStep that a search needs. With prices there are two only,
// the plainest and the one that can do everything: each takes compilers for devices long.
template <bool kCapped, bool kMany, bool kPriced>
EPLB_FN auto step_of(const ExcessSearch& search, const StepRules& rules) {
  return ExcessStep<kCapped, kMany, kPriced>(search.state, search.cluster, search.workspace, rules);
}
EPLB_FN auto with_priced_step(const ExcessSearch& search, const StepRules& rules, auto use) {
  const Arrangement& state = search.state;
  return state.most_arrivals < state.rows || state.windows > 1
             ? use(step_of<true, true, true>(search, rules))
             : use(step_of<false, false, true>(search, rules));
}
EPLB_FN auto with_step(const ExcessSearch& search, const StepRules& rules, auto use) {
  const Arrangement& state = search.state;
  const bool capped = state.most_arrivals < state.rows;
  if (state.priced) return with_priced_step(search, rules, use);
  if (state.windows > 1)
    return capped ? use(step_of<true, true, false>(search, rules))
                  : use(step_of<false, true, false>(search, rules));
  return capped ? use(step_of<true, false, false>(search, rules))
                : use(step_of<false, false, false>(search, rules));
}

EPLB_FN StepRules rules_of(const ExcessSearch& search, uint32_t salt) {
  return {search.budget, search.counts_moves, salt, search.urgency};
}

// One change at the head or, if it has none, at the next of `heads` GPUs. False if none of them
// has one, or no GPU has excess.
EPLB_ONCE bool step(Team auto& team, ExcessSearch& search, uint32_t salt, int heads) {
  const Arrangement& state = search.state;
  const View<int> peak = peaks(team, state);
  const StepRules rules = rules_of(search, salt);
  const Head first = first_head(team, state, peak);
  if (first.excess <= 0 || !search.affords(search.looks_to_weigh())) return false;
  const Change change = with_step(search, rules, [&](auto step) EPLB_INLINE {
    const int candidates = step.weigh(team);
    int left = heads;
    for (Head head = first; head.excess > 0 && left > 0 && !team.stopped() &&
                            search.affords(search.looks_at_head(head.gpu));
         --left) {
      const Change best = best_at(team, step, candidates, head.gpu);
      if (best.kind != Change::kNone) return best;
      head = next_head(team, state, peak, head);
    }
    return Change{};
  });
  if (change.kind != Change::kNone) apply(team, search, change);
  return change.kind != Change::kNone;
}

// At most `most` of them, or as many as the log holds.
EPLB_FN void make_steps(Team auto& team, ExcessSearch& search, uint32_t salt, int heads, int most) {
  const int end = smaller(search.most_steps(), search.logged + most);
  while (search.logged < end && step(team, search, salt, heads)) {
  }
}
// Returns whether no GPU has excess any more.
EPLB_FN bool descend(Team auto& team, ExcessSearch& search, uint32_t salt, int heads) {
  make_steps(team, search, salt, heads, search.most_steps());
  return first_head(team, search.state).excess <= 0;
}

// --------------------------------------------------------------------------------------------
// ruins

EPLB_FN bool may_swap(const ExcessSearch& search, int one, int other) {
  const Arrangement& state = search.state;
  const int e = state.expert[one], f = state.expert[other];
  const int g = state.gpu[one], h = state.gpu[other];
  auto may_go = [&](int expert, int gpu) {
    return !state.is_expert(expert) ||
           (!holds(state, gpu, expert) && may_hold(state, search.cluster, gpu, expert));
  };
  return g != h && e != f && e != state.wall() && f != state.wall() && may_go(e, h) && may_go(f, g);
}
EPLB_FN bool may_retarget(const ExcessSearch& search, int place, int e) {
  const Arrangement& state = search.state;
  const int before = state.expert[place], g = state.gpu[place];
  if (before == e || before == state.wall() || state.copies[before] <= 1) return false;
  if (!state.is_expert(e)) return state.totals[0].empty < state.most_empty;
  return state.copies[e] < state.most_copies && !holds(state, g, e) &&
         may_hold(state, search.cluster, g, e);
}

EPLB_FN int place_of_draw(const Arrangement& state, uint32_t random) {
  const int slot = below(random, state.rows * state.gpus);
  return slot / state.gpus * state.stride + slot % state.gpus;
}

// An expert of the busiest GPU gets one copy more somewhere, or changes places with another: both
// are drawn.
EPLB_FN bool shake_head(Team auto& team, ExcessSearch& search) {
  constexpr int kTries = 8;
  const Arrangement& state = search.state;
  const Head head = first_head(team, state);
  if (head.excess <= 0) return false;
  for (int i = 0; i < kTries; ++i) {
    const uint32_t random = search.draw(team);
    const int place = below(random, state.rows) * state.stride + head.gpu;
    const int other = place_of_draw(state, search.draw(team)), e = state.expert[place];
    const bool splits = random & 1;
    if (splits ? !state.is_expert(e) || !may_retarget(search, other, e)
               : !may_swap(search, place, other))
      continue;
    apply(team, search,
          splits ? Change{Change::kRetarget, other, e} : Change{Change::kSwap, place, other});
    return true;
  }
  return false;
}

// A random change.
EPLB_FN void shake(Team auto& team, ExcessSearch& search) {
  constexpr int kTries = 16;
  const Arrangement& state = search.state;
  for (int i = 0; i < kTries; ++i) {
    const uint32_t random = search.draw(team);
    const int place = place_of_draw(state, random), e = state.expert[place];
    const int other = place_of_draw(state, search.draw(team));
    const bool splits = random & 1;
    if (splits ? !state.is_expert(e) || !may_retarget(search, other, e)
               : !may_swap(search, place, other))
      continue;
    return apply(
        team, search,
        splits ? Change{Change::kRetarget, other, e} : Change{Change::kSwap, place, other});
  }
}

// An expert that the GPU has lost, drawn from all of them; the void if there is none.
EPLB_FN int lost_by(Team auto& team, const ExcessSearch& search, int g, uint32_t random) {
  const Arrangement& state = search.state;
  const View<int> was = state.was_on(g);
  const int lost = team.pick(state.rows, search.missing,
                             [&](int row) { return was[row] >= 0 && !holds(state, g, was[row]); });
  return lost > 0 ? was[search.missing[below(random, lost)]] : state.void_expert();
}

// The first place with a move, of `moves` in `picked`, to which the last copy of an expert, in
// `place`, can go back: its GPU had it; the expert there goes to `place` if it is `lost`, else it
// has other copies. -1 if there is none.
EPLB_FN int way_back(Team auto& team, const ExcessSearch& search, int moves, int place, int lost) {
  const Arrangement& state = search.state;
  const int e = state.expert[place];
  const int found = team.find_of(moves, [&](int i) {
    const int other = search.picked[i], g = state.gpu[other];
    if (g == state.gpu[place] || !held_before(state, g, e)) return false;
    return state.expert[other] == lost ? may_swap(search, place, other)
                                       : may_retarget(search, other, e);
  });
  return found < moves ? search.picked[found] : -1;
}

EPLB_FN void retarget_if_allowed(Team auto& team, ExcessSearch& search, int place, int e) {
  if (may_retarget(search, place, e)) apply(team, search, {Change::kRetarget, place, e});
}

// One move is taken back, drawn from all of them: the slot gets what its GPU has lost. If that
// would lose an expert its last copy, this one first goes back to a GPU that had it.
EPLB_ONCE void take_back(Team auto& team, ExcessSearch& search) {
  const Arrangement& state = search.state;
  const int moves =
      team.pick(state.places, search.picked, [&](int place) { return state.is_new[place] != 0; });
  if (moves == 0) return;
  const int place = search.picked[below(search.draw(team), moves)], e = state.expert[place];
  const int lost = lost_by(team, search, state.gpu[place], search.draw(team));
  if (state.copies[e] > 1) return retarget_if_allowed(team, search, place, lost);
  const int other = way_back(team, search, moves, place, lost);
  if (other < 0) return;
  if (state.expert[other] == lost) return apply(team, search, {Change::kSwap, place, other});
  apply(team, search, {Change::kRetarget, other, e});
  retarget_if_allowed(team, search, place, lost);
}

EPLB_STAGE_END
