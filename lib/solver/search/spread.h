// A placement whose tokens can be split well when weights change: see docs/algorithms.md, section
// 18. Replicas of nearly the same size change places, such that every GPU has load that can move,
// and such that tokens can get from any GPU to any other.
#pragma once

#include "solver/search/bridges.h"
#include "solver/search/excess_search.h"

EPLB_STAGE_BEGIN

struct SpreadMemory {
  GraphMemory graph;
  View<int> by_size;     // the places of replicas, the largest replica first
  View<int> order;       // scratch
  View<int> usual;       // by GPU: the load that it should have
  View<int> movable;     // by GPU: the load of experts that have several replicas
  View<int64_t> answer;  // [1]

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    graph.lay_out(arena, problem);
    arena.take(problem.cluster.slots, by_size, order);
    arena.take(problem.cluster.gpus, usual, movable);
    answer = arena.take<int64_t>(1);
  }
};

class Spread {
 public:
  // nodes: that replicas stay on. time: of GPUs in the mean.
  EPLB_FN Spread(ExcessSearch& search, const SpreadMemory& memory, int nodes, int time)
      : search_(search),
        at_(memory),
        nodes_(nodes),
        time_(time),
        bridges_(search.state, search.cluster, memory.graph, open_gpus(search.cluster) / nodes) {}

  EPLB_FN void run(Team auto& team, int proposals_per_slot) {
    const Arrangement& state = search_.state;
    if (state.totals[0].replicated == 0) return;
    begin(team);
    int64_t left = int64_t{proposals_per_slot} * nodes_ * replicas_;
    for (; left > 0 && search_.affords(looks_to_propose()); --left) {
      const Proposal proposal = propose(team);
      if (proposal.other >= replicas_ || !is_possible(proposal)) continue;
      if (!search_.affords(looks_to_try())) return;
      attempt(team, proposal);
      if (team.stopped()) return;
    }
  }

 private:
  // Replicas, by their number in by_size.
  struct Proposal {
    int one, other;
  };

  EPLB_FN int64_t looks_to_propose() const { return int64_t{search_.slow()} * search_.state.rows; }
  EPLB_FN int64_t looks_to_try() const {
    return int64_t{search_.slow()} * (search_.state.places + 4 * at_.graph.vertices);
  }

  EPLB_FN void begin(Team auto& team) {
    const Arrangement& state = search_.state;
    sort_replicas(team);
    const int mean = larger(1, mean_load(team));
    team.for_each(state.gpus, [&](int g) {
      const int64_t usual = int64_t{time_} * pace(search_.cluster, g) / kFastest;
      at_.usual[g] = larger(1, static_cast<int>(usual));
      at_.movable[g] = 0;
      for (int place = g; place < state.places; place += state.stride)
        at_.movable[g] += movable(place);
    });
    team.for_each(state.totals[0].replicated, [&](int i) {
      at_.graph.cost[i] = cost_of_scarcity(state.share[state.replicated[i]], mean);
    });
    team.single([&] { at_.answer[0] = bridges_.cost(); });
    cost_ = at_.answer[0];
  }
  EPLB_FN int mean_load(Team auto& team) const {
    const View<int> load = search_.state.load;
    const int64_t sum = team.sum_of(search_.state.gpus, [&](int g) { return int64_t{load[g]}; });
    return static_cast<int>(sum / open_gpus(search_.cluster));
  }
  EPLB_FN void sort_replicas(Team auto& team) {
    const Arrangement& state = search_.state;
    const View<int> place = search_.picked;
    replicas_ =
        team.pick(state.places, place, [&](int at) { return state.is_expert(state.expert[at]); });
    team.order(replicas_, at_.order, [&](int i) { return largest_first(state.size[place[i]]); });
    team.for_each(replicas_, [&](int i) { at_.by_size[i] = place[at_.order[i]]; });
  }
  // Of the load of a place.
  EPLB_FN int movable(int place) const {
    const Arrangement& state = search_.state;
    return has_others(state, state.expert[place]) ? state.size[place] : 0;
  }

  EPLB_FN Proposal propose(Team auto& team) {
    constexpr int kLeast = 16;
    const int near = larger(replicas_ / 8, kLeast);
    const int one = below(search_.draw(team), replicas_);
    return {one, one + 1 + below(search_.draw(team), near)};
  }
  EPLB_FN bool is_possible(const Proposal& proposal) const {
    const Arrangement& state = search_.state;
    const int one = at_.by_size[proposal.one], other = at_.by_size[proposal.other];
    const int less = state.size[one] - state.size[other];
    return (has_others(state, state.expert[one]) || has_others(state, state.expert[other])) &&
           state.excess[state.gpu[one]] <= less && state.excess[state.gpu[other]] + less <= 0 &&
           may_swap(search_, one, other);
  }
  EPLB_FN int64_t cost_of_gpu(int g, int more) const {
    return cost_of_scarcity(at_.movable[g] + more, at_.usual[g]);
  }
  // Keeps a swap that lowers what the placement costs.
  EPLB_FN void attempt(Team auto& team, const Proposal& proposal) {
    const int one = at_.by_size[proposal.one], other = at_.by_size[proposal.other];
    const int g = search_.state.gpu[one], h = search_.state.gpu[other];
    const int more = movable(other) - movable(one);
    apply(team, search_, {Change::kSwap, one, other});
    team.single([&] { at_.answer[0] = bridges_.cost(); });
    const int64_t cost = at_.answer[0], now = cost_of_gpu(g, 0) + cost_of_gpu(h, 0) + cost_;
    if (cost_of_gpu(g, more) + cost_of_gpu(h, -more) + cost >= now) return undo(team, search_);
    keep(search_);
    cost_ = cost;
    team.barrier();
    team.single([&] {
      at_.by_size[proposal.one] = other;
      at_.by_size[proposal.other] = one;
      at_.movable[g] += more;
      at_.movable[h] -= more;
    });
  }

  ExcessSearch& search_;
  const SpreadMemory& at_;
  const int nodes_, time_;
  const SplitBridges bridges_;
  int replicas_ = 0;
  int64_t cost_ = 0;  // of bridges and components
};

EPLB_STAGE_END
