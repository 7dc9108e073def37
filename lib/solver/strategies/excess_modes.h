// What a search by excess is asked for: a target with as few moves as possible, or the best
// balance, with a number of moves. Both descend from the start that they are given, and then in
// rounds ruin a little of what they have and descend again.
#pragma once

#include "solver/search/current_start.h"
#include "solver/search/part_copies.h"

EPLB_STAGE_BEGIN

struct ExcessEffort {
  int rounds;              // of ruin and descent
  int missed_rounds;       // at most, while a target is missed
  int later_rounds;        // at least, once it is reached after all
  int window_rounds;       // for the best balance of several windows
  int soft_rounds;         // for groups that stay at home as far as asked
  int soft_missed_rounds;  // at most, while the target is missed
  int proposals;           // of swaps, per slot, where tokens will be split
  int64_t looks;           // at most: binds where problems are far larger than models
};
EPLB_FN ExcessEffort excess_effort(eplb_effort level) {
  switch (level) {
    case EPLB_EFFORT_FAST:
      return {.rounds = 0,
              .missed_rounds = 240,
              .later_rounds = 24,
              .window_rounds = 0,
              .soft_rounds = 0,
              .soft_missed_rounds = 16,
              .proposals = 4,
              .looks = int64_t{1} << 33};
    case EPLB_EFFORT_NORMAL:
      return {.rounds = 200,
              .missed_rounds = 800,
              .later_rounds = 100,
              .window_rounds = 100,
              .soft_rounds = 100,
              .soft_missed_rounds = 200,
              .proposals = 16,
              .looks = int64_t{1} << 36};
    default:
      return {.rounds = 720,
              .missed_rounds = 2880,
              .later_rounds = 360,
              .window_rounds = 300,
              .soft_rounds = 300,
              .soft_missed_rounds = 600,
              .proposals = 64,
              .looks = int64_t{1} << 39};
  }
}

// Changes that a round undoes or makes at random before it descends.
inline constexpr int kMostRuins = 3;
// With one head, a descent ends as soon as the busiest GPU cannot be relieved.
inline constexpr int kOneHead = 1, kAllHeads = kNever;
// Of several windows, others may be relieved.
EPLB_FN int heads_of(const Arrangement& state) { return state.windows > 1 ? kAllHeads : kOneHead; }

// The mean time, in parts of 2^-kTimeBits of a weight's unit. Weights sum to less than 2^29.
inline constexpr int kTimeBits = 8;
EPLB_FN int64_t mean_time(Team auto& team, const Cluster& cluster, const Arrangement& state) {
  int64_t total = 0;
  for (int t = 0; t < state.windows; ++t) {
    const View<int> weight = state.weight.from(t * state.kinds());
    const int64_t sum =
        full_load(state, t, team.sum_of(state.experts, [&](int e) { return int64_t{weight[e]}; }));
    total = total < sum ? sum : total;
  }
  const int64_t total_pace = team.sum_of(cluster.gpus, [&](int g) {
    return open_slots(cluster, g) > 0 ? int64_t{pace(cluster, g)} : int64_t{0};
  });
  static_assert(kFastest == 1 << 16);
  return (total << (16 + kTimeBits)) / total_pace;
}
EPLB_FN int rounded_up(int64_t time) {
  return static_cast<int>((time + (1 << kTimeBits) - 1) >> kTimeBits);
}

// Are the limits kept?
EPLB_FN bool is_within(Team auto& team, const ExcessSearch& search) {
  const Arrangement& state = search.state;
  if (state.moves() > search.budget) return false;
  return largest_number_of_arrivals(team, state) <= state.most_arrivals;
}

EPLB_FN int draw_ruins(Team auto& team, ExcessSearch& search) {
  return 1 + below(search.draw(team), kMostRuins);
}
EPLB_FN void take_some_back(Team auto& team, ExcessSearch& search) {
  for (int left = draw_ruins(team, search); left > 0; --left) take_back(team, search);
}
// Half of the ruins shake the busiest GPU: where descents end above their target.
EPLB_FN void shake_some(Team auto& team, ExcessSearch& search) {
  for (int left = draw_ruins(team, search); left > 0; --left) {
    if ((search.draw(team) & 1) && shake_head(team, search)) continue;
    search.counts_moves ? take_back(team, search) : shake(team, search);
  }
}

// What a target has been reached with.
struct Reached {
  bool all;  // has no GPU excess?
  int moves, excess;

  // Is this as good as `other`, or better?
  EPLB_FN bool replaces(const Reached& other) const {
    if (all != other.all) return all;
    return all ? moves <= other.moves : excess <= other.excess;
  }
};

// A descent after the ruins of a round; round 0 has none.
EPLB_FN Reached reach(Team auto& team, ExcessSearch& search, int round, int heads) {
  const bool all = descend(team, search, static_cast<uint32_t>(round), heads);
  return {all, search.state.moves(), total_excess(team, search.state)};
}
EPLB_FN Reached reach_again(Team auto& team, ExcessSearch& search, const Reached& best, int round) {
  const int budget = search.budget;
  best.all ? take_some_back(team, search) : shake_some(team, search);
  if (best.all) search.budget = smaller(budget, best.moves);
  const Reached now = reach(team, search, round, best.all ? heads_of(search.state) : kAllHeads);
  search.budget = budget;
  return now;
}

// The fewest moves with which every load keeps its limit; if that cannot be found, little excess.
// Returns whether the limits are kept.
EPLB_FN bool reach_target(Team auto& team, ExcessSearch& search, const ExcessEffort& effort) {
  Reached best = reach(team, search, 0, heads_of(search.state));
  keep(search);
  int last_round = effort.rounds;
  for (int round = 1; best.moves > 0 || !best.all; ++round) {
    if (search.is_over(team) || round > (best.all ? last_round : effort.missed_rounds)) break;
    const Reached now = reach_again(team, search, best, round);
    if (!now.replaces(best) || !is_within(team, search)) {
      undo(team, search);
      continue;
    }
    if (now.all && !best.all) last_round = larger(last_round, round + effort.later_rounds);
    best = now;
    keep(search);
  }
  return best.all;
}

// The best placement of a search by its largest time.
struct BestArrangement {
  View<int> expert;  // by place
  int time;
};
EPLB_FN void store(Team auto& team, const Arrangement& state, BestArrangement& best, int time) {
  best.time = time;
  const View<int> from = state.expert, to = best.expert;
  team.sweep(state.places, [=](auto place) { to.set(place, from[place]); });
}
EPLB_FN void restore(Team auto& team, const Arrangement& state, const BestArrangement& best) {
  const View<int> to = state.expert, from = best.expert;
  team.barrier();
  team.sweep(state.places, [=](auto place) { to.set(place, from[place]); });
  team.single([&] { derive_all(state); });
}

// Descents to a target between `least` and the largest time, which is brought nearer to what can
// be reached.
EPLB_FN void bisect_targets(Team auto& team, ExcessSearch& search, int least,
                            BestArrangement& best) {
  constexpr int kBisections = 7;
  const Arrangement& state = search.state;
  int low = least, high = best.time;
  for (int i = 0; i < kBisections && high - low > least / 4096; ++i) {
    const int target = low + (high - low) / (i == 0 ? 6 : 3);
    aim(team, state, search.cluster, target);
    descend(team, search, 0, kOneHead);
    const int time = largest_time(team, state, search.cluster);
    if (time < best.time && is_within(team, search)) store(team, state, best, time);
    (time <= target ? high : low) = time <= target ? time : target;
    high = smaller(high, larger(low, best.time));
    undo(team, search);
  }
}

// While moves count, targets are a little below the best; else half way to `least`. Returns the
// excess.
EPLB_FN int aim_below(Team auto& team, const ExcessSearch& search, int least, int time) {
  const int step = search.counts_moves ? time / 1024 * 3 : (time - least) / 2;
  aim(team, search.state, search.cluster, larger(least, time - step));
  return total_excess(team, search.state);
}
EPLB_FN void change_some(Team auto& team, ExcessSearch& search, int round) {
  const bool counts = search.counts_moves;
  counts ? take_some_back(team, search) : shake_some(team, search);
  descend(team, search, static_cast<uint32_t>(round), counts ? kOneHead : kAllHeads);
}

// The smallest largest time within the limits, but not below `least`.
EPLB_ONCE void reach_balance(Team auto& team, ExcessSearch& search, const ExcessEffort& effort,
                             int least, BestArrangement& best) {
  const Arrangement& state = search.state;
  store(team, state, best, largest_time(team, state, search.cluster));
  bisect_targets(team, search, least, best);
  restore(team, state, best);
  int excess = aim_below(team, search, least, best.time);
  for (int round = 1; round <= effort.rounds && best.time > least && !search.is_over(team);
       ++round) {
    change_some(team, search, round);
    const int time = largest_time(team, state, search.cluster);
    const int left = total_excess(team, state);
    if (!is_within(team, search) || (time >= best.time && left > excess)) {
      undo(team, search);
      continue;
    }
    keep(search);
    excess = left;
    if (time >= best.time) continue;
    store(team, state, best, time);
    excess = aim_below(team, search, least, time);
  }
  restore(team, state, best);
}

// One descent, whose target falls with the largest time: what is left of the way to `least` is
// divided by `part`. note(time) comes after each step. Returns the last target.
EPLB_FN int fall(Team auto& team, ExcessSearch& search, int least, int part, auto note) {
  const Arrangement& state = search.state;
  int time = largest_time(team, state, search.cluster), target = kNever;
  for (;;) {
    target = smaller(target, least + larger(0, time - least) / part);
    aim(team, state, search.cluster, target);
    if (search.logged == search.most_steps() || !step(team, search, 0, heads_of(state))) break;
    time = largest_time(team, state, search.cluster);
    note(time);
  }
  return target;
}
// path[m]: the least time with at most m moves, m <= most, on such a descent. The state stays as it
// was, which takes no more moves than that, and aims at `least`.
EPLB_FN void follow_path(Team auto& team, ExcessSearch& search, int64_t least, int most,
                         View<int> path) {
  const int budget = search.budget, from = search.state.moves();
  const int time = largest_time(team, search.state, search.cluster);
  search.budget = smaller(budget, most);
  team.for_each(most + 1, [&](int m) { path[m] = m < from ? kNever : time; });
  fall(team, search, as_time(least), 4, [&](int now) {
    const int moves = search.state.moves();
    team.single([&] { path[moves] = smaller(path[moves], now); });
  });
  undo(team, search);
  aim(team, search.state, search.cluster, least);
  search.budget = budget;
  team.single([&] {
    for (int m = 1; m <= most; ++m) path[m] = smaller(path[m], path[m - 1]);
  });
}

// Changes that a round of level_windows makes.
EPLB_FN void change_windows(Team auto& team, ExcessSearch& search, int round) {
  constexpr int kMostSteps = 30;
  for (int left = draw_ruins(team, search); left > 0; --left)
    search.counts_moves ? take_back(team, search) : shake(team, search);
  make_steps(team, search, static_cast<uint32_t>(round), kAllHeads, kMostSteps);
}
// Several windows: their largest time becomes small, and so does what the others are above the
// targets on the way there. Within the limits.
EPLB_ONCE void level_windows(Team auto& team, ExcessSearch& search, int rounds, int least) {
  const Arrangement& state = search.state;
  int target = kNever;
  for (int part = 4; part >= 2; part /= 2) {
    target = fall(team, search, least, part, [](int) {});
    keep(search);
  }
  int excess = total_excess(team, state);
  for (int round = 1; round <= rounds && excess + target > least && !search.is_over(team);
       ++round) {
    change_windows(team, search, round);
    if (total_excess(team, state) > excess || !is_within(team, search)) {
      undo(team, search);
      continue;
    }
    keep(search);
    const int time = largest_time(team, state, search.cluster);
    target = smaller(target, least + larger(0, time - least) / 2);
    aim(team, state, search.cluster, target);
    excess = total_excess(team, state);
  }
}

EPLB_STAGE_END
