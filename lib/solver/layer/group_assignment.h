// Groups of experts on nodes, equally many on each, so that the heaviest node is as light as
// possible.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// Up to this number of groups all assignments that matter are gone through. With more, a walk that
// has not ended after kGroupSteps keeps its best so far. Callers may allow fewer steps. A step may
// pass many groups: more than kGroupsPassed for each step end a walk, too.
inline constexpr int kExactGroups = 16;
inline constexpr int kGroupSteps = 1 << 16;
inline constexpr int kGroupsPassed = 256;

EPLB_FN int group_steps(int groups) { return groups > kExactGroups ? kGroupSteps : kNever; }

// Memory of the search. A *position* is a group's place in `order`. Those that are not chosen are a
// list from the largest to the smallest, whose ends are at the position `groups`.
struct GroupWorkspace {
  View<int> order;           // by position: its group; largest first
  View<int> size;            // by position
  View<int> next, previous;  // by position: its neighbours in the list
  View<int> chosen;          // by choice: its position; the choices of a node follow each other
  View<int> node_sum;        // by node: size of its groups
  View<int> result;          // the fields of AssignedGroups

  EPLB_FN void lay_out(Arena& arena, int groups, int nodes) {
    arena.take(groups, order, chosen);
    arena.take(groups + 1, size, next, previous);
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
        slot_of_(slot_of),
        groups_(groups),
        nodes_(nodes),
        groups_per_node_(groups / nodes) {
    for (int node = 0; node < nodes; ++node) memory_.node_sum[node] = 0;
    for (int group = 0; group < groups; ++group) {
      memory_.node_sum[slot_of[group] / groups_per_node_] += size[group];
      memory_.size[group] = size[memory_.order[group]];
      left_ += size[group];
    }
    best_ = heaviest_node();
    list_positions();
  }
  // Leaves the best assignment in slot_of.
  EPLB_FN AssignedGroups run(int most_steps) {
    const int lower = lower_bound();
    for (int node = 0; node < nodes_; ++node) memory_.node_sum[node] = 0;
    int steps = 0;
    const int64_t most_passed = int64_t{most_steps} * kGroupsPassed;
    for (memory_.chosen[0] = kUnchosen; choice_ >= 0 && best_ > lower; ++steps) {
      if (steps == most_steps || passed_ > most_passed) return {best_, false};
      if (memory_.chosen[choice_] != kUnchosen) release();
      const int position = next();
      memory_.chosen[choice_] = position;
      if (position == kUnchosen) {
        go_back();
        continue;
      }
      take(position);
      if (choice_ + 1 < groups_)
        go_on();
      else
        keep();
    }
    return {best_, true};
  }
  // Numbers the places of every node by ascending group.
  EPLB_FN void number_groups() const {
    const View<int> next = memory_.node_sum;
    for (int node = 0; node < nodes_; ++node) next[node] = node * groups_per_node_;
    for (int group = 0; group < groups_; ++group)
      slot_of_[group] = next[slot_of_[group] / groups_per_node_]++;
  }

 private:
  static constexpr int kUnchosen = -1;

  EPLB_FN void list_positions() const {
    memory_.size[groups_] = -kNever;  // below every limit: what looks for less ends here
    for (int position = 0; position <= groups_; ++position) {
      memory_.next[position] = position < groups_ ? position + 1 : 0;
      memory_.previous[position] = position > 0 ? position - 1 : groups_;
    }
  }
  EPLB_FN int heaviest_node() const {
    int heaviest = 0;
    for (int node = 0; node < nodes_; ++node) heaviest = larger(heaviest, memory_.node_sum[node]);
    return heaviest;
  }
  // The mean, and the largest group with the smallest ones that can share its node.
  EPLB_FN int lower_bound() const {
    int64_t largest = memory_.size[0];
    for (int i = 1; i < groups_per_node_; ++i) largest += memory_.size[groups_ - i];
    const int64_t mean = (left_ + nodes_ - 1) / nodes_;
    return static_cast<int>(mean > largest ? mean : largest);
  }
  EPLB_FN void go_on() {
    memory_.chosen[++choice_] = kUnchosen;
    if (++place_ < groups_per_node_) return;
    place_ = 0;
    ++node_;
  }
  EPLB_FN void go_back() {
    --choice_;
    if (--place_ >= 0) return;
    place_ = groups_per_node_ - 1;
    --node_;
  }
  EPLB_FN void take(int position) {
    const int size = memory_.size[position], next = memory_.next[position],
              before = memory_.previous[position];
    memory_.node_sum[node_] += size;
    memory_.next[before] = next;
    memory_.previous[next] = before;
    left_ -= size;
  }
  // What was chosen last. Its own neighbours are those from before it was taken.
  EPLB_FN void release() {
    const int position = memory_.chosen[choice_], size = memory_.size[position];
    memory_.node_sum[node_] -= size;
    memory_.next[memory_.previous[position]] = position;
    memory_.previous[memory_.next[position]] = position;
    left_ += size;
  }
  // The next position to try for a choice, or kUnchosen.
  EPLB_FN int next() {
    if (place_ > 0) return next_of_others();
    if (memory_.chosen[choice_] != kUnchosen) return kUnchosen;  // the largest one left was tried
    const int position = memory_.next[groups_];
    return memory_.size[position] < best_ ? position : kUnchosen;
  }
  // The first position in the list, from this one on, whose size is below the limit.
  EPLB_FN int first_below(int limit, int position) {
    constexpr int kNear = 8;
    for (int i = 0; memory_.size[position] >= limit; ++i, position = memory_.next[position])
      if (i == kNear) return first_far_below(limit, position);
    return position;
  }
  EPLB_FN int first_far_below(int limit, int position) {
    for (int n = groups_ - position; n > 0;) {
      const int half = n / 2, middle = position + half;
      const bool above = memory_.size[middle] >= limit;
      position = above ? middle + 1 : position;
      n = above ? n - half - 1 : half;
    }
    // What follows a position that was taken was in the list then, and leads on if it was taken
    // since.
    for (; memory_.previous[memory_.next[position]] != position; ++passed_)
      position = memory_.next[position];
    return position;
  }
  EPLB_FN int next_of_others() {
    const int limit = best_ - memory_.node_sum[node_], tried = memory_.chosen[choice_];
    const int position =
        first_below(limit, memory_.next[tried == kUnchosen ? memory_.chosen[choice_ - 1] : tried]);
    if (position == groups_) return kUnchosen;
    // Too much would be left for the other nodes, and with a smaller group even more.
    if (place_ == groups_per_node_ - 1 &&
        left_ - memory_.size[position] > int64_t{nodes_ - 1 - node_} * (best_ - 1))
      return kUnchosen;
    return position;
  }
  EPLB_FN void keep() {
    best_ = heaviest_node();
    passed_ += groups_;
    for (int choice = 0; choice < groups_; ++choice)
      slot_of_[memory_.order[memory_.chosen[choice]]] = choice;
  }

  GroupWorkspace memory_;
  View<int> slot_of_;
  int groups_, nodes_, groups_per_node_;
  int best_;                               // the heaviest node of the assignment in slot_of_
  int choice_ = 0, node_ = 0, place_ = 0;  // the choice that is made: which of which node
  int64_t left_ = 0;                       // size of the groups that are not chosen
  int64_t passed_ = 0;  // groups, in looking for one and in keeping an assignment
};

// slot_of[group] = node * groups per node + its place on the node. Holds an assignment when called
// and the best that was found in `most_steps` afterwards, the groups of each node in ascending
// order.
EPLB_FN AssignedGroups search_groups(Team auto& team, const GroupWorkspace& workspace,
                                     View<int> size, View<int> slot_of, int groups, int nodes,
                                     int most_steps) {
  team.order(groups, workspace.order, [&](int group) { return largest_first(size[group]); });
  team.single([&] {
    GroupWalk walk(workspace, size, slot_of, groups, nodes);
    const AssignedGroups assigned = walk.run(most_steps);
    walk.number_groups();
    workspace.result[0] = assigned.heaviest;
    workspace.result[1] = assigned.proven;
  });
  return {workspace.result[0], workspace.result[1] != 0};
}

EPLB_STAGE_END
