// Home nodes of groups of experts, and the prices of load that follow from them. Nodes may differ,
// and groups need not divide anything.
#pragma once

#include "solver/search/excess_search.h"

EPLB_STAGE_BEGIN

// Consecutive experts, as equally many in each group as can be.
EPLB_FN int group_of(int e, int experts, int groups) {
  return static_cast<int>(int64_t{e} * groups / experts);
}
EPLB_FN int first_expert_of(int group, int experts, int groups) {
  return static_cast<int>((int64_t{group} * experts + groups - 1) / groups);
}

struct HomesWorkspace {
  View<int> node;                   // by GPU
  View<int> load;                   // by group
  View<int> order;                  // groups, heaviest first
  View<int> home;                   // by group
  View<int> held;                   // by group and node, where load has a price: pairs of the
                                    // current placement
  View<int> most;                   // by node: groups
  View<int> room;                   // by node: load that it can take at home
  View<int> over;                   // by node: what its groups are above that; negative below
  View<int> used;                   // by node: groups; later experts
  View<int> slots;                  // by node: open ones
  View<int> tried;                  // by position in the order: the node it is on, of a search
  View<int> most_over, total_over;  // by position: what the groups before it lead to

  EPLB_FN void lay_out(Arena& arena, int gpus, int groups, int nodes, bool priced) {
    node = arena.take<int>(gpus);
    arena.take(groups, load, order, home);
    if (priced) held = arena.take<int>(groups * nodes);
    arena.take(nodes, most, room, over, used, slots);
    arena.take(groups + 1, tried, most_over, total_over);
  }
};

// Nodes and groups of a layer.
struct NodesAndGroups {
  const ExcessSearch& search;
  const HomesWorkspace& memory;
  int nodes, groups;

  EPLB_FN int first_expert(int group) const {
    return first_expert_of(group, search.state.experts, groups);
  }
  EPLB_FN int held(int group, int node) const { return memory.held[group * nodes + node]; }
  // Calls f(node) for every pair of the current placement that a group has.
  EPLB_FN void for_each_holder(int group, auto f) const {
    const Arrangement& state = search.state;
    const int end = state.first_was[first_expert(group + 1)];
    for (int i = state.first_was[first_expert(group)]; i < end; ++i) f(memory.node[state.held[i]]);
  }
};

// Sets first[gpu]: the lowest GPU of its node. order: scratch.
EPLB_FN void find_first_gpus(Team auto& team, const Cluster& cluster, View<int> first,
                             View<int> order) {
  team.order(cluster.gpus, order,
             [&](int g) { return static_cast<uint64_t>(node_of(cluster, g)); });
  team.single([&] {
    for (int i = 0; i < cluster.gpus; ++i) {
      const bool same = i > 0 && node_of(cluster, order[i - 1]) == node_of(cluster, order[i]);
      first[order[i]] = same ? first[order[i - 1]] : order[i];
    }
  });
}
// Sets the node of every GPU, and returns how many nodes there are. Of more nodes than GPUs only
// those count that have some: they are numbered by their first GPU.
EPLB_FN int number_nodes(Team auto& team, const Cluster& cluster, View<int> node,
                         View<int> scratch) {
  if (cluster.nodes <= cluster.gpus) {
    team.for_each(cluster.gpus, [&](int g) { node[g] = node_of(cluster, g); });
    return cluster.nodes;
  }
  find_first_gpus(team, cluster, node, scratch);
  team.single([&] {
    for (int g = 0, numbered = 0; g < cluster.gpus; ++g)
      node[g] = node[g] < g ? node[node[g]] : numbered++;
  });
  return 1 + team.max_of(cluster.gpus, [&](int g) { return node[g]; });
}

// How many groups a node takes at most: as many as its share of all slots, rounded up.
EPLB_FN void limit_groups(Team auto& team, const NodesAndGroups& of) {
  const Cluster& cluster = of.search.cluster;
  const View<int> most = of.memory.most;
  const int64_t slots = open_slots(cluster);
  team.single([&] {
    for (int node = 0; node < of.nodes; ++node) most[node] = 0;
    for (int g = 0; g < cluster.gpus; ++g) most[of.memory.node[g]] += open_slots(cluster, g);
    for (int node = 0; node < of.nodes; ++node)
      most[node] = static_cast<int>((most[node] * int64_t{of.groups} + slots - 1) / slots);
  });
}
EPLB_FN void count_held(Team auto& team, const NodesAndGroups& of) {
  const View<int> held = of.memory.held;
  team.for_each(of.groups, [&](int group) {
    for (int node = 0; node < of.nodes; ++node) held[group * of.nodes + node] = 0;
    of.for_each_holder(group, [&](int node) { ++held[group * of.nodes + node]; });
  });
}

// Groups, in turn, go to the node with room that is best for them: is_better(group, node, other);
// ties: lowest. By one lane.
EPLB_FN void assign_in_turn(const NodesAndGroups& of, auto group_at, auto is_better) {
  const HomesWorkspace& memory = of.memory;
  for (int node = 0; node < of.nodes; ++node) memory.used[node] = 0;
  for (int i = 0; i < of.groups; ++i) {
    const int group = group_at(i);
    int best = -1;
    for (int node = 0; node < of.nodes; ++node)
      if (memory.used[node] < memory.most[node] && (best < 0 || is_better(group, node, best)))
        best = node;
    ++memory.used[best];
    memory.home[group] = best;
  }
}
// Where most of a group is now, of the nodes with room; ties: the lowest, which may have nothing of
// it. By one lane.
EPLB_FN void keep_homes(const NodesAndGroups& of) {
  const HomesWorkspace& memory = of.memory;
  const View<int> pairs = memory.over;  // by node: of the group
  for (int node = 0; node < of.nodes; ++node) memory.used[node] = pairs[node] = 0;
  auto has_room = [&](int node) { return memory.used[node] < memory.most[node]; };
  for (int group = 0, free = 0; group < of.groups; ++group) {
    while (!has_room(free)) ++free;
    int best = free;
    of.for_each_holder(group, [&](int node) { ++pairs[node]; });
    of.for_each_holder(group, [&](int node) {
      bool more = pairs[node] > pairs[best] || (pairs[node] == pairs[best] && node < best);
      if (more && has_room(node)) best = node;
    });
    of.for_each_holder(group, [&](int node) { pairs[node] = 0; });
    ++memory.used[best];
    memory.home[group] = best;
  }
}

// What nodes have more than they can take: all of them, and the one that has most.
struct HomeExcess {
  int total, most;

  EPLB_FN bool operator<(const HomeExcess& other) const {
    return total != other.total ? total < other.total : most < other.most;
  }
};

// By one lane. It begins with the assignment in which each group, the heaviest first, goes to the
// node that has most room left: no other is better where equal nodes take two groups at most. Else
// it goes on depth first. Of nodes in the same situation one is tried: the one that has most of the
// group now, of those the lowest.
class HomeSearch {
 public:
  static constexpr int kMostSteps = 1 << 12;
  static constexpr int64_t kMostLooks = int64_t{1} << 30;

  EPLB_FN explicit HomeSearch(const NodesAndGroups& of)
      : of_(of), memory_(of.memory), groups_(of.groups), nodes_(of.nodes) {}

  // Leaves the best assignment in `home`.
  EPLB_FN HomeExcess run() {
    begin();
    while (position_ < groups_) put(roomiest());
    keep();
    if (groups_ > 2 * nodes_ || !are_nodes_equal()) go_through();
    return best_;
  }

 private:
  EPLB_FN int group() const { return memory_.order[position_]; }
  EPLB_FN HomeExcess standing() const {
    return {memory_.total_over[position_], memory_.most_over[position_]};
  }
  EPLB_FN void begin() {
    position_ = 0;
    memory_.tried[0] = -1;
    memory_.total_over[0] = 0;
    memory_.most_over[0] = -kNever;
    for (int node = 0; node < nodes_; ++node) {
      memory_.used[node] = 0;
      memory_.over[node] = -memory_.room[node];
      memory_.most_over[0] = larger(memory_.most_over[0], memory_.over[node]);
    }
  }
  EPLB_FN void go_through() {
    begin();
    for (int steps = most_steps(); steps > 0 && position_ >= 0; --steps) {
      const int before = memory_.tried[position_];
      if (before >= 0) take(before);
      const int node = next_node(before);
      if (node >= 0) put(node);
      if (node >= 0 && position_ == groups_ && standing() < best_) keep();
      if (node < 0 || position_ == groups_ || !(standing() < best_)) --position_;
    }
  }
  // Fewer where there are more nodes than models are spread over: a step looks at every pair.
  EPLB_FN int most_steps() const {
    const int64_t most = kMostLooks / (int64_t{nodes_} * nodes_ + groups_);
    return most < kMostSteps ? static_cast<int>(most) : kMostSteps;
  }
  EPLB_FN bool are_nodes_equal() const {
    for (int node = 1; node < nodes_; ++node)
      if (memory_.most[node] != memory_.most[0] || memory_.room[node] != memory_.room[0])
        return false;
    return true;
  }
  EPLB_FN bool has_room(int node) const { return memory_.used[node] < memory_.most[node]; }
  EPLB_FN int roomiest() const {
    int best = -1;
    for (int node = 0; node < nodes_; ++node) {
      if (!has_room(node)) continue;
      const int left = best < 0 ? 1 : memory_.over[best] - memory_.over[node];
      if (left > 0 || (left == 0 && has_more(node, best))) best = node;
    }
    return best;
  }
  // Of the group that comes next, in the current placement.
  EPLB_FN bool has_more(int node, int other) const {
    return of_.held(group(), node) > of_.held(group(), other);
  }
  EPLB_FN void put(int node) {
    const int before = memory_.over[node], now = before + memory_.load[group()];
    memory_.over[node] = now;
    ++memory_.used[node];
    memory_.tried[position_] = node;
    memory_.tried[position_ + 1] = -1;
    memory_.total_over[position_ + 1] =
        memory_.total_over[position_] + larger(now, 0) - larger(before, 0);
    memory_.most_over[position_ + 1] = larger(memory_.most_over[position_], now);
    ++position_;
  }
  // The group leaves the node that it is on.
  EPLB_FN void take(int node) const {
    memory_.over[node] -= memory_.load[group()];
    --memory_.used[node];
  }
  EPLB_FN bool is_same(int one, int other) const {
    return memory_.over[one] == memory_.over[other] && memory_.used[one] == memory_.used[other] &&
           memory_.most[one] == memory_.most[other] && memory_.room[one] == memory_.room[other];
  }
  EPLB_FN bool is_stood_for(int node) const {
    for (int other = 0; other < nodes_; ++other)
      if (other != node && is_same(node, other) &&
          (has_more(other, node) || (!has_more(node, other) && other < node)))
        return true;
    return false;
  }
  EPLB_FN int next_node(int after) const {
    for (int node = after + 1; node < nodes_; ++node)
      if (has_room(node) && !is_stood_for(node)) return node;
    return -1;
  }
  EPLB_FN void keep() {
    best_ = standing();
    for (int position = 0; position < groups_; ++position)
      memory_.home[memory_.order[position]] = memory_.tried[position];
  }

  const NodesAndGroups& of_;
  const HomesWorkspace& memory_;
  int groups_, nodes_;
  int position_ = 0;  // of the group that comes next
  HomeExcess best_{};
};

// What nodes cannot take of their groups.
EPLB_FN int excess_of_homes(const NodesAndGroups& of) {
  const HomesWorkspace& memory = of.memory;
  int sum = 0;
  for (int node = 0; node < of.nodes; ++node) memory.over[node] = -memory.room[node];
  for (int group = 0; group < of.groups; ++group)
    memory.over[memory.home[group]] += memory.load[group];
  for (int node = 0; node < of.nodes; ++node) sum += larger(memory.over[node], 0);
  return sum;
}

// Homes stay what they are unless others leave less that nodes cannot take, by a hundredth of the
// load: a group that moves takes all its experts with it. Returns what that is. By one lane.
EPLB_ONCE int keep_homes_if_good(const NodesAndGroups& of) {
  const HomesWorkspace& memory = of.memory;
  const View<int> others = memory.tried;
  const int least = HomeSearch(of).run().total;
  int load = 0;
  for (int group = 0; group < of.groups; ++group) {
    others[group] = memory.home[group];
    load += memory.load[group];
  }
  keep_homes(of);
  const int kept = excess_of_homes(of);
  if (kept - least <= load / 100) return kept;
  for (int group = 0; group < of.groups; ++group) memory.home[group] = others[group];
  return least;
}

// Sets what groups weigh, and their order.
EPLB_ONCE void weigh_groups(Team auto& team, const NodesAndGroups& of) {
  const View<int> weight = of.search.state.prices.weight, load = of.memory.load;
  team.for_each(of.groups, [&](int group) {
    int sum = 0;
    for (int e = of.first_expert(group); e < of.first_expert(group + 1); ++e) sum += weight[e];
    load[group] = sum;
  });
  team.order(of.groups, of.memory.order, [&](int group) { return largest_first(load[group]); });
}
EPLB_FN int open_pace(const Cluster& cluster, int g) {
  return open_slots(cluster, g) > 0 ? pace(cluster, g) : 0;
}
// Adds up the paces of every node's GPUs, as high * kCarried + low.
inline constexpr int kCarried = 1 << 20;
EPLB_FN void add_paces(Team auto& team, const NodesAndGroups& of, View<int> low, View<int> high) {
  const Cluster& cluster = of.search.cluster;
  team.for_each(of.nodes, [&](int node) { low[node] = high[node] = 0; });
  team.single([&] {
    for (int g = 0; g < cluster.gpus; ++g) {
      const int node = of.memory.node[g];
      low[node] += open_pace(cluster, g);
      high[node] += low[node] / kCarried;
      low[node] %= kCarried;
    }
  });
}
// What nodes can take of it at most: `target`, in kImbalanceUnits, times their share.
EPLB_FN void weigh_nodes(Team auto& team, const NodesAndGroups& of, int target) {
  const Cluster& cluster = of.search.cluster;
  const View<int> load = of.memory.load, room = of.memory.room;
  const View<int> low = of.memory.over, high = of.memory.used;
  const int64_t total = team.sum_of(of.groups, [&](int group) { return int64_t{load[group]}; });
  const int64_t most = total * target / kImbalanceUnits;
  const int64_t paces =
      team.sum_of(cluster.gpus, [&](int g) { return int64_t{open_pace(cluster, g)}; });
  add_paces(team, of, low, high);
  team.for_each(of.nodes, [&](int node) {
    const int64_t own = int64_t{high[node]} * kCarried + low[node];
    room[node] = static_cast<int>(most * own / paces);
  });
}

// Load has a price wherever it is away from home.
EPLB_FN void price_groups(Team auto& team, const NodesAndGroups& of) {
  const Arrangement& state = of.search.state;
  const View<int> price = state.prices.price, home = of.memory.home;
  team.for_each(of.nodes * state.kinds(), [&](int i) {
    const int node = i / state.kinds(), e = i % state.kinds();
    price[i] = state.is_expert(e) && home[group_of(e, state.experts, of.groups)] != node
                   ? kHighestPrice
                   : 0;
  });
}

// Prices that the caller gave. By expert if there are as many, else by group.
EPLB_FN void copy_prices(Team auto& team, const NodesAndGroups& of, const PriceList& list) {
  const Arrangement& state = of.search.state;
  const View<int> price = state.prices.price, number = of.memory.slots;
  const bool by_expert = list.columns == state.experts;
  team.single([&] {
    for (int node = 0; node < of.nodes; ++node) number[node] = node;
    for (int g = 0; g < state.gpus; ++g) number[of.memory.node[g]] = node_of(of.search.cluster, g);
  });
  team.for_each(of.nodes * state.kinds(), [&](int i) {
    const int node = i / state.kinds(), e = i % state.kinds();
    const int column = by_expert ? e : group_of(e, state.experts, list.columns);
    price[i] = state.is_expert(e) ? list.units[int64_t{number[node]} * list.columns + column] : 0;
  });
}
// Where a group is cheapest, the heaviest first.
EPLB_FN void choose_cheapest(const NodesAndGroups& of) {
  const Arrangement& state = of.search.state;
  auto cost = [&](int group, int node) {
    int64_t sum = 0;
    for (int e = of.first_expert(group); e < of.first_expert(group + 1); ++e)
      sum += int64_t{state.prices.weight[e]} * state.prices.price[node * state.kinds() + e];
    return sum;
  };
  assign_in_turn(
      of, [&](int i) { return of.memory.order[i]; },
      [&](int group, int node, int other) { return cost(group, node) < cost(group, other); });
}
// Returns what has to be paid, at least: with every expert where it is cheapest.
EPLB_ONCE int64_t take_prices(Team auto& team, const NodesAndGroups& of, const PriceList& list) {
  const Arrangement& state = of.search.state;
  copy_prices(team, of, list);
  team.single([&] { choose_cheapest(of); });
  return team.sum_of(state.experts, [&](int e) {
    int least = kHighestPrice;
    for (int node = 0; node < of.nodes; ++node)
      if (of.memory.most[node] > 0)
        least = smaller(least, state.prices.price[node * state.kinds() + e]);
    return int64_t{least} * state.prices.weight[e];
  });
}

EPLB_STAGE_END
