// How many replicas every expert gets, and the replicas as items to be packed.
#pragma once

#include "solver/number.h"

EPLB_STAGE_BEGIN

// Items are replicas in order of creation: item i < n is the first replica of expert i, the extras follow.
struct Items {
  View<int> expert, rank, size;  // by item; rank: which replica of its expert
  View<int> count;               // by expert
};

// Every extra goes to the expert with the largest weight per replica (D'Hondt; as replicate_experts of deepseek-ai/EPLB);
// ties: lowest expert. An expert with `most` replicas gets no more.
template <class Number, class Team>
EPLB_FN void count_replicas(Team& team, View<int> weight, int n, int slots, int most,
                            View<typename Number::Priority> priority, const Items& items) {
  using Priority = typename Number::Priority;
  constexpr Priority kDone = Never<Priority>::key;
  team.for_each(n, [&](int e) {
    items.expert[e] = e;
    items.rank[e] = 0;
    items.count[e] = 1;
    priority[e] = most > 1 ? Number::priority(weight[e], 1) : kDone;
  });
  team.serve(n, priority, slots - n, [&](int step, int e) {
    const int copies = items.count[e] + 1;
    items.expert[n + step] = e;
    items.rank[n + step] = copies - 1;
    items.count[e] = copies;
    return copies < most ? Number::priority(weight[e], copies) : kDone;
  });
  team.for_each(slots, [&](int i) {
    const int e = items.expert[i];
    items.size[i] = Number::share(weight[e], items.count[e]);
  });
}

EPLB_STAGE_END
