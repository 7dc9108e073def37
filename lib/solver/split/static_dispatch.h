// Which slot each source rank uses of an expert, for all of its tokens, such that the busiest GPU
// has little. Ranks have equally many tokens of every expert. Its plain definition is
// tests/golden/static_dispatch.py.
//
// With R ranks an expert has R units, and a replica those of the ranks that use it. They start as
// close to the best split as they can be. Then the busiest GPU is relieved: by a chain of moves of
// one unit each, or by a swap of two slots' experts with their units, until its time is good
// enough or nothing helps.
#pragma once

#include "solver/split/rank_table.h"
#include "solver/split/split.h"

EPLB_STAGE_BEGIN

struct StaticDispatchWorkspace {
  View<int> replica;        // by slot: its replica, or -1
  View<int> first;          // by expert: its first replica, in order of slots; one more
  View<int> on_head;        // by expert: is it on the GPU that is relieved?
  View<int> slot, expert;   // by replica
  View<int> units;          // by replica: ranks that use it
  View<int64_t> load;       // by GPU, in R-ths of a token
  View<int64_t> remainder;  // by edge
  View<int> found;          // [1]: has the last search found a chain?
  View<int> tries;          // [1]: moves tried for chains

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int slots = problem.cluster.slots;
    arena.take(slots, replica, slot, expert, units);
    arena.take(problem.experts + 1, first, on_head);
    load = arena.take<int64_t>(problem.cluster.gpus);
    remainder = arena.take<int64_t>(slots);
    arena.take(1, found, tries);
  }
};

class StaticDispatcher {
 public:
  // split: of these tokens, finished.
  EPLB_FN StaticDispatcher(const Problem& problem, const int* placement, const SplitGraph& graph,
                           const SplitWorkspace& split, View<int> tokens,
                           const StaticDispatchWorkspace& workspace)
      : cluster_(problem.cluster),
        experts_(problem.experts),
        each_(slots_per_gpu(problem.cluster)),
        within_nodes_(problem.partition.nodes > 1),
        placement_(placement),
        graph_(graph),
        split_(split),
        tokens_(tokens),
        limits_(problem.dispatch),
        at_(workspace) {}

  // Returns the number of swaps.
  EPLB_FN int dispatch(Team auto& team) const {
    start(team);
    const int64_t goal = find_goal(team), looks_of_swap = int64_t{cluster_.slots} * each_;
    int swaps = 0;
    for (int64_t looks = 0; looks < kMostLooks && !team.stopped(); looks += cluster_.gpus) {
      const int64_t most = team.max_of(cluster_.gpus, [&](int g) { return time(g); });
      if (most <= goal) break;
      const int head = team.find_of(cluster_.gpus, [&](int g) { return time(g) == most; });
      if (relieve_by_chain(team, head, 1, kShort)) continue;
      if (swaps < limits_.most_swaps && looks + looks_of_swap <= kMostLooks) {
        looks += looks_of_swap;
        if (relieve_by_swap(team, head)) {
          ++swaps;
          continue;
        }
      }
      if (!relieve_by_chain(team, head, kShort + 1, kLong)) break;
    }
    return swaps;
  }

  // Is the GPU one of those that the bound is of? All are if there may be swaps.
  EPLB_FN bool is_tight(int g) const {
    return limits_.most_swaps == 0 ? split_.tight[g] != 0 : open_slots(cluster_, g) > 0;
  }

  // By slot, after the swaps: its expert, or -1, and how many ranks use it.
  EPLB_FN void write_slots(Team auto& team, View<int> row, View<int> units) const {
    team.for_each(cluster_.slots, [&](int s) {
      const int replica = at_.replica[s];
      row[s] = replica < 0 ? -1 : at_.expert[replica];
      units[s] = replica < 0 ? 0 : at_.units[replica];
    });
  }

  // See RankTable. The last that is asked of it.
  EPLB_FN void assign(Team auto& team, View<int> table) const {
    const RankTable ranks(cluster_, limits_.ranks, experts_, {at_.slot, at_.units}, table);
    team.for_each(experts_, [&](int e) { ranks.assign(e, at_.first[e], at_.first[e + 1]); });
  }

 private:
  // Moves of a chain, and how many of them are tried for a layer.
  static constexpr int kShort = 2, kLong = 4, kMostTries = 1 << 14;
  // At GPUs, and at pairs of slots for swaps: a layer at a model's size never needs as many.
  static constexpr int64_t kMostLooks = int64_t{1} << 28;

  struct Chain {
    int source[kLong], target[kLong];  // replicas
    int moves;
  };
  // The chain that is followed, the GPUs that it touches, and the best one so far.
  struct ChainSearch {
    Chain chain, best;
    int64_t least;
    int touched[kLong + 1];
    int gpus;
  };

  EPLB_FN int gpu_of(int replica) const { return at_.slot[replica] / each_; }
  EPLB_FN int64_t time(int g, int64_t more = 0) const {
    const int64_t load = at_.load[g] + more;
    return cluster_.gpu_pace ? load * kFastest / pace(cluster_, g) : load;
  }
  EPLB_FN int64_t load_of(int replica) const {
    return int64_t{at_.units[replica]} * tokens_[at_.expert[replica]];
  }

  // ------------------------------------------------------------------------------- the start

  EPLB_FN void start(Team auto& team) const {
    team.single([&] {
      list_replicas();
      at_.tries[0] = 0;
    });
    team.for_each(graph_.sizes[0].split, [&](int m) { round(m); });
    team.for_each(cluster_.gpus, [&](int g) {
      int64_t load = 0;
      for (int s = g * each_; s < (g + 1) * each_; ++s)
        if (at_.replica[s] >= 0) load += load_of(at_.replica[s]);
      at_.load[g] = load;
    });
  }
  // Units of experts on one GPU, too.
  EPLB_FN void list_replicas() const {
    for (int e = 0; e <= experts_; ++e) at_.first[e] = 0;
    for (int s = 0; s < cluster_.slots; ++s)
      if (placement_[s] >= 0) ++at_.first[placement_[s]];
    int replicas = 0;
    for (int e = 0; e <= experts_; ++e) {
      replicas += at_.first[e];
      at_.first[e] = replicas;
    }
    for (int s = cluster_.slots - 1; s >= 0; --s) {
      const int e = placement_[s];
      at_.replica[s] = e < 0 ? -1 : --at_.first[e];
      if (e < 0) continue;
      at_.slot[at_.replica[s]] = s;
      at_.expert[at_.replica[s]] = e;
      at_.units[at_.replica[s]] = graph_.place[s] == -1 - e ? limits_.ranks : 0;
    }
  }
  // The ranks of a split expert by its quotas, rounded down; what is left goes to the largest
  // remainders, one each; ties: the lowest GPU. Without tokens, as an even split has them.
  EPLB_FN void round(int m) const {
    int64_t all = 0;
    int left = limits_.ranks;
    const int e = graph_.expert[m], from = graph_.first[m], to = graph_.first[m + 1];
    for (int edge = from; edge < to; ++edge) all += part_of(edge);
    for (int edge = from; edge < to; ++edge) {
      const int64_t part = part_of(edge) * limits_.ranks;
      left -= static_cast<int>(part / all);
      at_.remainder[edge] = part % all;
    }
    mark_largest_remainders(from, to, left);
    for (int k = at_.first[e]; k < at_.first[e + 1]; ++k) {
      const int edge = graph_.place[at_.slot[k]];
      if (edge >= 0)
        at_.units[k] =
            static_cast<int>(part_of(edge) * limits_.ranks / all) + (at_.remainder[edge] < 0);
    }
  }
  // With -1.
  EPLB_FN void mark_largest_remainders(int from, int to, int left) const {
    for (; left > 0; --left) {
      int most = from;
      for (int edge = from; edge < to; ++edge)
        if (at_.remainder[edge] > at_.remainder[most]) most = edge;
      at_.remainder[most] = -1;
    }
  }
  EPLB_FN int64_t part_of(int edge) const {
    if (tokens_[graph_.expert[graph_.owner[edge]]] > 0) return split_.quota[edge];
    return int64_t{graph_.copies[edge]} * pace(cluster_, graph_.gpu[edge]);
  }
  // No placement has a lower largest time if there may be swaps; otherwise none of this one.
  EPLB_FN SplitBound find_bound(Team auto& team) const {
    if (limits_.most_swaps == 0) return split_.bound[0];
    return {team.sum_of(
                experts_,
                [&](int e) -> int64_t { return at_.first[e] < at_.first[e + 1] ? tokens_[e] : 0; }),
            team.sum_of(cluster_.gpus,
                        [&](int g) -> int64_t { return is_tight(g) ? pace(cluster_, g) : 0; })};
  }
  // A time that is good enough. Exact: tokens are less than 2^29.
  EPLB_FN int64_t find_goal(Team auto& team) const {
    const SplitBound least = find_bound(team);
    const int64_t goal = least.tokens * limits_.ranks * (kToleranceUnits + limits_.tolerance);
    return cluster_.gpu_pace ? goal / least.pace : goal / (least.pace / kFastest * kToleranceUnits);
  }

  // ------------------------------------------------------------------------------- chains

  // Of the shortest chains that help, the one with the lowest largest time of all GPUs that it
  // touches; ties: the first. Each move takes a unit from the busiest of the GPUs touched so far.
  EPLB_FN bool relieve_by_chain(Team auto& team, int head, int shortest, int longest) const {
    team.single([&] { at_.found[0] = find_chain(head, shortest, longest); });
    const bool found = at_.found[0];
    team.barrier();
    return found;
  }
  EPLB_ONCE bool find_chain(int head, int shortest, int longest) const {
    for (int moves = shortest; moves <= longest; ++moves) {
      ChainSearch search{};
      search.least = time(head);
      search.touched[search.gpus++] = head;
      follow<0>(search, moves);
      for (int i = 0; i < search.best.moves; ++i)
        move(search.best.source[i], search.best.target[i]);
      if (search.best.moves > 0) return true;
    }
    return false;
  }
  EPLB_FN void move(int source, int target) const {
    const int size = tokens_[at_.expert[source]];
    --at_.units[source];
    ++at_.units[target];
    at_.load[gpu_of(source)] -= size;
    at_.load[gpu_of(target)] += size;
  }
  // All chains that go on from the one of kMoves moves.
  template <int kMoves> EPLB_FN void follow(ChainSearch& search, int more) const {
    const int busiest = busiest_touched(search);
    if (time(busiest) < search.least) {
      search.least = time(busiest);
      search.best = search.chain;
      search.best.moves = kMoves;
    }
    // A move relieves one GPU, so it would take one for each that is not better.
    if (more == 0 || not_better(search) > more) return;
    if constexpr (kMoves < kLong)
      for (int s = busiest * each_; s < (busiest + 1) * each_; ++s)
        if (at_.replica[s] >= 0 && at_.units[at_.replica[s]] > 0)
          follow_from<kMoves>(search, at_.replica[s], more);
  }
  template <int kMoves> EPLB_FN void follow_from(ChainSearch& search, int source, int more) const {
    const int e = at_.expert[source], gpu = gpu_of(source);
    for (int target = at_.first[e]; target < at_.first[e + 1]; ++target) {
      if (gpu_of(target) == gpu) continue;
      if (at_.tries[0] == kMostTries) return;
      ++at_.tries[0];
      const int before = search.gpus;
      move(source, target);
      search.chain.source[kMoves] = source;
      search.chain.target[kMoves] = target;
      touch(search, gpu_of(target));
      follow<kMoves + 1>(search, more - 1);
      search.gpus = before;
      move(target, source);
    }
  }
  EPLB_FN static void touch(ChainSearch& search, int g) {
    for (int i = 0; i < search.gpus; ++i)
      if (search.touched[i] == g) return;
    search.touched[search.gpus++] = g;
  }
  // Ties: the lowest.
  EPLB_FN int busiest_touched(const ChainSearch& search) const {
    int busiest = search.touched[0];
    for (int i = 1; i < search.gpus; ++i) {
      const int g = search.touched[i];
      const int64_t more = time(g) - time(busiest);
      if (more > 0 || (more == 0 && g < busiest)) busiest = g;
    }
    return busiest;
  }
  EPLB_FN int not_better(const ChainSearch& search) const {
    int count = 0;
    for (int i = 0; i < search.gpus; ++i) count += time(search.touched[i]) >= search.least;
    return count;
  }

  // ------------------------------------------------------------------------------- swaps

  // The swap with the lowest largest time of the two GPUs; ties: the lowest slot elsewhere, then
  // the lowest on this GPU.
  EPLB_FN bool relieve_by_swap(Team auto& team, int head) const {
    mark_experts_on(team, head);
    const int64_t least = -team.max_of(cluster_.gpus, [&](int g) { return -least_time(head, g); });
    if (least == kNever64) return false;
    const int gpu =
        team.find_of(cluster_.gpus, [&](int g) { return least_time(head, g) == least; });
    team.single([&] {
      int mine = -1, other = cluster_.slots;
      for_each_swap(head, gpu, [&](int my_slot, int its_slot, int64_t after) {
        if (after != least || its_slot >= other) return;
        mine = my_slot;
        other = its_slot;
      });
      swap(mine, other);
    });
    return true;
  }
  EPLB_FN void mark_experts_on(Team auto& team, int head) const {
    team.for_each(experts_, [&](int e) { at_.on_head[e] = 0; });
    team.single([&] {
      for (int s = head * each_; s < (head + 1) * each_; ++s)
        if (at_.replica[s] >= 0) at_.on_head[at_.expert[at_.replica[s]]] = 1;
    });
  }
  EPLB_FN int64_t least_time(int head, int g) const {
    int64_t least = kNever64;
    for_each_swap(head, g, [&](int, int, int64_t after) { least = after < least ? after : least; });
    return least;
  }
  // Calls f(int mine, int other, int64_t after) for each that helps, and gives no GPU an expert
  // that it has: after it, that is the largest time of the two.
  EPLB_FN void for_each_swap(int head, int g, auto f) const {
    if (g == head || (within_nodes_ && node_of(cluster_, g) != node_of(cluster_, head))) return;
    const int64_t before = time(head);
    for (int mine = head * each_; mine < (head + 1) * each_; ++mine) {
      const int my = at_.replica[mine];
      if (my < 0 || at_.units[my] == 0 || is_on(at_.expert[my], g)) continue;
      for (int other = g * each_; other < (g + 1) * each_; ++other) {
        const int its = at_.replica[other];
        if (its < 0 || at_.on_head[at_.expert[its]]) continue;
        const int64_t less = load_of(my) - load_of(its);
        const int64_t here = time(head, -less), there = time(g, less);
        const int64_t after = here > there ? here : there;
        if (less > 0 && after < before) f(mine, other, after);
      }
    }
  }
  EPLB_FN bool is_on(int e, int g) const {
    for (int s = g * each_; s < (g + 1) * each_; ++s)
      if (at_.replica[s] >= 0 && at_.expert[at_.replica[s]] == e) return true;
    return false;
  }
  EPLB_FN void swap(int mine, int other) const {
    const int my = at_.replica[mine], its = at_.replica[other];
    const int64_t less = load_of(my) - load_of(its);
    at_.load[mine / each_] -= less;
    at_.load[other / each_] += less;
    at_.replica[mine] = its;
    at_.replica[other] = my;
    at_.slot[my] = other;
    at_.slot[its] = mine;
  }

  const Cluster& cluster_;
  const int experts_, each_;
  const bool within_nodes_;
  const int* placement_;
  const SplitGraph& graph_;
  const SplitWorkspace& split_;
  const View<int> tokens_;
  const DispatchLimits& limits_;
  const StaticDispatchWorkspace& at_;
};

EPLB_STAGE_END
