// Groups of experts on nodes, as many on each, so that the heaviest node is as light as it can be.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

inline constexpr int kExactGroups = 16;      // up to so many the best way is always found;
inline constexpr int kGroupSteps = 1 << 16;  // with more, a search that is not through by then keeps the best so far

struct GroupSearch {
  View<int> best;           // by group: its node
  View<int> order, chosen;  // groups by size, largest first; places in `order`, node by node
  View<int> taken;          // by place in `order`
  View<int> sum, used;      // by node

  EPLB_FN void lay_out(Arena& arena, int groups, int nodes) {
    best = arena.take<int>(groups);
    order = arena.take<int>(groups);
    chosen = arena.take<int>(groups);
    taken = arena.take<int>(groups);
    sum = arena.take<int>(nodes);
    used = arena.take<int>(nodes);
  }
};

// Node by node: the largest group that is left, then all choices of others that keep the node below the best so far and leave
// no more than the other nodes can take below it. Near the optimum that leaves few sets for a node. Ties: the first found.
class GroupWalk {
 public:
  // `best` in s holds an assignment whose heaviest node is `heaviest`.
  EPLB_FN GroupWalk(const GroupSearch& s, View<int> size, int groups, int nodes, int heaviest)
      : s_(s), size_(size), groups_(groups), nodes_(nodes), places_(groups / nodes), best_(heaviest) {
    for (int i = 0; i < groups; ++i) {
      int j = i;
      for (; j > 0 && size[s.order[j - 1]] < size[i]; --j) s.order[j] = s.order[j - 1];
      s.order[j] = i;
    }
    for (int i = 0; i < groups; ++i) {
      s_.taken[i] = 0;
      left_ += size[i];
    }
    int64_t smallest = 0;  // the places - 1 smallest: someone shares a node with the largest
    for (int i = 1; i < places_; ++i) smallest += size[s.order[groups - i]];
    const int64_t mean = (left_ + nodes - 1) / nodes, largest = size[s.order[0]] + smallest;
    least_ = static_cast<int>(mean > largest ? mean : largest);
  }
  EPLB_FN void run() {
    s_.chosen[0] = -1;
    int t = 0;  // what is being chosen: place t % places of node t / places
    for (int steps = 0; t >= 0 && best_ > least_; ++steps) {
      if (steps == kGroupSteps && groups_ > kExactGroups) {
        through_ = false;
        return;
      }
      if (s_.chosen[t] >= 0) release(t);
      const int i = next(t);
      s_.chosen[t] = i;
      if (i < 0) {
        --t;
        continue;
      }
      take(t, i);
      if (t + 1 < groups_) {
        s_.chosen[++t] = -1;
        continue;
      }
      keep();
    }
  }
  EPLB_FN int best() const { return best_; }
  EPLB_FN bool proven() const { return through_; }  // after run: that nothing is better

 private:
  EPLB_FN int size_at(int i) const { return size_[s_.order[i]]; }
  EPLB_FN void take(int t, int i) {
    s_.sum[t / places_] = (t % places_ == 0 ? 0 : s_.sum[t / places_]) + size_at(i);
    s_.taken[i] = 1;
    left_ -= size_at(i);
  }
  EPLB_FN void release(int t) {
    const int i = s_.chosen[t];
    s_.sum[t / places_] -= size_at(i);
    s_.taken[i] = 0;
    left_ += size_at(i);
  }
  // The next place in `order` to try as choice t; -1 if there is none.
  EPLB_FN int next(int t) const {
    const int n = t / places_;
    if (t % places_ == 0) {
      if (s_.chosen[t] >= 0) return -1;  // the largest that is left was tried
      int i = 0;
      while (s_.taken[i]) ++i;
      return size_at(i) < best_ ? i : -1;
    }
    const bool last = t % places_ == places_ - 1;
    const int64_t others = int64_t{nodes_ - 1 - n} * (best_ - 1);
    for (int i = more(s_.chosen[t], s_.chosen[t - 1]) + 1; i < groups_; ++i) {
      if (s_.taken[i] || s_.sum[n] + size_at(i) >= best_) continue;
      if (last && left_ - size_at(i) > others) return -1;  // and smaller ones leave still more
      return i;
    }
    return -1;
  }
  EPLB_FN void keep() {
    best_ = 0;
    for (int n = 0; n < nodes_; ++n) best_ = more(best_, s_.sum[n]);
    for (int t = 0; t < groups_; ++t) s_.best[s_.order[s_.chosen[t]]] = t / places_;
  }

  GroupSearch s_;
  View<int> size_;
  int groups_, nodes_, places_, best_, least_;
  int64_t left_ = 0;
  bool through_ = true;
};

// Largest first to the lightest node with room: where a walk may begin. Returns the heaviest node.
EPLB_FN int spread_groups(const GroupSearch& s, View<int> size, int groups, int nodes) {
  for (int n = 0; n < nodes; ++n) s.sum[n] = s.used[n] = 0;
  for (int g = 0; g < groups; ++g) s.taken[g] = 0;
  int heaviest = 0;
  for (int i = 0; i < groups; ++i) {
    int g = -1, to = -1;
    for (int j = 0; j < groups; ++j)
      if (!s.taken[j] && (g < 0 || size[j] > size[g])) g = j;
    for (int n = 0; n < nodes; ++n)
      if (s.used[n] < groups / nodes && (to < 0 || s.sum[n] < s.sum[to])) to = n;
    s.taken[g] = 1;
    s.best[g] = to;
    ++s.used[to];
    s.sum[to] += size[g];
    heaviest = more(heaviest, s.sum[to]);
  }
  return heaviest;
}

// place[group]: node * places + rank. Holds a good assignment when called, the best found after; groups in ascending order.
template <class Team>
EPLB_FN void search_groups(Team& team, const GroupSearch& s, View<int> size, View<int> place, int groups, int nodes) {
  const int places = groups / nodes;
  team.single([&] {
    for (int n = 0; n < nodes; ++n) s.sum[n] = 0;
    for (int g = 0; g < groups; ++g) s.sum[place[g] / places] += size[g];
    int heaviest = 0;
    for (int n = 0; n < nodes; ++n) heaviest = more(heaviest, s.sum[n]);
    for (int g = 0; g < groups; ++g) s.best[g] = place[g] / places;
    GroupWalk(s, size, groups, nodes, heaviest).run();
    for (int n = 0; n < nodes; ++n) s.used[n] = n * places;
    for (int g = 0; g < groups; ++g) place[g] = s.used[s.best[g]]++;
  });
}

EPLB_STAGE_END
