// BEST's rules for replica counts. D'Hondt's makes the largest replica least, which is not the aim; on steep weights others
// leave better pieces. Which one, the bound of the counts tells.
#pragma once

#include "solver/team/random.h"
#include "solver/counts/dhondt.h"
#include "solver/counts/sorted_replicas.h"

EPLB_STAGE_BEGIN

// floors > 0: first c = ceil(weight / cap) where weight > cap, cap being floors/20 of what a GPU has left beside the K - 1
// smallest experts. Then each extra goes to the largest 8 weight / (16 c + b); b = 0 is D'Hondt. Ties: lowest expert.
struct Rule {
  int floors, b;
};
inline constexpr int kRules = 8;
EPLB_FN Rule rule_of(int i) {
  switch (i) {
    case 0: return {0, 0};
    case 1: return {0, 16};
    case 2: return {17, -14};
    case 3: return {0, 4};
    case 4: return {0, -6};
    case 5: return {0, 8};
    case 6: return {0, -10};
    default: return {20, -14};
  }
}

// What counting needs beside the positions it counts for.
struct RuleScratch {
  View<int> noisy;                      // weights made smaller by chance
  View<int> candidate, priority, next;  // as in Pricing
  View<float> estimate;

  EPLB_FN void lay_out(Arena& arena, int experts) {
    noisy = arena.take<int>(experts);
    candidate = arena.take<int>(experts);
    priority = arena.take<int>(experts);
    next = arena.take<int>(experts);
    estimate = arena.take<float>(experts);
  }
};

// Sets p.count to the floors; the extras that are left, or -1 if the rule fails: no room for them.
template <class Team>
EPLB_FN int set_floors(Team& team, const Positions& p, View<int> weight, Rule rule, int mean, int most) {
  team.for_each(p.experts, [&](int e) { p.count[e] = 1; });
  if (rule.floors == 0) return p.slots - p.experts;
  team.order(p.experts, p.order, [&](int e) { return static_cast<uint64_t>(weight[e]); });
  int64_t fill = 0;
  for (int i = 0; i < p.places - 1 && i < p.experts; ++i) fill += weight[p.order[i]];
  team.barrier();  // whoever called may write other weights there next
  const int64_t cap = (mean + mean / 1000 - fill) * rule.floors / 20;
  if (cap <= 0) return -1;
  auto floor_of = [&](int e) { return weight[e] > cap ? (weight[e] + cap - 1) / cap : 1; };
  const int64_t needed = team.sum_of(p.experts, [&](int e) { return floor_of(e) - 1; });
  if (needed > p.slots - p.experts) return -1;
  if (team.max_of(p.experts, [&](int e) { return static_cast<int>(floor_of(e)); }) > most) return -1;
  team.for_each(p.experts, [&](int e) { p.count[e] = static_cast<int>(floor_of(e)); });
  return p.slots - p.experts - static_cast<int>(needed);
}

// Experts that may get an extra: as pick_candidates in counts.h, with the rule's b.
template <class Team>
EPLB_FN int pick_for_rule(Team& team, const Positions& p, View<int> weight, const RuleScratch& r, Rule rule, int extras,
                          int most) {
  const float shift = static_cast<float>(rule.b) / 16;
  const int64_t total = team.sum_of(p.experts, [&](int e) { return int64_t{weight[e]}; });
  team.for_each(p.experts, [&](int e) { r.estimate[e] = static_cast<float>(weight[e]); });
  float price =
      0.999f * static_cast<float>(total) / (static_cast<float>(p.slots) + static_cast<float>(p.experts) * shift);
  float too_much = 4 * price;
  auto bought = [&](float at) {
    const float share = 0.999f / at;
    return team.sum_of(p.experts, [&](int e) {
      const int copies = static_cast<int>(r.estimate[e] * share - shift - 0.001f);  // the last that is worth the price
      return int64_t{larger(0, smaller(copies, most - 1) + 1 - p.count[e])};
    });
  };
  // Priorities are rounded down: the margin of a thousandth must be more than their unit.
  if (price < 16384 || bought(price) < extras) return team.pick(p.experts, r.candidate, [](int) { return true; });
  for (int i = 0; i < 5; ++i) {
    const float middle = 0.5f * (price + too_much);
    if (bought(middle) >= extras)
      price = middle;
    else
      too_much = middle;
  }
  return team.pick(p.experts, r.candidate, [&](int e) { return r.estimate[e] >= price * (1 + shift) * 0.999f; });
}

// Sets p.count by a rule on `weight`; false if the rule fails.
template <class Team>
EPLB_FN bool count_by_rule(Team& team, const Positions& p, View<int> weight, const RuleScratch& r, Rule rule, int mean,
                           int most) {
  const int extras = set_floors(team, p, weight, rule, mean, most);
  if (extras <= 0) return extras == 0;
  const int candidates = pick_for_rule(team, p, weight, r, rule, extras, most);
  auto key = [&](int e, int copies) {
    if (copies >= most) return kNever;
    return kNever - 1 -
           static_cast<int>(static_cast<uint32_t>(weight[e]) * 8u / static_cast<uint32_t>(16 * copies + rule.b));
  };
  team.for_each(candidates, [&](int i) {
    const int e = r.candidate[i];
    r.priority[i] = key(e, p.count[e]);
    r.next[i] = key(e, p.count[e] + 1);
  });
  team.serve(candidates, r.priority, extras, [&](int, int i, int) {
    const int e = r.candidate[i], copies = p.count[e] + 1, now = r.next[i];
    p.count[e] = copies;
    r.next[i] = key(e, copies + 1);
    return now;
  });
  return true;
}

// The rule on weights that chance makes smaller by up to 1/2^depth of each: counts beyond the list of rules.
template <class Team>
EPLB_FN bool count_by_noisy_rule(Team& team, const Positions& p, const RuleScratch& r, Rule rule, int depth, int mean,
                                 int most, const Chance& chance) {
  team.for_each(p.experts, [&](int e) {
    const uint64_t u = chance(static_cast<uint32_t>(e)) >> 8;
    r.noisy[e] = p.weight[e] - static_cast<int>(static_cast<uint64_t>(p.weight[e]) * u >> (24 + depth));
  });
  return count_by_rule(team, p, r.noisy, r, rule, mean, most);
}

EPLB_STAGE_END
