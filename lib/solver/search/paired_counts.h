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

struct PairLoads {
  int excess;   // sum over pairs of what they are above the target
  int largest;  // load of a pair
};
EPLB_FN PairLoads measure(Team auto& team, View<int> size, int pairs, int target) {
  const Mirrored<int> partner{size.data, 2 * pairs};
  const int largest = team.max(0, pairs, [=](auto i) { return size[i] + partner[i]; });
  if (largest <= target) return {0, largest};
  auto excess = [=](auto i) { return larger(size[i] + partner[i] - target, 0); };
  return {team.sum(0, pairs, excess), largest};
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

// The first replica that does not come before one of this size and expert.
EPLB_FN int find_place(const PairedCounts& now, int slots, int size, int e) {
  const View<int> sizes = now.size, expert = now.expert;
  return first_not(
      0, slots, [&](int i) { return (sizes[i] > size) | ((sizes[i] == size) & (expert[i] < e)); });
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

EPLB_FN ListEdits edits_of(const PairedCounts& now, View<int> weight, int slots, CopyMove move) {
  const int giver = move.giver, giver_copies = now.copies[giver] - 1;
  const int taker = move.taker, taker_copies = now.copies[taker] + 1;
  const int giver_size = weight[giver] / giver_copies, taker_size = weight[taker] / taker_copies;
  // Sizes of the giver grow, so its replicas move up; those of the taker move down.
  const int giver_to = smaller(find_place(now, slots, giver_size, giver), now.first[giver]);
  const int taker_to =
      larger(find_place(now, slots, taker_size, taker), now.first[taker] + now.copies[taker]);
  ListEdits edits{{{giver_to, 0, giver_copies, giver_size, giver},
                   {now.first[giver], now.copies[giver], 0, 0, giver},
                   {now.first[taker], now.copies[taker], 0, 0, taker},
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
