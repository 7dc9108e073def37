// EPLB_STRATEGY_BEST: chains with different counts, each searched by a number of rounds, and the best of them.
#pragma once

#include "solver/search/two_slots.h"
#include "solver/layer/solve_layer.h"
#include "solver/search/level.h"
#include "solver/counts/count_rules.h"
#include "solver/search/tabu.h"
#include "solver/strategies/strategy.h"
#include "solver/counts/enumerate_counts.h"

EPLB_STAGE_BEGIN

// Three or more slots per GPU: chains of (per_slot * S + per_gpu * G) / 16 steps, which end mean / 2^fine above the mean; a
// chain whose load is at most LB + LB/slack ends the choice. Two: folds chains of fold_quarters * S/4 proposals. Tiny
// problems also try counts one after the other, with what is left of work_quarters * S/4 rounds after the chains' steps: per
// slot as many rounds as the chains of 288 slots on 32 GPUs have, so that a tiny node costs no more of its layer than others.
struct Effort {
  int chains, per_slot, per_gpu, slack, fine, folds, fold_quarters, work_quarters;
};
inline constexpr int kFewSlots = 128;  // at most this many: the largest effort is many short chains
EPLB_FN Effort effort_of(EffortLevel effort, int slots) {
  if (effort == EffortLevel::kFast) return {2, 5, 5, 100, 16, 1, 3, 3};
  if (effort == EffortLevel::kNormal) return {3, 32, 8, 400, 16, 1, 16, 25};
  if (slots <= kTiny) return {8, 16, 8, 32768, 17, 4, 40, 97};
  return slots <= kFewSlots ? Effort{24, 16, 8, 32768, 17, 4, 40, 0} : Effort{4, 96, 8, 32768, 17, 4, 40, 0};
}
EPLB_FN int steps_of(const Effort& effort, int slots, int gpus) {
  return (effort.per_slot * slots + effort.per_gpu * gpus) / 16;
}

struct BestRoom {
  Search search;
  RuleScratch rules;
  Fold fold;
  Packing packing;  // for the start: what Placement does not have
  Levelling levelling;
  View<int> partner;
  CountList counts;

  EPLB_FN void lay_out(Arena& arena, int e, int s, int g) {
    search.lay_out(arena, e, s, g);
    Arena beside = arena;  // counts are chosen when the search begins
    rules.lay_out(beside, e);
    search.lay_out_past(arena, e, s);
    arena.continue_after(beside);
    if (s == 2 * g) fold.lay_out(arena, e, s);
    packing.used = arena.take<int>(g);
    packing.fill_keys = arena.take<int>(g);
    packing.fill_waiting = arena.take<int>(2 * g);
    levelling.lay_out(arena, g);
    partner = arena.take<int>(g);
    if (s <= kTiny) counts.lay_out(arena, e);
  }
};

// Which counts a chain begins with.
struct CountChoice {
  int mean, most;
  int64_t lower;      // what no placement is below, or nearly
  int fallback = -1;  // the rule whose counts have the least bound, once it is known
  int64_t fallback_bound = 0;
  int64_t spent = 0;  // rounds, by the chains
};

// Sets counts and positions by a rule, made noisy unless depth is 0; returns the bound of the counts, or -1 if the rule fails.
template <class Team>
EPLB_FN int try_rule(Team& team, const BestRoom& room, const CountChoice& choice, int rule, int depth,
                     const Chance& chance) {
  const Positions& p = room.search.now.p;
  const bool possible = depth == 0
                            ? count_by_rule(team, p, p.weight, room.rules, rule_of(rule), choice.mean, choice.most)
                            : count_by_noisy_rule(team, p, room.rules, rule_of(rule), depth, choice.mean, choice.most,
                                                  chance.at(kNoisyCounts));
  if (!possible) return -1;
  set_positions(team, p);
  return counts_bound(team, p);
}

// Finds `lower`; leaves the counts of rule 0 and returns their bound.
template <class Team>
EPLB_FN int begin_choice(Team& team, const BestRoom& room, CountChoice& choice, const Chance& chance) {
  const Positions& p = room.search.now.p;
  const int bound = try_rule(team, room, choice, 0, 0, chance);
  int64_t together = p.size[0];
  for (int k = 0; k < p.places - 1; ++k) together += p.size[p.slots - 1 - k];
  if (p.slots == p.experts) together = bound;
  choice.lower = together > choice.mean ? together : choice.mean;
  return bound;
}

// Rule m (from 8 on: noisy), or, where the bound of its counts is above lower + lower/400, those of the rule of the list with
// the least bound (ties: first), made noisy after chain 0. Sets counts and positions; returns their bound. For chain 0 those
// of rule 0 are there, with `bound`.
template <class Team>
EPLB_FN int choose_counts(Team& team, const BestRoom& room, CountChoice& choice, int bound, const Chance& chance) {
  const int chain = static_cast<int>(chance.chain);
  if (chain > 0) bound = try_rule(team, room, choice, chain % kRules, chain < kRules ? 0 : 1, chance);
  const int64_t good = choice.lower + choice.lower / 400;
  if (bound >= 0 && bound <= good) return bound;
  if (choice.fallback < 0) {
    choice.fallback_bound = kNever;
    for (int rule = 0; rule < kRules; ++rule) {
      bound = try_rule(team, room, choice, rule, 0, chance);
      if (bound < 0 || bound >= choice.fallback_bound) continue;
      choice.fallback_bound = bound;
      choice.fallback = rule;
    }
  }
  if (chain > 0) {
    bound = try_rule(team, room, choice, choice.fallback, 3, chance);
    if (bound >= 0 && (bound <= good || bound <= choice.fallback_bound)) return bound;
  }
  return try_rule(team, room, choice, choice.fallback, 0, chance);
}

// expert[slot], as the search has left them.
template <class Team> EPLB_FN void write_answer(Team& team, const Placement& s, View<int> expert) {
  team.for_each(s.p.slots, [&](int i) { expert[i] = s.p.expert[s.item[i]]; });
}

// Is that near enough to `lower` to end the choice between chains?
EPLB_FN bool ends_choice(const CountChoice& choice, const Effort& effort, int load) {
  return load <= choice.lower + choice.lower / effort.slack;
}

// Returns the largest load.
template <class Team>
EPLB_FN int search_chains(Team& team, BestRoom& room, const Effort& effort, CountChoice& choice, Chance chance,
                          Chains chains, View<int> out) {
  Search& search = room.search;
  const Positions& p = search.now.p;
  const int first_bound = begin_choice(team, room, choice, chance);
  int best = kNever;
  for (int chain = chains.from; chain < smaller(chains.to, effort.chains); ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    const int bound = choose_counts(team, room, choice, first_bound, chance);
    start<Integer>(team, search.now, room.packing);
    level(team, search.now, room.levelling);
    begin(team, search, chance, choice.mean, choice.most, bound, effort.fine);
    run(team, search, steps_of(effort, p.slots, p.gpus));
    choice.spent += search.spent;
    if (search.best < best) {
      best = search.best;
      write_answer(team, search.now, out);
    }
    if (ends_choice(choice, effort, best)) break;
  }
  return best;
}

// The pairs of counts, expert of position i beside that of its partner, if their largest load is below `best`; returns the
// least of the two. (Keeping an expert from itself may cost something, which the search for counts does not see.)
template <class Team>
EPLB_FN int write_pairs(Team& team, View<int> size, View<int> owner, View<int> partner, const Positions& p, int best,
                        View<int> out) {
  pair_up(team, owner, p.gpus, partner);
  const int largest = team.max_of(p.gpus, [&](int g) { return size[g] + size[partner[g]]; });
  if (largest >= best) return best;
  team.for_each(p.gpus, [&](int g) {
    out[2 * g] = owner[g];
    out[2 * g + 1] = owner[partner[g]];
  });
  return largest;
}

template <class Team>
EPLB_FN int search_folds(Team& team, BestRoom& room, const Effort& effort, int most, Chance chance, Chains chains,
                         View<int> out) {
  const Positions& p = room.search.now.p;
  Fold& f = room.fold;
  int best = kNever;
  for (int chain = chains.from; chain < smaller(chains.to, effort.folds); ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    search_fold(team, f, p, chance, most, effort.fold_quarters * p.slots / 4);
    best = write_pairs(team, f.kept.size, f.kept.owner, room.partner, p, best, out);
  }
  return best;
}

// What counts cost that are tried: to look at some, and as much again to start a search from them, takes as long as 4 rounds
// of a chain; most of them end after few steps.
inline constexpr int kCountRounds = 4, kCountSteps = 20;

// Tries counts where the problem is tiny: with two slots per GPU those of the other rules, the last first, and then all that
// may lead below `best`, the largest load so far, one after the other. Returns the least.
template <class Team>
EPLB_FN int try_counts(Team& team, BestRoom& room, const Effort& effort, const CountChoice& choice,
                       const Chance& chance, int best, View<int> out) {
  Search& search = room.search;
  const Positions& p = search.now.p;
  int64_t left = int64_t{effort.work_quarters} * p.slots / 4 - choice.spent;
  for (int rule = kRules - 1; p.places == 2 && rule > 0 && left > 0; --rule) {
    left -= kCountRounds;
    const int bound = try_rule(team, room, choice, rule, 0, chance);
    if (bound >= 0 && bound < best) best = write_pairs(team, p.size, p.expert, room.partner, p, best, out);
  }
  if (left <= 0 || best == 0) return best;
  for (bool any = first_counts(team, room.counts, p, best); any && left > 0;
       any = next_counts(team, room.counts, p.experts)) {
    left -= kCountRounds;
    if (!take_counts(team, room.counts, p, choice.most)) continue;
    set_positions(team, p);
    const int bound = counts_bound(team, p);
    if (bound >= best) continue;
    if (p.places == 2) {
      best = write_pairs(team, p.size, p.expert, room.partner, p, best, out);
      continue;
    }
    left -= kCountRounds;
    start<Integer>(team, search.now, room.packing);
    begin(team, search, chance, choice.mean, choice.most, bound, effort.fine);
    run(team, search, left < kCountSteps ? left : kCountSteps);
    left -= search.spent;
    if (search.best >= best) continue;
    best = search.best;
    write_answer(team, search.now, out);
  }
  return best;
}

// How many chains may be run apart; a tiny problem's are not, for what they find is where trying counts begins.
EPLB_FN int best_chains(EffortLevel effort_level, int experts, int slots, int gpus) {
  const Effort effort = effort_of(effort_level, slots);
  if (slots <= kTiny || slots <= gpus) return 1;
  if (slots > 2 * gpus) return effort.chains;
  return slots > experts ? effort.folds : 1;
}

// expert[slot] from the best of these chains, and its score. One slot per GPU: D'Hondt's counts are optimal. Two without
// redundancy: largest with smallest is.
template <class Team>
EPLB_FN int solve_best(Team& team, BestRoom& room, int experts, int slots, int gpus, int most_replicas,
                       EffortLevel effort_level, const Chance& chance, Chains chains, View<int> out) {
  Positions& p = room.search.now.p;
  p.experts = experts;
  p.slots = slots;
  p.gpus = gpus;
  p.places = slots / gpus;
  // An expert with more copies than GPUs has duplicates: only where there are too few experts for the slots.
  const int most = larger(smaller(gpus, most_replicas), (slots + experts - 1) / experts);
  const Effort effort = effort_of(effort_level, slots);
  const int64_t sum = team.sum_of(experts, [&](int e) { return int64_t{p.weight[e]}; });
  CountChoice choice;
  choice.mean = static_cast<int>(sum / gpus);
  choice.most = most;
  choice.lower = 0;
  int best;
  if (p.places > 2) {
    best = search_chains(team, room, effort, choice, chance, chains, out);
  } else {
    count_by_rule(team, p, p.weight, room.rules, rule_of(0), choice.mean, most);
    set_positions(team, p);
    if (p.places == 1 || slots == experts) {
      team.for_each(slots, [&](int s) {
        const int g = s / p.places;
        out[s] = p.expert[s % p.places == 0 ? g : slots - 1 - g];
      });
      return 0;
    }
    best = search_folds(team, room, effort, most, chance, chains, out);
  }
  if (slots <= kTiny && slots > experts && best > 0) best = try_counts(team, room, effort, choice, chance, best, out);
  return ends_choice(choice, effort, best) ? 0 : best;
}

EPLB_STAGE_END
