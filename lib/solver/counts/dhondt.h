// How many replicas every expert gets, and the replicas as items to be packed.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// The experts that may get more replicas, and by candidate the key of its next replica and of the
// one after: the least key is served.
template <class Key> struct Candidates {
  View<int> expert;
  View<Key> key, next;

  EPLB_FN void lay_out(Arena& arena, int experts) { arena.take(experts, expert, key, next); }
};

// Serves extras one by one to the candidates. copies: by expert, what each has;
// key_of(e, copies): of the replica that comes after these; note(step, e): e has one more.
template <class Key>
EPLB_FN void serve_extras(Team auto& team, const Candidates<Key>& candidates, int num_candidates,
                          int extras, View<int> copies, auto key_of, auto note) {
  team.for_each(num_candidates, [&](int i) {
    const int e = candidates.expert[i];
    candidates.key[i] = key_of(e, copies[e]);
    candidates.next[i] = key_of(e, copies[e] + 1);
  });
  team.serve(num_candidates, candidates.key, extras, [&](int step, int i, auto) {
    const int e = candidates.expert[i], now = copies[e] + 1;
    // A division ahead: the next step waits for this, not for the division.
    const Key key = candidates.next[i];
    candidates.next[i] = key_of(e, now + 1);
    copies[e] = now;
    note(step, e);
    return key;
  });
}

// Scratch of the count: by expert its weight as a float32 estimate, and the weight of one replica.
template <class Number> struct Pricing {
  View<float> estimate;
  View<int> share;
  Candidates<typename Number::Priority> candidates;

  EPLB_FN void lay_out(Arena& arena, int experts) {
    arena.take(experts, estimate, share);
    candidates.lay_out(arena, experts);
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
EPLB_FN float raise_price(float price, int extras, auto bought) {
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
EPLB_FN float price_of_extras(Team auto& team, View<float> estimate, int experts, int extras) {
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
template <class Number>
EPLB_FN int pick_candidates(Team auto& team, View<int> weight, int experts, int extras, int most,
                            View<float> estimate, View<int> candidate) {
  const int largest = team.max(0, experts, [=](auto e) { return weight[e]; });
  const float scale = Number::estimate_scale(largest);
  if (most <= extras || scale == 0) return team.pick(experts, candidate, [](int) { return true; });
  team.for_each(experts, [&](int e) { estimate[e] = Number::estimate(weight[e], scale); });
  const float price = price_of_extras(team, estimate, experts, extras);
  return team.pick(experts, candidate, [&](int e) { return estimate[e] >= price; });
}

// One replica of each expert.
template <class Number>
EPLB_FN void list_first_replicas(Team auto& team, View<int> weight, int experts,
                                 const Pricing<Number>& pricing, const Items& items) {
  team.for_each(experts, [&](int e) {
    items.expert[e] = e;
    items.rank[e] = 0;
    items.count[e] = 1;
    pricing.share[e] = weight[e];
  });
}

// Serves the extras one by one, as items.
template <class Number>
EPLB_FN void list_extras(Team auto& team, View<int> weight, int experts, int extras, int most,
                         const Pricing<Number>& pricing, int candidates, const Items& items) {
  auto key_of = [&](int e, int copies) {
    return copies < most ? Number::priority(weight[e], copies)
                         : Never<typename Number::Priority>::key;
  };
  serve_extras(team, pricing.candidates, candidates, extras, items.count, key_of,
               [&](int step, int e) {
                 items.expert[experts + step] = e;
                 items.rank[experts + step] = items.count[e] - 1;
               });
}

template <class Number>
EPLB_FN void count_extras(Team auto& team, View<int> weight, int experts, int extras, int most,
                          const Pricing<Number>& pricing, const Items& items) {
  const View<int> candidate = pricing.candidates.expert;
  const int candidates =
      pick_candidates<Number>(team, weight, experts, extras, most, pricing.estimate, candidate);
  list_extras(team, weight, experts, extras, most, pricing, candidates, items);
  team.for_each(candidates, [&](int i) {
    const int e = candidate[i];
    pricing.share[e] = Number::share(weight[e], items.count[e]);
  });
}

// Every extra goes to the expert with the largest weight per replica (D'Hondt; as replicate_experts
// of deepseek-ai/EPLB); ties: lowest expert. An expert with `most` replicas gets no more.
// Inlined into the flow of a layer it would be slower.
template <class Number>
EPLB_APART void count_replicas(Team auto& team, View<int> weight, int experts, int slots, int most,
                               const Pricing<Number>& pricing, const Items& items) {
  list_first_replicas(team, weight, experts, pricing, items);
  if (slots > experts) count_extras(team, weight, experts, slots - experts, most, pricing, items);
  team.for_each(slots, [&](int i) { items.size[i] = pricing.share[items.expert[i]]; });
}

EPLB_STAGE_END
