// BEST on two slots per GPU: a search for counts. A proposal takes a copy from one expert and gives
// it to another; the first that lessens the violation, the excess of all pairs over a target, is
// accepted. The search is sequential by definition, but a rejected proposal changes nothing: a
// device may judge several ahead and take the first that is accepted.
#pragma once

#include "solver/search/paired_counts.h"
#include "solver/team/random.h"

EPLB_STAGE_BEGIN

inline constexpr int kStale = 600;       // proposals without a new best before a kick
inline constexpr int kKickMoves = 3;     // random moves of a kick
inline constexpr uint32_t kGuided = 26;  // of 32 proposals, how many look at a pair above target
inline constexpr int kTargetStep = 6;    // 1/1024 of the best: how far the target is below it

// What it adds to the violation, at least, that an expert gets one copy more, or has one less.
// Computed when it is needed, valid while the pairs above the target stay what they are.
struct CopyPrices {
  View<int> version;  // by expert
  View<int64_t> price;

  EPLB_FN void lay_out(Arena& arena, int experts) { arena.take(experts, version, price); }
};

struct TwoSlotSearch {
  PairedCounts now, kept;  // kept: the best
  PairedCounts next;       // of a proposal: only sizes and experts of replicas
  CopyPrices given, taken;
  View<int> givers;                // experts with copies to give, largest replicas first
  View<int> above;                 // pairs above the target
  View<int> crowd_from, crowd_to;  // intervals of sizes with too many replicas
  View<int> num_crowds;            // [0]
  View<int> weight;                // by expert

  int experts, slots, pairs, most_copies;
  int target, violation, best;
  int num_givers, num_above, version, since_best;
  ChanceBuffer proposals;
  Chance kicks;
  uint32_t drawn;

  EPLB_FN void lay_out(Arena& arena, int num_experts, int num_slots) {
    now.lay_out(arena, num_experts, num_slots);
    kept.lay_out(arena, num_experts, num_slots);
    next.lay_out(arena, num_experts, num_slots);
    given.lay_out(arena, num_experts);
    taken.lay_out(arena, num_experts);
    givers = arena.take<int>(num_slots);
    arena.take(num_slots / 2, above, crowd_from, crowd_to);
    num_crowds = arena.take<int>(1);
    proposals.lay_out(arena);
  }
};

EPLB_FN int largest_pair(Team auto& team, const TwoSlotSearch& search) {
  return largest_pair(team, search.now.size, search.pairs);
}
EPLB_FN void keep(Team auto& team, TwoSlotSearch& search, int largest) {
  search.best = largest;
  copy(team, search.now, search.kept, search.experts, search.slots);
}

EPLB_FN void apply(Team auto& team, const TwoSlotSearch& search, CopyMove move) {
  const PairedCounts &now = search.now, &next = search.next;
  const int slots = search.slots;
  const ListEdits edits = edits_of(team, now, search.weight, slots, move);
  write_edited(team, edits, &ListEdit::size, now.size, next.size, slots);
  write_edited(team, edits, &ListEdit::expert, now.expert, next.expert, slots);
  copy(team, next.size, now.size, slots);
  copy(team, next.expert, now.expert, slots);
  team.single([&] {
    --now.copies[move.giver];
    ++now.copies[move.taker];
  });
  team.for_each(slots, [&](int i) {
    const int e = now.expert[i];
    if (i == 0 || now.expert[i - 1] != e) now.first[e] = i;
  });
}

// The sizes of which there are too many: the union over the pairs above the target of the intervals
// from max(target - smaller size, target / 2) to the larger size, in falling order. By one lane.
EPLB_FN int list_crowds(const TwoSlotSearch& search) {
  const View<int> size = search.now.size, from = search.crowd_from, to = search.crowd_to;
  int crowds = 0;
  for (int i = 0; i < search.num_above; ++i) {  // larger members come first: upper ends fall
    const int pair = search.above[i], partner = size[search.slots - 1 - pair];
    const int low = larger(search.target - partner, search.target / 2), high = size[pair];
    if (high <= low) continue;
    if (crowds > 0 && high >= from[crowds - 1]) {
      from[crowds - 1] = smaller(from[crowds - 1], low);
    } else {
      from[crowds] = low;
      to[crowds++] = high;
    }
  }
  return crowds;
}

// After the pairs or the target have changed: pairs above it, crowded sizes, experts that can give.
EPLB_FN void refresh(Team auto& team, TwoSlotSearch& search) {
  const PairedCounts& now = search.now;
  const View<int> size = now.size, givers = search.givers;
  const int target = search.target, last = search.slots - 1;
  ++search.version;
  search.num_above = team.pick(search.pairs, search.above,
                               [&](int i) { return size[i] + size[last - i] > target; });
  team.single([&] { search.num_crowds[0] = list_crowds(search); });
  search.num_givers = team.pick(search.slots, givers, [&](int i) {
    const int e = now.expert[i];
    return now.copies[e] > 1 && now.first[e] == i;
  });
  team.for_each(search.num_givers, [&](int i) { givers[i] = now.expert[givers[i]]; });
}

// Sets the target a little below the best.
EPLB_FN void lower_target(Team auto& team, TwoSlotSearch& search) {
  search.target = search.best - static_cast<int>(int64_t{search.best} * kTargetStep / 1024);
  search.violation = excess_of_pairs(team, search.now.size, search.pairs, search.target);
  refresh(team, search);
}

// The violation is the integral over sizes t of how many more replicas are above t than find
// partners below target - t. It is convex in that difference, so it changes at least as much as the
// integral over the crowded sizes does. That integral is a sum over experts: a price for each.
// Where the prices of a move do not add up to less than zero, the violation cannot fall.
EPLB_FN int64_t crowded_below(const TwoSlotSearch& search, int size) {
  const View<int> from = search.crowd_from, to = search.crowd_to;
  int64_t sum = 0;
  for (int i = 0, n = search.num_crowds[0]; i < n; ++i)
    sum += larger(0, smaller(size, to[i]) - from[i]);
  return sum;
}
EPLB_FN int64_t price(const TwoSlotSearch& search, int e, int copies) {
  const int size = search.weight[e] / copies;
  return copies * (crowded_below(search, size) - crowded_below(search, search.target - size));
}
EPLB_FN void renew(const TwoSlotSearch& search, const CopyPrices& prices, int e, int more_copies) {
  if (prices.version[e] == search.version) return;
  const int copies = search.now.copies[e];
  prices.version[e] = search.version;
  prices.price[e] = price(search, e, copies + more_copies) - price(search, e, copies);
}
EPLB_FN bool cannot_help(Team auto& team, const TwoSlotSearch& search, CopyMove move) {
  team.single([&] {
    renew(search, search.given, move.giver, -1);
    renew(search, search.taken, move.taker, 1);
  });
  return search.given.price[move.giver] + search.taken.price[move.taker] >= 0;
}

// Random moves from the best counts.
EPLB_FN void kick(Team auto& team, TwoSlotSearch& search) {
  const PairedCounts& now = search.now;
  copy(team, search.kept, now, search.experts, search.slots);
  search.since_best = 0;
  for (int i = 0; i < kKickMoves; ++i, search.drawn += 2) {
    const uint32_t random = search.kicks(search.drawn), other = search.kicks(search.drawn + 1);
    const int giver = search.givers[below(random, search.num_givers)];
    const int taker = below(other, search.experts);
    if (giver != taker && now.copies[giver] > 1 && now.copies[taker] < search.most_copies)
      apply(team, search, CopyMove{giver, taker});
  }
  lower_target(team, search);
  const int largest = largest_pair(team, search);
  if (largest < search.best) keep(team, search, largest);
}

// Draws a move: mostly to the owner of a replica, mostly the larger, of a pair above the target.
EPLB_FN CopyMove draw_move(Team auto& team, TwoSlotSearch& search) {
  const uint32_t random = search.proposals(team, 2 * search.drawn);
  const uint32_t other = search.proposals(team, 2 * search.drawn + 1);
  ++search.drawn;
  const int giver = search.givers[below(random, search.num_givers)];
  if (search.num_above == 0 || (random * 0x9E3779B1u) >> 27 >= kGuided)
    return {giver, below(other, search.experts)};
  const int pair = search.above[below(other, search.num_above)];
  return {giver, search.now.expert[other & 3 ? pair : search.slots - 1 - pair]};
}

EPLB_FN void propose(Team auto& team, TwoSlotSearch& search) {
  const PairedCounts& now = search.now;
  const CopyMove move = draw_move(team, search);
  if (++search.since_best > kStale) return kick(team, search);
  if (move.giver == move.taker || now.copies[move.taker] >= search.most_copies) return;
  if (cannot_help(team, search, move)) return;
  const ListEdits edits = edits_of(team, now, search.weight, search.slots, move);
  write_edited(team, edits, &ListEdit::size, now.size, search.next.size, search.slots);
  const int excess = excess_of_pairs(team, search.next.size, search.pairs, search.target);
  if (excess >= search.violation) return;
  apply(team, search, move);
  search.violation = excess;
  const int largest = largest_pair(team, search);
  if (largest < search.best) {
    search.since_best = 0;
    keep(team, search, largest);
  }
  if (search.violation == 0)
    lower_target(team, search);
  else
    refresh(team, search);
}

EPLB_FN void begin(Team auto& team, TwoSlotSearch& search, const SortedReplicas& sorted,
                   const Chance& chance, int most_copies) {
  search.weight = sorted.weight;
  search.experts = sorted.experts;
  search.slots = sorted.slots;
  search.pairs = sorted.gpus;
  search.most_copies = most_copies;
  search.proposals.begin(team, chance.at(kTwoSlotProposal));
  search.kicks = chance.at(kTwoSlotKick);
  search.drawn = 0;
  search.version = search.since_best = 0;
  const PairedCounts start{sorted.size, sorted.expert, sorted.copies, sorted.first};
  copy(team, start, search.now, search.experts, search.slots);
  team.for_each(search.experts,
                [&](int e) { search.given.version[e] = search.taken.version[e] = 0; });
  keep(team, search, largest_pair(team, search));
  lower_target(team, search);
}

// Searches from the copies of `sorted`; leaves the best in `kept`.
EPLB_FN void search_two_slots(Team auto& team, TwoSlotSearch& search, const SortedReplicas& sorted,
                              const Chance& chance, int most_copies, int proposals) {
  begin(team, search, sorted, chance, most_copies);
  for (int i = 0; i < proposals && search.num_givers > 0 && !team.stopped(); ++i)
    propose(team, search);
}

EPLB_STAGE_END
