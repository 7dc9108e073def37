// How many replicas every expert gets, and the replicas as items to be packed.
#pragma once

#include "solver/team/arithmetic.h"
#include "solver/team/memory.h"

EPLB_STAGE_BEGIN

// Scratch of the count: by expert its weight as a float32 estimate and the weight of one replica;
// the candidates, and by candidate the priority of its next replica and of the one after.
template <class Number> struct Pricing {
  View<float> estimate;
  View<int> share, candidate;
  View<typename Number::Priority> priority, next;

  EPLB_FN void lay_out(Arena& arena, int experts) {
    arena.take(experts, estimate, share, candidate, priority, next);
  }
};

// Replicas as items to be packed, in order of creation: item i < experts is the first replica of
// expert i, the extras follow.
struct Items {
  View<int> expert, rank, size;  // by item; rank: which replica of its expert
  View<int> count;               // by expert

  EPLB_FN void lay_out(Arena& arena, int experts, int slots) {
    arena.take(slots, expert, rank, size);
    count = arena.take<int>(experts);
  }
};

// Raises a price while `extras` replicas or more can be bought for it, which they can at first.
template <class Bought> EPLB_FN float raise_price(float price, int extras, Bought bought) {
  float too_much = 4 * price;
  for (int i = 0; i < 5; ++i) {
    const float middle = 0.5f * (price + too_much);
    if (bought(middle) >= extras)
      price = middle;
    else
      too_much = middle;
  }
  return price;
}

// A price for which `extras` replicas can be bought. With a price of total / slots expert e can buy
// floor(weight / price) >= weight / price - 1, together extras or more, and from there on the price
// is raised while that holds.
template <class Team>
EPLB_FN float price_of_extras(Team& team, View<float> estimate, int experts, int extras) {
  // For a share of 1 / price of their weights, rounded down.
  auto replicas_for = [&](float share) {
    return team.sum_of(experts, [&](int e) { return static_cast<int>(estimate[e] * share); });
  };
  const double total = static_cast<double>(replicas_for(1));
  const float price = static_cast<float>(0.999 * total / (experts + extras));
  if (!(price > 1)) return price;
  return raise_price(price, extras, [&](float at) { return replicas_for(0.999f / at); });
}

// The experts that may get a second replica, in order, when none may have more than `most`: all, or
// those that weigh at least a price for which `extras` replicas can be bought: the replicas bought
// are the dearest, so an expert that can buy none gets none. Any list that is too long gives the
// same answer: these are float32 estimates, on the safe side by a thousandth.
template <class Number, class Team>
EPLB_FN int pick_candidates(Team& team, View<int> weight, int experts, int extras, int most,
                            View<float> estimate, View<int> candidate) {
  const int largest = team.max(0, experts, [=](auto e) { return weight[e]; });
  const float scale = Number::estimate_scale(largest);
  if (most <= extras || scale == 0) return team.pick(experts, candidate, [](int) { return true; });
  team.for_each(experts, [&](int e) { estimate[e] = Number::estimate(weight[e], scale); });
  const float price = price_of_extras(team, estimate, experts, extras);
  return team.pick(experts, candidate, [&](int e) { return estimate[e] >= price; });
}

// One replica of each expert.
template <class Number, class Team>
EPLB_FN void list_first_replicas(Team& team, View<int> weight, int experts,
                                 const Pricing<Number>& pricing, const Items& items) {
  team.for_each(experts, [&](int e) {
    items.expert[e] = e;
    items.rank[e] = 0;
    items.count[e] = 1;
    pricing.share[e] = weight[e];
  });
}

// Serves the extras one by one. `price_of(e, copies)`: the priority of the next replica.
template <class Number, class Team, class PriceOf>
EPLB_FN void list_extras(Team& team, int candidates, int experts, int slots,
                         const Pricing<Number>& pricing, const Items& items, PriceOf price_of) {
  const View<int> candidate = pricing.candidate;
  team.for_each(candidates, [&](int i) {
    pricing.priority[i] = price_of(candidate[i], 1);
    pricing.next[i] = price_of(candidate[i], 2);
  });
  team.serve(candidates, pricing.priority, slots - experts, [&](int step, int i, auto) {
    const int e = candidate[i], copies = items.count[e] + 1;
    // A division ahead: the next step waits for this, not for the division.
    const auto priority_now = pricing.next[i];
    pricing.next[i] = price_of(e, copies + 1);
    items.expert[experts + step] = e;
    items.rank[experts + step] = copies - 1;
    items.count[e] = copies;
    return priority_now;
  });
}

// Every extra goes to the expert with the largest weight per replica (D'Hondt; as replicate_experts
// of deepseek-ai/EPLB); ties: lowest expert. An expert with `most` replicas gets no more.
template <class Number, class Team>
EPLB_FN void count_replicas(Team& team, View<int> weight, int experts, int slots, int most,
                            const Pricing<Number>& pricing, const Items& items) {
  constexpr auto kDone = Never<typename Number::Priority>::key;
  const int candidates = pick_candidates<Number>(team, weight, experts, slots - experts, most,
                                                 pricing.estimate, pricing.candidate);
  list_first_replicas(team, weight, experts, pricing, items);
  list_extras(team, candidates, experts, slots, pricing, items, [&](int e, int copies) {
    return copies < most ? Number::priority(weight[e], copies) : kDone;
  });
  team.for_each(candidates, [&](int i) {
    const int e = pricing.candidate[i];
    pricing.share[e] = Number::share(weight[e], items.count[e]);
  });
  team.for_each(slots, [&](int i) { items.size[i] = pricing.share[items.expert[i]]; });
}

EPLB_STAGE_END
