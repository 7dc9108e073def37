// What the search on two slots per GPU works on: copies of experts, and the replicas that follow.
// For given counts it is optimal to pair the largest replica with the smallest, the second largest
// with the second smallest, and so on; so only counts are searched.
#pragma once

#include "solver/counts/sorted_replicas.h"

EPLB_STAGE_BEGIN

struct PairedCounts {
  View<int> size, expert;   // by replica, sorted as in SortedReplicas
  View<int> copies, first;  // by expert

  EPLB_FN void lay_out(Arena& arena, int experts, int slots) {
    size = arena.take_padded_in_front<int>(slots);  // mirrored loads look before the first replica
    expert = arena.take<int>(slots);
    arena.take(experts, copies, first);
  }
};

EPLB_FN void copy(Team auto& team, View<int> from, View<int> to, int n) {
  team.sweep(n, [=](auto i) { to.set(i, from[i]); });
}
EPLB_FN void copy(Team auto& team, const PairedCounts& from, const PairedCounts& to, int experts,
                  int slots) {
  copy(team, from.size, to.size, slots);
  copy(team, from.expert, to.expert, slots);
  copy(team, from.copies, to.copies, experts);
  copy(team, from.first, to.first, experts);
}

// The largest load of a pair.
EPLB_FN int largest_pair(Team auto& team, View<int> size, int pairs) {
  const Mirrored<int> partner{size.data, 2 * pairs};
  return team.max(0, pairs, [=](auto i) { return size[i] + partner[i]; });
}
// Sum over pairs of what they are above the target.
EPLB_FN int excess_of_pairs(Team auto& team, View<int> size, int pairs, int target) {
  const Mirrored<int> partner{size.data, 2 * pairs};
  return team.sum(0, pairs, [=](auto i) { return larger(size[i] + partner[i] - target, 0); });
}

// Gives `taker` a copy that is taken from `giver`.
struct CopyMove {
  int giver, taker;  // experts
};

// The replicas after a move: two blocks are cut out of the list, two are put in, and the others
// shift. An edit says what happens at a replica of the old list.
struct ListEdit {
  int at;            // before this replica of the old list
  int cut, put;      // numbers of replicas
  int size, expert;  // of those put in
};
struct ListEdits {
  static constexpr int kEdits = 4;
  ListEdit edit[kEdits];
};

// How many replicas are larger than each of two sizes. To count costs less than two searches by
// halves, each step of which waits for the one before.
struct LargerOnes {
  int one, other;
};
EPLB_FN LargerOnes count_larger(Team auto& team, View<int> size, int slots, int one, int other) {
  constexpr int kBits = 15;  // both numbers in an int
  if (slots >> kBits > 0)
    return {team.sum(0, slots, [=](auto i) { return choose(size[i] > one, 1, 0); }),
            team.sum(0, slots, [=](auto i) { return choose(size[i] > other, 1, 0); })};
  const int both = team.sum(0, slots, [=](auto i) {
    const auto own = size[i];
    return choose(own > one, 1, 0) + choose(own > other, 1 << kBits, 0);
  });
  return {both & ((1 << kBits) - 1), both >> kBits};
}

// The first replica that does not come before one of this size and expert, `larger_ones` being
// larger.
EPLB_FN int place_of(const PairedCounts& now, int slots, int larger_ones, int size, int e) {
  if (larger_ones == slots || now.size[larger_ones] != size) return larger_ones;
  return first_not(larger_ones, slots - larger_ones,
                   [&](int i) { return (now.size[i] == size) & (now.expert[i] < e); });
}

EPLB_FN bool is_before(const ListEdit& one, const ListEdit& other) {
  if (one.at != other.at) return one.at < other.at;
  if (one.put == 0 || other.put == 0) return one.put > 0;
  return one.size != other.size ? one.size > other.size : one.expert < other.expert;
}

EPLB_FN void sort_edits(ListEdits& edits) {
  for (int i = 1; i < ListEdits::kEdits; ++i)
    for (int j = i; j > 0 && is_before(edits.edit[j], edits.edit[j - 1]); --j) {
      const ListEdit later = edits.edit[j - 1];
      edits.edit[j - 1] = edits.edit[j];
      edits.edit[j] = later;
    }
}

EPLB_FN ListEdits edits_of(Team auto& team, const PairedCounts& now, View<int> weight, int slots,
                           CopyMove move) {
  const int giver = move.giver, giver_copies = now.copies[giver] - 1,
            giver_first = now.first[giver], giver_size = weight[giver] / giver_copies;
  const int taker = move.taker, taker_copies = now.copies[taker] + 1,
            taker_first = now.first[taker], taker_size = weight[taker] / taker_copies;
  const auto [over_giver, over_taker] = count_larger(team, now.size, slots, giver_size, taker_size);
  // Sizes of the giver grow, so its replicas move up; those of the taker move down.
  const int giver_to = smaller(place_of(now, slots, over_giver, giver_size, giver), giver_first);
  const int taker_to =
      larger(place_of(now, slots, over_taker, taker_size, taker), taker_first + now.copies[taker]);
  ListEdits edits{{{giver_to, 0, giver_copies, giver_size, giver},
                   {giver_first, now.copies[giver], 0, 0, giver},
                   {taker_first, now.copies[taker], 0, 0, taker},
                   {taker_to, 0, taker_copies, taker_size, taker}}};
  sort_edits(edits);
  return edits;
}

// Writes `old`, sizes or experts of the replicas, as it is after the edits; `put` is the field that
// replicas put in have.
EPLB_FN void write_edited(Team auto& team, const ListEdits& edits, int ListEdit::*put,
                          View<int> old, View<int> out, int slots) {
  int at = 0, next = 0;
  for (const ListEdit& edit : edits.edit) {
    if (edit.at > at) {
      copy(team, old.from(at), out.from(next), edit.at - at);
      next += edit.at - at;
      at = edit.at;
    }
    if (edit.cut > 0) at = edit.at + edit.cut;
    const View<int> to = out.from(next);
    const int value = edit.*put;
    if (edit.put > 0) team.sweep(edit.put, [=](auto i) { to.set(i, value); });
    next += edit.put;
  }
  if (at < slots) copy(team, old.from(at), out.from(next), slots - at);
}

// Pairs replica i with slots - 1 - i: partner[i] for i < pairs. An expert may meet itself only
// around the middle; such a pair changes partners with the nearest pair outwards that does not have
// the expert.
EPLB_FN void pair_up(Team auto& team, View<int> expert, int pairs, View<int> partner) {
  team.single([&] {
    for (int i = 0; i < pairs; ++i) partner[i] = 2 * pairs - 1 - i;
    for (int i = pairs - 1, j = i; i >= 0; --i) {
      if (expert[i] != expert[partner[i]]) continue;
      for (j = smaller(j, i); j >= 0; --j)
        if (expert[j] != expert[i] && expert[partner[j]] != expert[i]) break;
      if (j < 0) return;  // unavoidable: the expert has more than half of all replicas
      const int own = partner[i];
      partner[i] = partner[j];
      partner[j] = own;
    }
  });
}

EPLB_STAGE_END
