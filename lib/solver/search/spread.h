// A placement whose tokens can be split well when weights change: see docs/algorithms.md, section
// 18. Replicas of nearly the same size change places, such that every GPU has load that can move,
// and such that tokens can get from any GPU to any other.
#pragma once

#include "solver/search/excess_search.h"
#include "solver/search/replica_graph.h"

EPLB_STAGE_BEGIN

struct SpreadMemory {
  GraphMemory graph;
  View<int> by_size;  // the places of replicas, the largest replica first
  View<int> order;    // scratch
  View<int> usual;    // by GPU: the load that it should have
  View<int> movable;  // by GPU: the load of experts that have several replicas

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    graph.lay_out(arena, problem);
    arena.take(problem.cluster.slots, by_size, order);
    arena.take(problem.cluster.gpus, usual, movable);
  }
};

class Spread {
 public:
  // nodes: that replicas stay on. time: of GPUs in the mean.
  EPLB_FN Spread(ExcessSearch& search, SpreadMemory& memory, int nodes, int time)
      : search_(search),
        at_(memory),
        nodes_(nodes),
        time_(time),
        graph_(search.state, search.cluster, memory.graph, open_gpus(search.cluster) / nodes) {}

  EPLB_FN void run(Team auto& team, int proposals_per_slot) {
    if (search_.state.totals[0].replicated == 0) return;
    begin(team);
    int64_t left = int64_t{proposals_per_slot} * nodes_ * replicas_;
    for (; left > 0 && search_.affords(looks_to_propose()); --left) {
      const Proposal proposal = propose(team);
      if (proposal.other >= replicas_) continue;
      const Exchange exchange = exchange_of(proposal);
      if (!is_possible(exchange)) continue;
      if (!search_.affords(looks_to_try()) || team.stopped()) break;
      attempt(team, proposal, exchange);
    }
    team.barrier();  // others may still look at the last proposals
  }

 private:
  // Replicas, by their number in by_size.
  struct Proposal {
    int one, other;
  };
  // Their places and GPUs, and the numbers of their experts if these have several.
  struct Exchange {
    int one, other, one_gpu, other_gpu, one_number, other_number;
  };

  EPLB_FN int64_t looks_to_propose() const { return int64_t{search_.slow()} * search_.state.rows; }
  EPLB_FN int64_t looks_to_try() const {
    return int64_t{search_.slow()} * (search_.state.places + 4 * at_.graph.vertices);
  }

  EPLB_FN void begin(Team auto& team) {
    const Arrangement& state = search_.state;
    sort_replicas(team);
    team.for_each(state.gpus, [&](int g) {
      const int64_t usual = int64_t{time_} * pace(search_.cluster, g) / kFastest;
      at_.usual[g] = larger(1, static_cast<int>(usual));
      at_.movable[g] = 0;
      for (int place = g; place < state.places; place += state.stride)
        at_.movable[g] += movable(place);
    });
    const int mean = mean_load(team);
    team.for_each(state.totals[0].replicated, [&](int m) {
      at_.graph.cost[m] = cost_of_scarcity(state.share[state.replicated[m]], mean);
    });
    team.single([&] {
      graph_.make();
      graph_.explore();
    });
    graph_.take();
    cost_ = graph_.found();
  }
  EPLB_FN int mean_load(Team auto& team) const {
    const View<int> load = search_.state.load;
    const int64_t sum = team.sum_of(search_.state.gpus, [&](int g) { return int64_t{load[g]}; });
    return larger(1, static_cast<int>(sum / open_gpus(search_.cluster)));
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
  EPLB_FN Exchange exchange_of(const Proposal& proposal) const {
    const Arrangement& state = search_.state;
    const int one = at_.by_size[proposal.one], other = at_.by_size[proposal.other];
    return {one,
            other,
            state.gpu[one],
            state.gpu[other],
            graph_.number(state.expert[one]),
            graph_.number(state.expert[other])};
  }
  EPLB_FN bool is_possible(const Exchange& of) const {
    const Arrangement& state = search_.state;
    const int less = state.size[of.one] - state.size[of.other];
    return (of.one_number >= 0 || of.other_number >= 0) && state.excess[of.one_gpu] <= less &&
           state.excess[of.other_gpu] + less <= 0 && may_swap(search_, of.one, of.other) &&
           !parts_components(of);
  }
  // Where one expert alone takes an edge along, that is known before it is tried.
  EPLB_FN bool parts_components(const Exchange& of) const {
    if (of.other_number < 0) return graph_.parts(of.one_number, of.one_gpu, of.other_gpu);
    if (of.one_number < 0) return graph_.parts(of.other_number, of.other_gpu, of.one_gpu);
    return false;
  }
  EPLB_FN int64_t cost_of_gpu(int g, int more) const {
    return cost_of_scarcity(at_.movable[g] + more, at_.usual[g]);
  }
  // Does the placement cost less with this graph, and `more` load that can move from h to g?
  EPLB_FN bool is_lower(const GraphCost& graph, int g, int h, int more) const {
    if (graph.components != cost_.components) return graph.components < cost_.components;
    return cost_of_gpu(g, more) + cost_of_gpu(h, -more) + graph.bridges <
           cost_of_gpu(g, 0) + cost_of_gpu(h, 0) + cost_.bridges;
  }
  // Makes an exchange after which the placement costs less.
  EPLB_FN void attempt(Team auto& team, const Proposal& proposal, const Exchange& of) {
    const int g = of.one_gpu, h = of.other_gpu, more = movable(of.other) - movable(of.one);
    team.barrier();
    team.single([&] {
      graph_.exchange(of.one_number, g, of.other_number, h);
      graph_.explore();
    });
    const GraphCost cost = graph_.found();
    const bool lowers = is_lower(cost, g, h, more);
    team.barrier();
    if (!lowers) return team.single([&] { graph_.exchange(of.one_number, h, of.other_number, g); });
    cost_ = cost;
    graph_.take();
    apply(team, search_, {Change::kSwap, of.one, of.other});
    keep(search_);
    team.single([&] {
      at_.by_size[proposal.one] = of.other;
      at_.by_size[proposal.other] = of.one;
      at_.movable[g] += more;
      at_.movable[h] -= more;
    });
  }

  ExcessSearch& search_;
  SpreadMemory& at_;
  const int nodes_, time_;
  const ReplicaGraph graph_;
  int replicas_ = 0;
  GraphCost cost_{};
};

EPLB_ONCE void spread_movable_load(Team auto& team, ExcessSearch& search, SpreadMemory& memory,
                                   int nodes, int time, int proposals_per_slot) {
  Spread(search, memory, nodes, time).run(team, proposals_per_slot);
}

EPLB_STAGE_END
