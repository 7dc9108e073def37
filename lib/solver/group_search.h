// Groups of experts on nodes, as many on each, so that the heaviest node is as light as it can be.
#pragma once

#include "solver/team.h"

EPLB_STAGE_BEGIN

inline constexpr int kGroupSteps = 1 << 16;  // a search that is not through by then keeps the best so far

struct GroupSearch {
  View<int> node, best;  // by group
  View<int> sum, used;   // by node

  EPLB_FN void lay_out(Arena& arena, int groups, int nodes) {
    node = arena.take<int>(groups);
    best = arena.take<int>(groups);
    sum = arena.take<int>(nodes);
    used = arena.take<int>(nodes);
  }
};

// Depth first, group by group to the nodes in order, a node that is empty only if it is the first such: nodes are alike. What
// cannot be better than the best is left out; equal ones come later, so ties are lexicographic.
class GroupWalk {
 public:
  EPLB_FN GroupWalk(const GroupSearch& s, View<int> size, int groups, int nodes, int to_beat)
      : s_(s), size_(size), groups_(groups), nodes_(nodes), places_(groups / nodes), best_(to_beat) {
    int64_t total = 0;
    for (int g = 0; g < groups; ++g) total += size[g];
    least_ = static_cast<int>((total + nodes - 1) / nodes);
    for (int n = 0; n < nodes; ++n) s_.sum[n] = s_.used[n] = 0;
  }
  // True if anything better was found; it is in `best` then.
  EPLB_FN bool run() {
    bool found = false;
    s_.node[0] = -1;
    int g = 0;
    for (int steps = 0; g >= 0; ++steps) {
      if (steps == kGroupSteps) {
        through_ = false;
        break;
      }
      if (s_.node[g] >= 0) move(g, s_.node[g], -1);
      const int n = next_node(g, s_.node[g] + 1);
      s_.node[g] = n;
      if (n < 0) {
        --g;
        continue;
      }
      move(g, n, 1);
      if (g + 1 < groups_) {
        s_.node[++g] = -1;
        continue;
      }
      found = true;
      keep();
      if (best_ <= least_) break;
    }
    return found;
  }
  EPLB_FN int best() const { return best_; }
  EPLB_FN bool proven() const { return through_; }  // after run: that nothing is better

 private:
  EPLB_FN void move(int g, int n, int direction) {
    s_.sum[n] += direction * size_[g];
    s_.used[n] += direction;
  }
  EPLB_FN int next_node(int g, int from) const {
    for (int n = from; n < nodes_; ++n) {
      if (s_.used[n] < places_ && s_.sum[n] + size_[g] < best_) return n;
      if (s_.used[n] == 0) return -1;
    }
    return -1;
  }
  EPLB_FN void keep() {
    best_ = 0;
    for (int n = 0; n < nodes_; ++n) best_ = more(best_, s_.sum[n]);
    for (int g = 0; g < groups_; ++g) s_.best[g] = s_.node[g];
  }

  GroupSearch s_;
  View<int> size_;
  int groups_, nodes_, places_, best_, least_;
  bool through_ = true;
};

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
    GroupWalk(s, size, groups, nodes, heaviest + 1).run();
    for (int n = 0; n < nodes; ++n) s.used[n] = n * places;
    for (int g = 0; g < groups; ++g) place[g] = s.used[s.best[g]]++;
  });
}

EPLB_STAGE_END
