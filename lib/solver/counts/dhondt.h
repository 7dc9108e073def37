// How many replicas every expert gets, and the replicas as items to be packed.
#pragma once

#include "solver/team/arithmetic.h"
#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// Scratch of the count: by expert its weight as a float32 estimate and the weight of one replica; the candidates, and by
// candidate the priority of its next replica and of the one after.
template <class Number> struct Pricing {
  View<float> estimate;
  View<int> share, candidate;
  View<typename Number::Priority> priority, next;

  EPLB_FN void lay_out(Arena& arena, int experts) {
    estimate = arena.take<float>(experts);
    share = arena.take<int>(experts);
    candidate = arena.take<int>(experts);
    priority = arena.take<typename Number::Priority>(experts);
    next = arena.take<typename Number::Priority>(experts);
  }
};

// Items are replicas in order of creation: item i < n is the first replica of expert i, the extras follow.
struct Items {
  View<int> expert, rank, size;  // by item; rank: which replica of its expert
  View<int> count;               // by expert

  EPLB_FN void lay_out(Arena& arena, int experts, int slots) {
    expert = arena.take<int>(slots);
    rank = arena.take<int>(slots);
    size = arena.take<int>(slots);
    count = arena.take<int>(experts);
  }
};

// The experts that may get a second replica, in order, when none may have more than `most`: all, or those that weigh at least
// a price for which `extras` replicas can be bought. With a price of total / slots expert e can buy floor(weight / price) >=
// weight / price - 1, together extras or more, and from there on the price is raised while that holds. The replicas bought
// are the dearest, so who can buy none gets none. Any list that is too long gives the same answer: so these are float32
// estimates, on the safe side by a thousandth.
template <class Number, class Team>
EPLB_FN int pick_candidates(Team& team, View<int> weight, int n, int extras, int most, View<float> estimate,
                            View<int> candidate) {
  const float scale = Number::estimate_scale(team.max(0, n, [=](auto e) { return weight[e]; }));
  if (most <= extras || scale == 0) return team.pick(n, candidate, [](int) { return true; });
  team.for_each(n, [&](int e) { estimate[e] = Number::estimate(weight[e], scale); });
  const double total = static_cast<double>(team.sum_of(n, [&](int e) { return static_cast<int>(estimate[e]); }));
  float price = static_cast<float>(0.999 * total / (n + extras)), too_much = 4 * price;
  auto bought = [&](float at) {
    const float share = 0.999f / at;
    return team.sum_of(n, [&](int e) { return static_cast<int>(estimate[e] * share); });
  };
  for (int i = 0; i < 5 && price > 1; ++i) {
    const float middle = 0.5f * (price + too_much);
    if (bought(middle) >= extras)
      price = middle;
    else
      too_much = middle;
  }
  return team.pick(n, candidate, [&](int e) { return estimate[e] >= price; });
}

// Every extra goes to the expert with the largest weight per replica (D'Hondt; as replicate_experts of deepseek-ai/EPLB);
// ties: lowest expert. An expert with `most` replicas gets no more.
template <class Number, class Team>
EPLB_FN void count_replicas(Team& team, View<int> weight, int n, int slots, int most, const Pricing<Number>& p,
                            const Items& items) {
  constexpr auto kDone = Never<typename Number::Priority>::key;
  const int candidates = pick_candidates<Number>(team, weight, n, slots - n, most, p.estimate, p.candidate);
  team.for_each(n, [&](int e) {
    items.expert[e] = e;
    items.rank[e] = 0;
    items.count[e] = 1;
    p.share[e] = weight[e];
  });
  auto price_of = [&](int e, int copies) { return copies < most ? Number::priority(weight[e], copies) : kDone; };
  team.for_each(candidates, [&](int i) {
    p.priority[i] = price_of(p.candidate[i], 1);
    p.next[i] = price_of(p.candidate[i], 2);
  });
  team.serve(candidates, p.priority, slots - n, [&](int step, int i, auto) {
    const int e = p.candidate[i], copies = items.count[e] + 1;
    const auto priority_now = p.next[i];  // a division ahead: the next step waits for this, not for the division
    p.next[i] = price_of(e, copies + 1);
    items.expert[n + step] = e;
    items.rank[n + step] = copies - 1;
    items.count[e] = copies;
    return priority_now;
  });
  team.for_each(candidates, [&](int i) {
    const int e = p.candidate[i];
    p.share[e] = Number::share(weight[e], items.count[e]);
  });
  team.for_each(slots, [&](int i) { items.size[i] = p.share[items.expert[i]]; });
}

EPLB_STAGE_END
