// Which counts a chain of BEST begins with.
#pragma once

#include "solver/counts/count_rules.h"

EPLB_STAGE_BEGIN

struct CountChoice {
  SortedReplicas sorted;  // whose copies are chosen
  CountScratch scratch;
  CountLimits limits;
  int64_t lower = 0;  // no placement has a largest load below this, or hardly any
  int fallback = -1;  // the rule whose counts have the least bound, once it is known
  int64_t fallback_bound = 0;

  // Counts with at most this bound are good enough to search from.
  EPLB_FN int64_t good_bound() const { return lower + lower / 400; }
};

// Sets copies by a rule, made noisy unless depth is 0, and sorts the replicas; returns the bound of
// the counts, or -1 if the rule fails.
EPLB_FN int try_rule(Team auto& team, const CountChoice& choice, int rule, int depth,
                     const Chance& chance) {
  const SortedReplicas& sorted = choice.sorted;
  const bool possible = depth == 0
                            ? count_by_rule(team, sorted, sorted.weight, choice.scratch,
                                            count_rule(rule), choice.limits)
                            : count_by_noisy_rule(team, sorted, choice.scratch, count_rule(rule),
                                                  choice.limits, depth, chance.at(kNoisyCounts));
  if (!possible) return -1;
  sort_replicas(team, sorted);
  return bound_of_counts(team, sorted);
}

// Finds the lower bound; leaves the counts of rule 0 and returns their bound.
EPLB_FN int begin_choice(Team auto& team, CountChoice& choice, const Chance& chance) {
  const SortedReplicas& sorted = choice.sorted;
  const int bound = try_rule(team, choice, 0, 0, chance);
  int64_t largest_with_smallest = sorted.size[0];
  for (int i = 0; i < sorted.slots_per_gpu - 1; ++i)
    largest_with_smallest += sorted.size[sorted.slots - 1 - i];
  choice.lower = sorted.slots == sorted.experts ? bound : largest_with_smallest;
  if (choice.lower < choice.limits.mean) choice.lower = choice.limits.mean;
  return bound;
}

// Finds the rule of the list whose counts have the least bound; ties: first.
EPLB_FN void find_fallback(Team auto& team, CountChoice& choice, const Chance& chance) {
  choice.fallback_bound = kNever;
  for (int rule = 0; rule < kCountRules; ++rule) {
    const int bound = try_rule(team, choice, rule, 0, chance);
    if (bound < 0 || bound >= choice.fallback_bound) continue;
    choice.fallback_bound = bound;
    choice.fallback = rule;
  }
}

// Sets the copies for a chain and sorts the replicas; returns the bound of the counts. Chain m
// takes rule m, or from kCountRules on a noisy one. Where the bound is not good, it takes the
// fallback, made noisy but for chain 0. Chain 0 finds the counts of rule 0 there, with `bound`.
EPLB_FN int choose_counts(Team auto& team, CountChoice& choice, int bound, const Chance& chance) {
  const int chain = static_cast<int>(chance.chain);
  if (chain > 0)
    bound = try_rule(team, choice, chain % kCountRules, chain < kCountRules ? 0 : 1, chance);
  const int64_t good = choice.good_bound();
  if (bound >= 0 && bound <= good) return bound;
  if (choice.fallback < 0) find_fallback(team, choice, chance);
  if (chain > 0) {
    bound = try_rule(team, choice, choice.fallback, 3, chance);
    if (bound >= 0 && (bound <= good || bound <= choice.fallback_bound)) return bound;
  }
  return try_rule(team, choice, choice.fallback, 0, chance);
}

EPLB_STAGE_END
