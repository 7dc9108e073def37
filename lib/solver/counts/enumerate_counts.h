// Problems so small that counts can be tried one after the other: rounds cost nothing there, and a search by chance is easily
// caught.
#pragma once

#include "solver/counts/sorted_replicas.h"

EPLB_STAGE_BEGIN

inline constexpr int kTiny = 24;  // slots, at most

// Counts in lexicographic order: every expert has at least what a largest load below `beat` takes, what is left over goes
// round. Experts by weight, so that those that need most come first.
struct CountList {
  View<int> order, least, extra;  // by rank in weight: expert; copies it needs; copies beyond
  View<int> state;                // [0]: is there another?

  EPLB_FN void lay_out(Arena& arena, int experts) {
    order = arena.take<int>(experts);
    least = arena.take<int>(experts);
    extra = arena.take<int>(experts);
    state = arena.take<int>(1);
  }
};

template <class Team> EPLB_FN bool first_counts(Team& team, const CountList& list, const Positions& p, int beat) {
  team.order(p.experts, list.order, [&](int e) { return static_cast<uint64_t>(kNever - p.weight[e]); });
  team.single([&] {
    int spare = p.slots;
    for (int i = 0; i < p.experts; ++i) {
      list.least[i] = p.weight[list.order[i]] / beat + 1;  // the least c with weight / c < beat
      list.extra[i] = 0;
      spare -= list.least[i];
    }
    if (spare > 0) list.extra[0] = spare;
    list.state[0] = spare >= 0;
  });
  return list.state[0] != 0;
}

template <class Team> EPLB_FN bool next_counts(Team& team, const CountList& list, int experts) {
  team.single([&] {
    const int last = list.extra[experts - 1];
    list.extra[experts - 1] = 0;
    int i = experts - 2;
    while (i >= 0 && list.extra[i] == 0) --i;
    list.state[0] = i >= 0;
    if (i < 0) return;
    --list.extra[i];
    list.extra[i + 1] = last + 1;
  });
  return list.state[0] != 0;
}

// Sets p.count; false if an expert would have more than `most`.
template <class Team> EPLB_FN bool take_counts(Team& team, const CountList& list, const Positions& p, int most) {
  team.for_each(p.experts, [&](int i) { p.count[list.order[i]] = list.least[i] + list.extra[i]; });
  return team.max_of(p.experts, [&](int e) { return p.count[e]; }) <= most;
}

EPLB_STAGE_END
