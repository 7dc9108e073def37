// EPLB_STRATEGY_BEST: chains with different counts, each searched by a number of rounds, and the best of them.
#pragma once

#include "solver/fold.h"
#include "solver/rules.h"
#include "solver/tabu.h"

EPLB_STAGE_BEGIN

// Three or more slots per GPU: chains of quarters * S/4 + G/2 steps; a chain whose load is at most LB + LB/slack ends the
// choice. Two: folds chains of fold_quarters * S/4 proposals.
struct Effort {
  int chains, quarters, slack, folds, fold_quarters;
};
inline constexpr int kFewSlots = 128;  // at most so many: the largest effort is many short chains
inline constexpr int kTiny = 32;       // at most so many: rounds cost nothing
EPLB_FN Effort effort_of(int effort, int slots) {
  if (effort == 0) return {2, 1, 100, 1, 3};
  if (effort == 1) return {3, 7, 400, 1, 16};
  return slots <= kFewSlots ? Effort{24, 4, 16384, 4, 40} : Effort{4, 24, 16384, 4, 40};
}
EPLB_FN int steps_of(const Effort& effort, int slots, int gpus) {
  const int steps = effort.quarters * slots / 4 + gpus / 2;
  return slots <= kTiny ? more(steps, 256) : steps;
}
EPLB_FN int proposals_of(const Effort& effort, int slots) {
  const int proposals = effort.fold_quarters * slots / 4;
  return slots <= kTiny ? more(proposals, 2048) : proposals;
}

struct BestRoom {
  Search search;
  RuleScratch rules;
  Fold fold;
  Packing packing;  // for the start: what Placement does not have
  View<int> partner;

  EPLB_FN void lay_out(Arena& arena, int e, int s, int g) {
    search.lay_out(arena, e, s, g);
    rules.lay_out(arena, e);
    if (s == 2 * g) fold.lay_out(arena, e, s);
    packing.used = arena.take<int>(g);
    packing.open = arena.take<int>(g);
    packing.held = arena.take<int>(2 * g);
    partner = arena.take<int>(g);
  }
};

// Which counts a chain begins with.
struct CountChoice {
  int mean, most;
  int64_t lower;          // what no placement is below, or nearly
  int fallback = -1;      // the rule whose counts have the least bound, once it is known
  int64_t fallback_bound = 0;
};

// Rule m (from 8 on: noisy), or, where the bound of its counts is above lower + lower/400, those of the rule of the list with
// the least bound (ties: first), made noisy after chain 0. Sets counts and positions; returns their bound.
template <class Team>
EPLB_FN int choose_counts(Team& team, const BestRoom& room, CountChoice& choice, int chain, const Chance& chance) {
  const Positions& p = room.search.now.p;
  auto by_rule = [&](int rule) {
    if (!count_by_rule(team, p, p.weight, room.rules, rule_of(rule), choice.mean, choice.most)) return -1;
    set_positions(team, p);
    return counts_bound(team, p);
  };
  auto by_noisy_rule = [&](int rule, int depth) {
    const Chance noise = chance.at(kNoisyCounts);
    if (!count_by_noisy_rule(team, p, room.rules, rule_of(rule), depth, choice.mean, choice.most, noise)) return -1;
    set_positions(team, p);
    return counts_bound(team, p);
  };
  int bound = chain < kRules ? by_rule(chain) : by_noisy_rule(chain % kRules, 1);
  if (chain == 0) {
    int64_t together = p.size[0];
    for (int k = 0; k < p.places - 1; ++k) together += p.size[p.slots - 1 - k];
    if (p.slots == p.experts) together = bound;
    choice.lower = together > choice.mean ? together : choice.mean;
  }
  const int64_t good = choice.lower + choice.lower / 400;
  if (bound >= 0 && bound <= good) return bound;
  if (choice.fallback < 0) {
    choice.fallback_bound = kNever;
    for (int rule = 0; rule < kRules; ++rule) {
      bound = by_rule(rule);
      if (bound < 0 || bound >= choice.fallback_bound) continue;
      choice.fallback_bound = bound;
      choice.fallback = rule;
    }
  }
  if (chain > 0) {
    bound = by_noisy_rule(choice.fallback, 3);
    if (bound >= 0 && (bound <= good || bound <= choice.fallback_bound)) return bound;
  }
  return by_rule(choice.fallback);
}

// Where the answer of a node goes: the expert in each slot, and counts.
struct NodeAnswer {
  View<int> expert, count;
};

template <class Team>
EPLB_FN void search_chains(Team& team, BestRoom& room, const Effort& effort, CountChoice& choice, Chance chance,
                           const NodeAnswer& out) {
  Search& search = room.search;
  const Positions& p = search.now.p;
  int best = kNever;
  for (int chain = 0; chain < effort.chains; ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    const int bound = choose_counts(team, room, choice, chain, chance);
    start<Integer>(team, search.now, room.packing);
    begin(team, search, chance, choice.mean, choice.most, bound);
    run(team, search, steps_of(effort, p.slots, p.gpus));
    if (search.best < best) {
      best = search.best;
      team.for_each(p.slots, [&](int s) { out.expert[s] = p.expert[search.now.item[s]]; });
      team.for_each(p.experts, [&](int e) { out.count[e] = p.count[e]; });
    }
    if (best <= choice.lower + choice.lower / effort.slack) return;
  }
}

template <class Team>
EPLB_FN void search_folds(Team& team, BestRoom& room, const Effort& effort, int most, Chance chance, const NodeAnswer& out) {
  const Positions& p = room.search.now.p;
  Fold& f = room.fold;
  int best = kNever;
  for (int chain = 0; chain < effort.folds; ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    search_fold(team, f, p, chance, most, proposals_of(effort, p.slots));
    if (f.best >= best) continue;
    best = f.best;
    pair_up(team, f, room.partner);
    team.for_each(p.gpus, [&](int g) {
      out.expert[2 * g] = f.kept.owner[g];
      out.expert[2 * g + 1] = f.kept.owner[room.partner[g]];
    });
    team.for_each(p.experts, [&](int e) { out.count[e] = f.kept.count[e]; });
  }
}

// One slot per GPU: D'Hondt's counts are optimal. Two without redundancy: largest with smallest is.
template <class Team>
EPLB_FN void solve_best(Team& team, BestRoom& room, int experts, int slots, int gpus, int most_replicas, int effort_level,
                        const Chance& chance, const NodeAnswer& out) {
  Positions& p = room.search.now.p;
  p.experts = experts;
  p.slots = slots;
  p.gpus = gpus;
  p.places = slots / gpus;
  // An expert with more copies than GPUs has duplicates: only where there are too few experts for the slots.
  const int most = more(less(gpus, most_replicas), (slots + experts - 1) / experts);
  const Effort effort = effort_of(effort_level, slots);
  const int64_t sum = team.total(experts, [&](int e) { return int64_t{p.weight[e]}; });
  CountChoice choice;
  choice.mean = static_cast<int>(sum / gpus);
  choice.most = most;
  choice.lower = 0;
  if (p.places > 2) return search_chains(team, room, effort, choice, chance, out);
  count_by_rule(team, p, p.weight, room.rules, rule_of(0), choice.mean, most);
  set_positions(team, p);
  if (p.places == 2 && slots > experts) return search_folds(team, room, effort, most, chance, out);
  team.for_each(slots, [&](int s) {
    const int g = s / p.places;
    out.expert[s] = p.expert[s % p.places == 0 ? g : slots - 1 - g];
  });
  team.for_each(experts, [&](int e) { out.count[e] = p.count[e]; });
}

EPLB_STAGE_END
