// Groups as wishes: load has a price where it is away from home, and no GPU should be above its
// limit. See docs/algorithms.md, section 15.
#pragma once

#include "solver/search/home_start.h"
#include "solver/strategies/excess_modes.h"

EPLB_STAGE_BEGIN

// A replica that load has a price for, drawn from all of them, makes way: if its expert has others
// to one that costs nothing there, else it changes places with something on a node where it costs
// nothing, if possible with what gets no dearer. All are drawn.
EPLB_FN bool is_priced(const Arrangement& state, int place) {
  return state.is_expert(state.expert[place]) && state.prices.here[place] > 0;
}
EPLB_FN void give_way(Team auto& team, ExcessSearch& search, int place) {
  const Arrangement& state = search.state;
  const int count = team.pick(state.experts, search.picked, [&](int e) {
    return state.copies[e] < state.most_copies && price_of(state, place, e) == 0;
  });
  if (count == 0) return;
  retarget_if_allowed(team, search, place, search.picked[below(search.draw(team), count)]);
}
EPLB_FN void go_home(Team auto& team, ExcessSearch& search, int place) {
  const Arrangement& state = search.state;
  const int e = state.expert[place];
  auto is_home = [&](int other) {
    return state.expert[other] != state.wall() && price_of(state, other, e) == 0;
  };
  int count = team.pick(state.places, search.picked, [&](int other) {
    return is_home(other) &&
           price_of(state, place, state.expert[other]) <= state.prices.here[other];
  });
  if (count == 0) count = team.pick(state.places, search.picked, is_home);
  if (count == 0) return;
  const int other = search.picked[below(search.draw(team), count)];
  if (may_swap(search, place, other)) apply(team, search, {Change::kSwap, place, other});
}
EPLB_ONCE void bring_home(Team auto& team, ExcessSearch& search) {
  const Arrangement& state = search.state;
  const int count =
      team.pick(state.places, search.picked, [&](int place) { return is_priced(state, place); });
  if (count == 0) return;
  const int place = search.picked[below(search.draw(team), count)];
  team.barrier();  // both of what follows pick again
  if (state.copies[state.expert[place]] > 1)
    give_way(team, search, place);
  else
    go_home(team, search, place);
}

// The best change for a GPU, whatever its load, until none has one: where load has a price, changes
// may help that leave the excess as it is. due: GPUs to begin with.
EPLB_FN void polish_with(Team auto& team, ExcessSearch& search, auto& step, View<int> due) {
  const Arrangement& state = search.state;
  if (!search.affords(search.looks_to_weigh())) return;
  int candidates = step.weigh(team);
  for (int g = 0, idle = 0; idle < state.gpus && !search.is_over(team);
       g = g + 1 < state.gpus ? g + 1 : 0) {
    ++idle;
    if (due[g] == 0 || search.logged == search.most_steps()) continue;
    if (!search.affords(search.looks_at_head(g))) return;
    const Change change = best_at(team, step, candidates, g);
    if (change.kind == Change::kNone) {
      team.barrier();
      team.single([&] { due[g] = 0; });
      continue;
    }
    apply(team, search, change);
    if (!search.affords(search.looks_to_weigh())) return;
    candidates = step.weigh(team);
    idle = 0;
  }
}
EPLB_ONCE void polish(Team auto& team, ExcessSearch& search, uint32_t salt, View<int> due) {
  const StepRules rules = rules_of(search, salt);
  with_priced_step(search, rules,
                   [&](auto step) EPLB_INLINE { polish_with(team, search, step, due); });
}
EPLB_FN void polish_all(Team auto& team, ExcessSearch& search) {
  const View<int> due = search.due;
  team.for_each(search.state.stride, [&](int g) { due[g] = 1; });
  polish(team, search, 0, due);
}
// What the log has touched.
EPLB_FN void polish_touched(Team auto& team, ExcessSearch& search, uint32_t salt) {
  const Arrangement& state = search.state;
  const View<int> due = search.due;
  const int end = search.logged;
  team.for_each(state.stride, [&](int g) { due[g] = 0; });
  team.single([&] {
    for (int i = 0; i < end; ++i) {
      const ExcessSearch::Entry& entry = search.log[i];
      due[state.gpu[entry.place]] = 1;
      if (entry.kind == Change::kSwap) due[state.gpu[entry.other]] = 1;
    }
  });
  polish(team, search, salt, due);
}

// First load goes where it costs little, then excess counts more than all else.
inline constexpr int kFirstUrgency = 2;
EPLB_FN void with_each_urgency(ExcessSearch& search, auto search_on) {
  search.urgency = kFirstUrgency;
  search_on();
  search.urgency = kMostUrgency;
  search_on();
}

// How a state is compared: by excess, then by what is paid for load and moves.
struct SoftStanding {
  int excess;
  int64_t cost;

  EPLB_FN bool replaces(const SoftStanding& other) const {
    return excess != other.excess ? excess < other.excess : cost <= other.cost;
  }
};

// What a search for homes is asked for.
struct SoftAim {
  int64_t least_cost;  // what has to be paid, at least
  int64_t move_cost;   // of one, if moves count
  int most_empty;      // slots
};

struct SoftRounds {
  int reached, missed;  // when the limits are kept, and while they are not
};

EPLB_FN SoftStanding standing(Team auto& team, const ExcessSearch& search, const SoftAim& aim) {
  const Arrangement& state = search.state;
  return {total_excess(team, state), state.totals[0].cost + aim.move_cost * state.moves()};
}
EPLB_FN void ruin_homes(Team auto& team, ExcessSearch& search, bool has_excess) {
  for (int left = draw_ruins(team, search); left > 0; --left) {
    const uint32_t random = search.draw(team);
    team.barrier();  // before the next pick, all have read the last one
    if (search.counts_moves && (random >> 30) != 0)
      take_back(team, search);
    else if (!(has_excess && (random & 1) && shake_head(team, search)))
      bring_home(team, search);
  }
}
// A descent. Where moves do not count, GPUs without excess are looked at, too.
EPLB_FN void settle_once(Team auto& team, ExcessSearch& search) {
  descend(team, search, 0, kAllHeads);
  if (!search.counts_moves) polish_all(team, search);
  keep(search);
}
EPLB_FN void settle_again(Team auto& team, ExcessSearch& search, int round,
                          const SoftStanding& best) {
  constexpr int kMostSteps = 60;
  const auto salt = static_cast<uint32_t>(round);
  ruin_homes(team, search, best.excess > 0);
  with_each_urgency(search, [&] { make_steps(team, search, salt, kAllHeads, kMostSteps); });
  if (!search.counts_moves && total_excess(team, search.state) <= best.excess)
    polish_touched(team, search, salt);
}
EPLB_ONCE void settle_rounds(Team auto& team, ExcessSearch& search, const SoftRounds& most,
                             const SoftAim& aim) {
  SoftStanding best = standing(team, search, aim);
  for (int round = 1; round <= (best.excess > 0 ? most.missed : most.reached); ++round) {
    if (best.excess == 0 && best.cost <= aim.least_cost + aim.least_cost / 100) return;
    if (search.is_over(team)) return;
    settle_again(team, search, round, best);
    const SoftStanding now = standing(team, search, aim);
    if (!now.replaces(best) || !is_within(team, search)) {
      undo(team, search);
      continue;
    }
    best = now;
    keep(search);
  }
}
// The least excess, then the least cost; within the limits. A quarter of the rounds comes before
// slots are filled that are still empty.
EPLB_ONCE void settle_homes(Team auto& team, ExcessSearch& search, const SoftRounds& most,
                            const SoftAim& aim) {
  with_each_urgency(search, [&] { settle_once(team, search); });
  if (search.state.totals[0].empty > aim.most_empty) {
    settle_rounds(team, search, {most.reached / 4, most.reached / 4}, aim);
    fill_empty(team, search, aim.most_empty);
    settle_once(team, search);
  }
  settle_rounds(team, search, most, aim);
}

EPLB_STAGE_END
