// BEST's rules for replica counts. D'Hondt's rule makes the largest replica as small as possible,
// which is not the aim: on steep weights other counts leave better pieces. The bound of the counts
// decides between them.
#pragma once

#include "solver/counts/dhondt.h"
#include "solver/counts/sorted_replicas.h"
#include "solver/team/random.h"

EPLB_STAGE_BEGIN

// A rule gives every expert its first copies, then each extra to the expert with the largest
// 8 * weight / (16 * copies + shift); ties: lowest expert.
struct CountRule {
  // First copies: 0: one each; else ceil(weight / cap) where weight > cap. The cap is this many
  // twentieths of what a GPU has left next to the slots_per_gpu - 1 lightest experts.
  int cap_twentieths;
  int shift;  // in 1/16 copies; 0 is D'Hondt
};
inline constexpr int kCountRules = 8;
EPLB_FN CountRule count_rule(int index) {
  switch (index) {
    case 0: return {.cap_twentieths = 0, .shift = 0};
    case 1: return {.cap_twentieths = 0, .shift = 16};
    case 2: return {.cap_twentieths = 17, .shift = -14};
    case 3: return {.cap_twentieths = 0, .shift = 4};
    case 4: return {.cap_twentieths = 0, .shift = -6};
    case 5: return {.cap_twentieths = 0, .shift = 8};
    case 6: return {.cap_twentieths = 0, .shift = -10};
    default: return {.cap_twentieths = 20, .shift = -14};
  }
}

struct CountScratch {
  View<int> noisy;  // by expert: weights that chance made smaller
  View<float> estimate;
  Candidates<int> candidates;

  EPLB_FN void lay_out(Arena& arena, int experts) {
    arena.take(experts, noisy, estimate);
    candidates.lay_out(arena, experts);
  }
};

// What every chain's counts must keep to.
struct CountLimits {
  int mean;         // load of a GPU
  int most_copies;  // of an expert
};

// The load above which an expert gets several first copies; not above 0 if the rule fails.
EPLB_FN int64_t cap_of(Team auto& team, const SortedReplicas& sorted, View<int> weight,
                       CountRule rule, int mean) {
  const int experts = sorted.experts;
  team.order(experts, sorted.order, [&](int e) { return static_cast<uint64_t>(weight[e]); });
  int64_t lightest = 0;
  for (int i = 0; i < sorted.slots_per_gpu - 1 && i < experts; ++i)
    lightest += weight[sorted.order[i]];
  team.barrier();  // the caller may write other weights there next
  return (mean + mean / 1000 - lightest) * rule.cap_twentieths / 20;
}

// Sets ceil(weight / cap) copies where weight > cap, else one. Returns how many extras are left, or
// -1 if these are more slots, or more copies of an expert, than there may be.
EPLB_FN int set_capped_copies(Team auto& team, const SortedReplicas& sorted, View<int> weight,
                              int64_t cap, int most_copies) {
  const int experts = sorted.experts, extras = sorted.slots - experts;
  auto copies_of = [&](int e) { return weight[e] > cap ? (weight[e] + cap - 1) / cap : 1; };
  const int64_t needed = team.sum_of(experts, [&](int e) { return copies_of(e) - 1; });
  if (needed > extras) return -1;
  const int most = team.max_of(experts, [&](int e) { return static_cast<int>(copies_of(e)); });
  if (most > most_copies) return -1;
  team.for_each(experts, [&](int e) { sorted.copies[e] = static_cast<int>(copies_of(e)); });
  return extras - static_cast<int>(needed);
}

// Sets the first copies; returns how many extras are left, or -1 if the rule fails.
EPLB_FN int set_first_copies(Team auto& team, const SortedReplicas& sorted, View<int> weight,
                             CountRule rule, CountLimits limits) {
  team.for_each(sorted.experts, [&](int e) { sorted.copies[e] = 1; });
  if (rule.cap_twentieths == 0) return sorted.slots - sorted.experts;
  const int64_t cap = cap_of(team, sorted, weight, rule, limits.mean);
  return cap > 0 ? set_capped_copies(team, sorted, weight, cap, limits.most_copies) : -1;
}

// Lists the experts that may get an extra, as pick_candidates in dhondt.h does, for a rule with a
// shift; returns how many there are. `price`: what extras are worth at least; estimates are made.
EPLB_FN int pick_by_price(Team auto& team, const SortedReplicas& sorted,
                          const CountScratch& scratch, float shift, int extras, int most_copies,
                          float price) {
  const View<float> estimate = scratch.estimate;
  const int experts = sorted.experts;
  auto bought = [&](float at) {
    const float share = 0.999f / at;
    return team.sum_of(experts, [&](int e) {
      const int worth = static_cast<int>(estimate[e] * share - shift - 0.001f);  // copies, less one
      return int64_t{larger(0, smaller(worth, most_copies - 1) + 1 - sorted.copies[e])};
    });
  };
  // Priorities are rounded down: the margin of a thousandth must be more than their unit.
  if (price < 16384 || bought(price) < extras)
    return team.pick(experts, scratch.candidates.expert, [](int) { return true; });
  price = raise_price(price, extras, bought);
  return team.pick(experts, scratch.candidates.expert,
                   [&](int e) { return estimate[e] >= price * (1 + shift) * 0.999f; });
}
EPLB_FN int pick_for_rule(Team auto& team, const SortedReplicas& sorted, View<int> weight,
                          const CountScratch& scratch, CountRule rule, int extras,
                          int most_copies) {
  const int experts = sorted.experts;
  const float shift = static_cast<float>(rule.shift) / 16;
  const int64_t total = team.sum_of(experts, [&](int e) { return int64_t{weight[e]}; });
  team.for_each(experts, [&](int e) { scratch.estimate[e] = static_cast<float>(weight[e]); });
  const float copies = static_cast<float>(sorted.slots) + static_cast<float>(experts) * shift;
  const float price = 0.999f * static_cast<float>(total) / copies;
  return pick_by_price(team, sorted, scratch, shift, extras, most_copies, price);
}

// The key of an expert's next extra: the least is served. kNever: it may have no more.
EPLB_FN int key_of_extra(CountRule rule, int weight, int copies, int most_copies) {
  if (copies >= most_copies) return kNever;
  const uint32_t divisor = static_cast<uint32_t>(16 * copies + rule.shift);
  return kNever - 1 - static_cast<int>(static_cast<uint32_t>(weight) * 8u / divisor);
}

// Sets the copies by a rule on `weight`; false if the rule fails.
EPLB_FN bool count_by_rule(Team auto& team, const SortedReplicas& sorted, View<int> weight,
                           const CountScratch& scratch, CountRule rule, CountLimits limits) {
  const int extras = set_first_copies(team, sorted, weight, rule, limits);
  if (extras <= 0) return extras == 0;
  const int most = limits.most_copies;
  const int candidates = pick_for_rule(team, sorted, weight, scratch, rule, extras, most);
  serve_extras(
      team, scratch.candidates, candidates, extras, sorted.copies,
      [&](int e, int copies) { return key_of_extra(rule, weight[e], copies, most); },
      [](int, int) {});
  return true;
}

// The rule on weights that chance makes smaller by up to 1/2^depth of each: counts beyond those of
// the rules themselves.
EPLB_FN bool count_by_noisy_rule(Team auto& team, const SortedReplicas& sorted,
                                 const CountScratch& scratch, CountRule rule, CountLimits limits,
                                 int depth, const Chance& chance) {
  team.for_each(sorted.experts, [&](int e) {
    const uint64_t draw = chance(static_cast<uint32_t>(e)) >> 8;  // 24 bits
    const uint64_t weight = static_cast<uint64_t>(sorted.weight[e]);
    scratch.noisy[e] = sorted.weight[e] - static_cast<int>(weight * draw >> (24 + depth));
  });
  return count_by_rule(team, sorted, scratch.noisy, scratch, rule, limits);
}

EPLB_STAGE_END
