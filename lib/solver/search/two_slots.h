// BEST on two slots per GPU. For given counts pairing the largest with the smallest is optimal, so only counts are searched.
// A proposal (a, b) takes a replica from expert a and gives b one; the first that lessens the violation V, the sum over pairs
// of what they exceed a target T by, is taken. Sequential by definition, but what is rejected changes nothing: a device may
// judge any number ahead and take the lowest that is accepted.
#pragma once

#include "solver/team/random.h"
#include "solver/counts/sorted_replicas.h"

EPLB_STAGE_BEGIN

inline constexpr int kStale = 600, kKickMoves = 3;  // proposals without a new best before a kick; moves of a kick
inline constexpr uint32_t kGuided = 26;             // of 32 proposals so many look at a pair above the target

// Counts and the positions that follow from them.
struct FoldState {
  View<int> size, owner;   // by position
  View<int> count, first;  // by expert

  EPLB_FN void lay_out(Arena& arena, int e, int s) {
    size = arena.take_padded_in_front<int>(s);  // mirrored loads look before the first position
    owner = arena.take<int>(s);
    count = arena.take<int>(e);
    first = arena.take<int>(e);
  }
};

// What it would bring to give a replica away, or to take one: computed when asked for, good while the pairs above T last.
struct FoldPrices {
  View<int> given_at, taken_at;  // versions
  View<int64_t> given, taken;

  EPLB_FN void lay_out(Arena& arena, int e) {
    given_at = arena.take<int>(e);
    taken_at = arena.take<int>(e);
    given = arena.take<int64_t>(e);
    taken = arena.take<int64_t>(e);
  }
};

struct Fold {
  FoldState now, kept, next;  // next: sizes and owners of a proposal
  FoldPrices prices;
  View<int> split, over;      // experts with copies to give, by position; pairs above T
  View<int> from, to, marks;  // intervals of sizes that are too many; marks[0]: how many
  View<int> weight;

  int experts, slots, pairs, most;
  int target, violation, best;
  int splits, overs, version, since;
  uint32_t draws;
  Draws proposals;
  Chance kicks;

  EPLB_FN void lay_out(Arena& arena, int e, int s) {
    now.lay_out(arena, e, s);
    kept.lay_out(arena, e, s);
    next.lay_out(arena, e, s);
    prices.lay_out(arena, e);
    split = arena.take<int>(s);
    over = arena.take<int>(s / 2);
    from = arena.take<int>(s / 2);
    to = arena.take<int>(s / 2);
    marks = arena.take<int>(1);
    proposals.lay_out(arena);
  }
};

struct Measure {
  int violation, largest;
};
template <class Team> EPLB_FN Measure measure(Team& team, const Fold& f, View<int> size) {
  const Mirrored<int> partner{size.data, f.slots};
  const int target = f.target;
  const int largest = team.max(0, f.pairs, [=](auto i) { return size[i] + partner[i]; });
  if (largest <= target) return {0, largest};
  return {team.sum(0, f.pairs, [=](auto i) { return larger(size[i] + partner[i] - target, 0); }), largest};
}

template <class Team> EPLB_FN void copy(Team& team, View<int> from, View<int> to, int n) {
  team.sweep(n, [=](auto i) { to.set(i, from[i]); });
}
template <class Team> EPLB_FN void copy(Team& team, const Fold& f, const FoldState& from, const FoldState& to) {
  copy(team, from.size, to.size, f.slots);
  copy(team, from.owner, to.owner, f.slots);
  copy(team, from.count, to.count, f.experts);
  copy(team, from.first, to.first, f.experts);
}

// The first position that does not come before a replica of such a size of expert e.
EPLB_FN int place_of(const Fold& f, int size, int e) {
  const View<int> sizes = f.now.size, owner = f.now.owner;
  auto earlier = [&](int i) { return (sizes[i] > size) | ((sizes[i] == size) & (owner[i] < e)); };
  int low = 0, n = f.slots;
  for (; n > 1; n -= n / 2) low += n / 2 & -static_cast<int>(earlier(low + n / 2 - 1));  // no branch to foresee
  return low + static_cast<int>(earlier(low));
}

// The positions after a proposal: two blocks cut out, two put in, the rest shifted. By position in the old list.
struct FoldEdit {
  int at, cut, put, size, expert;
};
struct FoldEdits {
  FoldEdit edit[4];
};
EPLB_FN FoldEdits edits_of(const Fold& f, int a, int b) {
  const FoldState& s = f.now;
  const int copies_a = s.count[a] - 1, copies_b = s.count[b] + 1;
  const int size_a = f.weight[a] / copies_a, size_b = f.weight[b] / copies_b;
  FoldEdits edits{{{smaller(place_of(f, size_a, a), s.first[a]), 0, copies_a, size_a, a},
                   {s.first[a], s.count[a], 0, 0, a},
                   {s.first[b], s.count[b], 0, 0, b},
                   {larger(place_of(f, size_b, b), s.first[b] + s.count[b]), 0, copies_b, size_b, b}}};
  auto before = [](const FoldEdit& x, const FoldEdit& y) {
    if (x.at != y.at) return x.at < y.at;
    if (x.put == 0 || y.put == 0) return x.put > 0;
    return x.size != y.size ? x.size > y.size : x.expert < y.expert;
  };
  for (int i = 1; i < 4; ++i)
    for (int j = i; j > 0 && before(edits.edit[j], edits.edit[j - 1]); --j) {
      const FoldEdit x = edits.edit[j];
      edits.edit[j] = edits.edit[j - 1];
      edits.edit[j - 1] = x;
    }
  return edits;
}

// Writes sizes, or owners, as they would be.
template <class Team>
EPLB_FN void write_edited(Team& team, const Fold& f, const FoldEdits& edits, View<int> old, View<int> out,
                          bool owners) {
  int at = 0, next = 0;
  for (int i = 0; i < 4; ++i) {
    const FoldEdit e = edits.edit[i];
    if (e.at > at) {
      copy(team, old.from(at), out.from(next), e.at - at);
      next += e.at - at;
      at = e.at;
    }
    if (e.cut > 0) at = e.at + e.cut;
    const int value = owners ? e.expert : e.size;
    const View<int> place = out.from(next);
    if (e.put > 0) team.sweep(e.put, [=](auto j) { place.set(j, value); });
    next += e.put;
  }
  if (at < f.slots) copy(team, old.from(at), out.from(next), f.slots - at);
}

template <class Team> EPLB_FN void apply(Team& team, const Fold& f, int a, int b) {
  const FoldEdits edits = edits_of(f, a, b);
  write_edited(team, f, edits, f.now.size, f.next.size, false);
  write_edited(team, f, edits, f.now.owner, f.next.owner, true);
  copy(team, f.next.size, f.now.size, f.slots);
  copy(team, f.next.owner, f.now.owner, f.slots);
  team.single([&] {
    --f.now.count[a];
    ++f.now.count[b];
  });
  team.for_each(f.slots, [&](int i) {
    const int e = f.now.owner[i];
    if (i == 0 || f.now.owner[i - 1] != e) f.now.first[e] = i;
  });
}

// After the pairs or the target have changed: which pairs are above it, which sizes are too many, who can give.
template <class Team> EPLB_FN void refresh(Team& team, Fold& f) {
  const View<int> size = f.now.size;
  const int target = f.target, last = f.slots - 1;
  ++f.version;
  f.overs = team.pick(f.pairs, f.over, [&](int i) { return size[i] + size[last - i] > target; });
  team.single([&] {
    int n = 0;
    for (int z = 0; z < f.overs; ++z) {  // larger members come first, so upper ends fall
      const int low = larger(target - size[last - f.over[z]], target / 2), high = size[f.over[z]];
      if (high <= low) continue;
      if (n > 0 && high >= f.from[n - 1]) {
        f.from[n - 1] = smaller(f.from[n - 1], low);
      } else {
        f.from[n] = low;
        f.to[n++] = high;
      }
    }
    f.marks[0] = n;
  });
  f.splits = team.pick(f.slots, f.split, [&](int i) {
    const int e = f.now.owner[i];
    return f.now.count[e] > 1 && f.now.first[e] == i;
  });
  team.for_each(f.splits, [&](int i) { f.split[i] = f.now.owner[f.split[i]]; });
}

template <class Team> EPLB_FN void aim(Team& team, Fold& f) {  // 6/1024 below the best
  f.target = f.best - static_cast<int>(int64_t{f.best} * 6 / 1024);
  f.violation = measure(team, f, f.now.size).violation;
  refresh(team, f);
}

// V is the integral over sizes t of how many more replicas are above t than fit partners below T - t. It is convex in that,
// so its change is at least that of the integral where there are too many: a price for each replica, that adds up over
// experts. Where it is not negative, V cannot get less.
EPLB_FN int64_t too_many_below(const Fold& f, int size) {
  int64_t sum = 0;
  for (int i = 0, n = f.marks[0]; i < n; ++i) sum += larger(0, smaller(size, f.to[i]) - f.from[i]);
  return sum;
}
EPLB_FN int64_t price(const Fold& f, int e, int copies) {
  const int size = f.weight[e] / copies;
  return copies * (too_many_below(f, size) - too_many_below(f, f.target - size));
}
template <class Team> EPLB_FN bool cannot_help(Team& team, const Fold& f, int a, int b) {
  team.single([&] {
    const int copies_a = f.now.count[a], copies_b = f.now.count[b];
    if (f.prices.given_at[a] != f.version) {
      f.prices.given_at[a] = f.version;
      f.prices.given[a] = price(f, a, copies_a - 1) - price(f, a, copies_a);
    }
    if (f.prices.taken_at[b] != f.version) {
      f.prices.taken_at[b] = f.version;
      f.prices.taken[b] = price(f, b, copies_b + 1) - price(f, b, copies_b);
    }
  });
  return f.prices.given[a] + f.prices.taken[b] >= 0;
}

template <class Team> EPLB_FN void kick(Team& team, Fold& f) {
  copy(team, f, f.kept, f.now);
  f.since = 0;
  for (int i = 0; i < kKickMoves; ++i, f.draws += 2) {
    const int a = f.split[below(f.kicks(f.draws), f.splits)], b = below(f.kicks(f.draws + 1), f.experts);
    if (a != b && f.now.count[a] > 1 && f.now.count[b] < f.most) apply(team, f, a, b);
  }
  aim(team, f);
  const int largest = measure(team, f, f.now.size).largest;
  if (largest >= f.best) return;
  f.best = largest;
  copy(team, f, f.now, f.kept);
}

template <class Team> EPLB_FN void propose(Team& team, Fold& f) {
  const uint32_t random = f.proposals(team, 2 * f.draws), other = f.proposals(team, 2 * f.draws + 1);
  ++f.draws;
  const int a = f.split[below(random, f.splits)];
  int b = below(other, f.experts);
  if (f.overs > 0 && (random * 0x9E3779B1u) >> 27 < kGuided) {  // mostly the owner of the larger member of such a pair
    const int i = f.over[below(other, f.overs)];
    b = f.now.owner[other & 3 ? i : f.slots - 1 - i];
  }
  if (++f.since > kStale) return kick(team, f);
  if (a == b || f.now.count[b] >= f.most || cannot_help(team, f, a, b)) return;
  write_edited(team, f, edits_of(f, a, b), f.now.size, f.next.size, false);
  const Measure proposed = measure(team, f, f.next.size);
  if (proposed.violation >= f.violation) return;
  apply(team, f, a, b);
  f.violation = proposed.violation;
  if (proposed.largest < f.best) {
    f.best = proposed.largest;
    f.since = 0;
    copy(team, f, f.now, f.kept);
  }
  if (f.violation == 0)
    aim(team, f);
  else
    refresh(team, f);
}

// Searches from the counts of `p`; leaves the best in `kept`.
template <class Team>
EPLB_FN void search_fold(Team& team, Fold& f, const Positions& p, const Chance& chance, int most, int proposals) {
  f.weight = p.weight;
  f.experts = p.experts;
  f.slots = p.slots;
  f.pairs = p.gpus;
  f.most = most;
  f.proposals.begin(team, chance.at(kFoldProposal));
  f.kicks = chance.at(kFoldKick);
  f.draws = 0;
  f.version = 0;
  f.since = 0;
  copy(team, p.size, f.now.size, p.slots);
  copy(team, p.expert, f.now.owner, p.slots);
  copy(team, p.count, f.now.count, p.experts);
  copy(team, p.first, f.now.first, p.experts);
  team.for_each(p.experts, [&](int e) { f.prices.given_at[e] = f.prices.taken_at[e] = 0; });
  f.target = kNever;
  f.best = measure(team, f, f.now.size).largest;
  copy(team, f, f.now, f.kept);
  aim(team, f);
  for (int i = 0; i < proposals && f.splits > 0; ++i) propose(team, f);
}

// The pairs of counts whose positions belong to `owner`: position i with slots - 1 - i. partner[i] is that of position
// i < pairs. An expert may meet itself only around the middle; such a pair changes partners with the nearest one outwards
// that has neither of them.
template <class Team> EPLB_FN void pair_up(Team& team, View<int> owner, int pairs, View<int> partner) {
  team.single([&] {
    for (int i = 0; i < pairs; ++i) partner[i] = 2 * pairs - 1 - i;
    for (int i = pairs - 1, j = i; i >= 0; --i) {
      if (owner[i] != owner[partner[i]]) continue;
      for (j = smaller(j, i); j >= 0; --j)
        if (owner[j] != owner[i] && owner[partner[j]] != owner[i]) break;
      if (j < 0) return;  // unavoidable: more than half of all replicas
      const int x = partner[i];
      partner[i] = partner[j];
      partner[j] = x;
    }
  });
}

EPLB_STAGE_END
