// Problems so small that counts can be tried one after the other: a step costs nothing there, and a
// random search is easily trapped.
#pragma once

#include "solver/counts/sorted_replicas.h"

EPLB_STAGE_BEGIN

inline constexpr int kTiny = 24;  // slots, at most

// Counts in lexicographic order: every expert has at least the copies that a largest load below
// `beat` takes, and what is left over goes round. Experts by weight, so that those that need most
// come first.
struct CountList {
  View<int> order, least, extra;  // largest first: expert; copies it needs; copies beyond
  View<int> has_next;             // [0]

  EPLB_FN void lay_out(Arena& arena, int experts) {
    arena.take(experts, order, least, extra);
    has_next = arena.take<int>(1);
  }
};

EPLB_FN bool first_counts(Team auto& team, const CountList& list, const SortedReplicas& sorted,
                          int beat) {
  const View<int> weight = sorted.weight;
  team.order(sorted.experts, list.order, [&](int e) { return largest_first(weight[e]); });
  team.single([&] {
    int spare = sorted.slots;
    for (int i = 0; i < sorted.experts; ++i) {
      list.least[i] = weight[list.order[i]] / beat + 1;  // the least c with weight / c < beat
      list.extra[i] = 0;
      spare -= list.least[i];
    }
    if (spare > 0) list.extra[0] = spare;
    list.has_next[0] = spare >= 0;
  });
  return list.has_next[0] != 0;
}

EPLB_FN bool next_counts(Team auto& team, const CountList& list, int experts) {
  team.single([&] {
    const int last = list.extra[experts - 1];
    list.extra[experts - 1] = 0;
    int i = experts - 2;
    while (i >= 0 && list.extra[i] == 0) --i;
    list.has_next[0] = i >= 0;
    if (i < 0) return;
    --list.extra[i];
    list.extra[i + 1] = last + 1;
  });
  return list.has_next[0] != 0;
}

// Sets the copies; false if an expert would have more than `most_copies`, or if the GPU with the
// largest replica would not stay below `beat` even with the smallest ones next to it.
EPLB_FN bool take_counts(Team auto& team, const CountList& list, const SortedReplicas& sorted,
                         int most_copies, int beat) {
  const View<int> copies = sorted.copies, share = sorted.share;
  const int experts = sorted.experts;
  team.for_each(experts, [&](int i) {
    const int e = list.order[i], own = list.least[i] + list.extra[i];
    copies[e] = own;
    share[e] = sorted.weight[e] / own;
  });
  auto size = [=](auto e) { return share[e]; };
  const int64_t smallest = team.min(0, experts, size);
  return team.max(0, experts, [=](auto e) { return copies[e]; }) <= most_copies &&
         team.max(0, experts, size) + (sorted.slots_per_gpu - 1) * smallest < beat;
}

EPLB_STAGE_END
