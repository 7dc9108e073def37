// Groups of experts on nodes, equally many on each, so that the heaviest node is as light as
// possible.
#pragma once

#include "solver/team/memory.h"

EPLB_STAGE_BEGIN

inline constexpr int kExactGroups = 16;  // up to this number, the optimum is always found
// With more groups, a walk that has not ended after this number of steps keeps its best so far.
inline constexpr int kGroupSteps = 1 << 16;

// Memory of the search. A *rank* is a group's place in `order`.
struct GroupSearch {
  View<int> node_of;   // by group: its node in the best assignment
  View<int> order;     // by rank: its group; largest first
  View<int> chosen;    // by choice: its rank; the choices of a node follow each other
  View<int> taken;     // by rank: has it been chosen?
  View<int> node_sum;  // by node: size of its groups
  View<int> used;      // by node: number of its groups

  EPLB_FN void lay_out(Arena& arena, int groups, int nodes) {
    node_of = arena.take<int>(groups);
    order = arena.take<int>(groups);
    chosen = arena.take<int>(groups);
    taken = arena.take<int>(groups);
    node_sum = arena.take<int>(nodes);
    used = arena.take<int>(nodes);
  }
};

EPLB_FN int heaviest_node(const GroupSearch& search, int nodes) {
  int heaviest = 0;
  for (int node = 0; node < nodes; ++node) heaviest = larger(heaviest, search.node_sum[node]);
  return heaviest;
}

// Branch and bound, node by node. The first group of a node is the largest one left; the others are
// all choices that keep the node below the best heaviest node so far and leave no more than the
// other nodes can take below it. Near the optimum that leaves few choices. Ties: the first found.
class GroupWalk {
 public:
  // search.node_of holds an assignment whose heaviest node is `heaviest`.
  EPLB_FN GroupWalk(const GroupSearch& search, View<int> size, int groups, int nodes, int heaviest)
      : search_(search),
        size_(size),
        groups_(groups),
        nodes_(nodes),
        groups_per_node_(groups / nodes),
        best_(heaviest) {
    sort_by_size();
    for (int rank = 0; rank < groups; ++rank) {
      search_.taken[rank] = 0;
      left_ += size_at(rank);
    }
    lower_bound_ = lower_bound();
  }
  EPLB_FN void run() {
    search_.chosen[0] = kUnchosen;
    int choice = 0;
    for (int steps = 0; choice >= 0 && best_ > lower_bound_; ++steps) {
      if (steps == kGroupSteps && groups_ > kExactGroups) {
        proven_ = false;
        return;
      }
      if (search_.chosen[choice] != kUnchosen) release(choice);
      const int rank = next(choice);
      search_.chosen[choice] = rank;
      if (rank == kUnchosen) {
        --choice;
        continue;
      }
      take(choice, rank);
      if (choice + 1 < groups_) {
        search_.chosen[++choice] = kUnchosen;
        continue;
      }
      keep();
    }
  }
  EPLB_FN int best() const { return best_; }
  EPLB_FN bool proven() const { return proven_; }  // after run: is no assignment better?

 private:
  static constexpr int kUnchosen = -1;

  EPLB_FN int size_at(int rank) const { return size_[search_.order[rank]]; }
  EPLB_FN int node_of_choice(int choice) const { return choice / groups_per_node_; }

  // Insertion: equal groups stay in ascending order.
  EPLB_FN void sort_by_size() {
    for (int group = 0; group < groups_; ++group) {
      int rank = group;
      for (; rank > 0 && size_at(rank - 1) < size_[group]; --rank)
        search_.order[rank] = search_.order[rank - 1];
      search_.order[rank] = group;
    }
  }
  // The mean, and the largest group with the smallest ones that can share its node.
  EPLB_FN int lower_bound() const {
    int64_t largest = size_at(0);
    for (int i = 1; i < groups_per_node_; ++i) largest += size_at(groups_ - i);
    const int64_t mean = (left_ + nodes_ - 1) / nodes_;
    return static_cast<int>(mean > largest ? mean : largest);
  }
  EPLB_FN void take(int choice, int rank) {
    const int node = node_of_choice(choice);
    const bool first = choice % groups_per_node_ == 0;
    search_.node_sum[node] = (first ? 0 : search_.node_sum[node]) + size_at(rank);
    search_.taken[rank] = 1;
    left_ -= size_at(rank);
  }
  EPLB_FN void release(int choice) {
    const int rank = search_.chosen[choice];
    search_.node_sum[node_of_choice(choice)] -= size_at(rank);
    search_.taken[rank] = 0;
    left_ += size_at(rank);
  }
  // The next rank to try for a choice, or kUnchosen.
  EPLB_FN int next(int choice) const {
    const int in_node = choice % groups_per_node_;
    return in_node == 0 ? next_of_first(choice)
                        : next_of_others(choice, in_node == groups_per_node_ - 1);
  }
  EPLB_FN int next_of_first(int choice) const {
    if (search_.chosen[choice] != kUnchosen) return kUnchosen;  // the largest one left was tried
    int rank = 0;
    while (search_.taken[rank]) ++rank;
    return size_at(rank) < best_ ? rank : kUnchosen;
  }
  EPLB_FN int next_of_others(int choice, bool last_of_node) const {
    const int node = node_of_choice(choice), sum = search_.node_sum[node];
    const int64_t most_left = int64_t{nodes_ - 1 - node} * (best_ - 1);
    int rank = larger(search_.chosen[choice], search_.chosen[choice - 1]) + 1;
    for (; rank < groups_; ++rank) {
      if (search_.taken[rank] || sum + size_at(rank) >= best_) continue;
      // Too much would be left for the other nodes, and with a smaller group even more.
      if (last_of_node && left_ - size_at(rank) > most_left) return kUnchosen;
      return rank;
    }
    return kUnchosen;
  }
  EPLB_FN void keep() {
    best_ = heaviest_node(search_, nodes_);
    for (int choice = 0; choice < groups_; ++choice)
      search_.node_of[search_.order[search_.chosen[choice]]] = node_of_choice(choice);
  }

  GroupSearch search_;
  View<int> size_;
  int groups_, nodes_, groups_per_node_;
  int best_, lower_bound_;  // of the heaviest node
  int64_t left_ = 0;        // size of the groups that are not chosen
  bool proven_ = true;
};

// Largest first to the lightest node with an open slot: an assignment for a walk to begin with.
// Returns its heaviest node.
EPLB_FN int spread_groups(const GroupSearch& search, View<int> size, int groups, int nodes) {
  for (int node = 0; node < nodes; ++node) search.node_sum[node] = search.used[node] = 0;
  for (int group = 0; group < groups; ++group) search.taken[group] = 0;
  for (int i = 0; i < groups; ++i) {
    int largest = -1, lightest = -1;
    for (int group = 0; group < groups; ++group)
      if (!search.taken[group] && (largest < 0 || size[group] > size[largest])) largest = group;
    for (int node = 0; node < nodes; ++node)
      if (search.used[node] < groups / nodes &&
          (lightest < 0 || search.node_sum[node] < search.node_sum[lightest]))
        lightest = node;
    search.taken[largest] = 1;
    search.node_of[largest] = lightest;
    ++search.used[lightest];
    search.node_sum[lightest] += size[largest];
  }
  return heaviest_node(search, nodes);
}

// place[group] = node * groups per node + its rank on the node, groups in ascending order. Holds an
// assignment when called and the best that was found afterwards.
template <class Team>
EPLB_FN void search_groups(Team& team, const GroupSearch& search, View<int> size, View<int> place,
                           int groups, int nodes) {
  const int groups_per_node = groups / nodes;
  team.single([&] {
    for (int node = 0; node < nodes; ++node) search.node_sum[node] = 0;
    for (int group = 0; group < groups; ++group) {
      search.node_of[group] = place[group] / groups_per_node;
      search.node_sum[search.node_of[group]] += size[group];
    }
    GroupWalk(search, size, groups, nodes, heaviest_node(search, nodes)).run();
    const View<int> next = search.used;
    for (int node = 0; node < nodes; ++node) next[node] = node * groups_per_node;
    for (int group = 0; group < groups; ++group) place[group] = next[search.node_of[group]]++;
  });
}

EPLB_STAGE_END
