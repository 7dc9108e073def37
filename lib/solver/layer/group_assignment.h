// Groups of experts on nodes, equally many on each, so that the heaviest node is as light as
// possible.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

inline constexpr int kExactGroups = 16;  // up to this number, the optimum is always found
// With more groups, a walk that has not ended after this number of steps keeps its best so far.
inline constexpr int kGroupSteps = 1 << 16;

// Memory of the search. A *rank* is a group's place in `order`.
struct GroupWorkspace {
  View<int> order;     // by rank: its group; largest first
  View<int> taken;     // by rank: has it been chosen?
  View<int> chosen;    // by choice: its rank; the choices of a node follow each other
  View<int> node_sum;  // by node: size of its groups
  View<int> result;    // the fields of AssignedGroups

  EPLB_FN void lay_out(Arena& arena, int groups, int nodes) {
    arena.take(groups, order, taken, chosen);
    node_sum = arena.take<int>(nodes);
    result = arena.take<int>(2);
  }
};

struct AssignedGroups {
  int heaviest;  // size of the heaviest node
  bool proven;   // is no assignment better?
};

// Branch and bound, node by node, by one lane. The first group of a node is the largest one left;
// the others are all choices that keep the node below the best heaviest node so far and leave no
// more than the other nodes can take below it. Near the optimum that leaves few choices. When the
// best gets better, nodes chosen before stay: an assignment as good as the best replaces it if both
// have their heaviest node among these.
class GroupWalk {
 public:
  // slot_of holds an assignment, workspace.order is sorted.
  EPLB_FN GroupWalk(const GroupWorkspace& workspace, View<int> size, View<int> slot_of, int groups,
                    int nodes)
      : memory_(workspace),
        size_(size),
        slot_of_(slot_of),
        groups_(groups),
        nodes_(nodes),
        groups_per_node_(groups / nodes) {
    for (int node = 0; node < nodes; ++node) memory_.node_sum[node] = 0;
    for (int group = 0; group < groups; ++group) {
      memory_.node_sum[node_of(slot_of[group])] += size[group];
      memory_.taken[group] = 0;
      left_ += size[group];
    }
    best_ = heaviest_node();
  }
  // Leaves the best assignment in slot_of.
  EPLB_FN AssignedGroups run() {
    const int lower = lower_bound();
    for (int node = 0; node < nodes_; ++node) memory_.node_sum[node] = 0;
    int choice = 0, steps = 0;
    for (memory_.chosen[0] = kUnchosen; choice >= 0 && best_ > lower; ++steps) {
      if (steps == kGroupSteps && groups_ > kExactGroups) return {best_, false};
      if (memory_.chosen[choice] != kUnchosen) set_taken(choice, false);
      memory_.chosen[choice] = next(choice);
      if (memory_.chosen[choice] == kUnchosen) {
        --choice;
        continue;
      }
      set_taken(choice, true);
      if (choice + 1 < groups_)
        memory_.chosen[++choice] = kUnchosen;
      else
        keep();
    }
    return {best_, true};
  }
  // Ranks the groups of every node in ascending order.
  EPLB_FN void number_groups() const {
    const View<int> next = memory_.node_sum;
    for (int node = 0; node < nodes_; ++node) next[node] = node * groups_per_node_;
    for (int group = 0; group < groups_; ++group)
      slot_of_[group] = next[node_of(slot_of_[group])]++;
  }

 private:
  static constexpr int kUnchosen = -1;

  EPLB_FN int size_at(int rank) const { return size_[memory_.order[rank]]; }
  // Of a slot, or of a choice: the choices fill the slots in order.
  EPLB_FN int node_of(int slot) const { return slot / groups_per_node_; }

  EPLB_FN int heaviest_node() const {
    int heaviest = 0;
    for (int node = 0; node < nodes_; ++node) heaviest = larger(heaviest, memory_.node_sum[node]);
    return heaviest;
  }
  // The mean, and the largest group with the smallest ones that can share its node.
  EPLB_FN int lower_bound() const {
    int64_t largest = size_at(0);
    for (int i = 1; i < groups_per_node_; ++i) largest += size_at(groups_ - i);
    const int64_t mean = (left_ + nodes_ - 1) / nodes_;
    return static_cast<int>(mean > largest ? mean : largest);
  }
  EPLB_FN void set_taken(int choice, bool taken) {
    const int rank = memory_.chosen[choice], change = taken ? size_at(rank) : -size_at(rank);
    memory_.taken[rank] = taken;
    memory_.node_sum[node_of(choice)] += change;
    left_ -= change;
  }
  // The next rank to try for a choice, or kUnchosen.
  EPLB_FN int next(int choice) const {
    const int in_node = choice % groups_per_node_;
    return in_node == 0 ? next_of_first(choice)
                        : next_of_others(choice, in_node == groups_per_node_ - 1);
  }
  EPLB_FN int next_of_first(int choice) const {
    if (memory_.chosen[choice] != kUnchosen) return kUnchosen;  // the largest one left was tried
    int rank = 0;
    while (memory_.taken[rank]) ++rank;
    return size_at(rank) < best_ ? rank : kUnchosen;
  }
  EPLB_FN int next_of_others(int choice, bool last_of_node) const {
    const int node = node_of(choice), sum = memory_.node_sum[node];
    const int64_t most_left = int64_t{nodes_ - 1 - node} * (best_ - 1);
    int rank = larger(memory_.chosen[choice], memory_.chosen[choice - 1]) + 1;
    for (; rank < groups_; ++rank) {
      if (memory_.taken[rank] || sum + size_at(rank) >= best_) continue;
      // Too much would be left for the other nodes, and with a smaller group even more.
      if (last_of_node && left_ - size_at(rank) > most_left) return kUnchosen;
      return rank;
    }
    return kUnchosen;
  }
  EPLB_FN void keep() {
    best_ = heaviest_node();
    for (int choice = 0; choice < groups_; ++choice)
      slot_of_[memory_.order[memory_.chosen[choice]]] = choice;
  }

  GroupWorkspace memory_;
  View<int> size_, slot_of_;
  int groups_, nodes_, groups_per_node_;
  int best_;          // the heaviest node of the assignment in slot_of_
  int64_t left_ = 0;  // size of the groups that are not chosen
};

// slot_of[group] = node * groups per node + its rank on the node. Holds an assignment when called
// and the best that was found afterwards, the groups of each node in ascending order.
EPLB_FN AssignedGroups search_groups(Team auto& team, const GroupWorkspace& workspace,
                                     View<int> size, View<int> slot_of, int groups, int nodes) {
  team.order(groups, workspace.order, [&](int group) { return largest_first(size[group]); });
  team.single([&] {
    GroupWalk walk(workspace, size, slot_of, groups, nodes);
    const AssignedGroups assigned = walk.run();
    walk.number_groups();
    workspace.result[0] = assigned.heaviest;
    workspace.result[1] = assigned.proven;
  });
  return {workspace.result[0], workspace.result[1] != 0};
}

EPLB_STAGE_END
