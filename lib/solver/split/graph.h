// The experts of a placed layer that are on several GPUs, and where their tokens can go. It depends
// on the placement alone: made once, it serves any number of splits.
#pragma once

#include "solver/layer/cluster.h"
#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// An edge is a split expert on one of its GPUs, whatever number of slots it has there. Edges are
// ordered by (expert, GPU).
struct SplitGraph {
  struct Sizes {
    int split, ranks;  // experts, and how many ranks they have
  };

  View<Sizes> sizes;             // [1]
  View<int> expert, first;       // by split expert, in ascending order: its first edge; one more
  View<int> gpu, copies, owner;  // by edge: its split expert
  View<int> first_on, on;        // by GPU: its edges, in ascending order; one more
  View<int> component;  // by GPU: the lowest one that tokens can get to, by any number of experts
  View<int> in_rank,
      first_in_rank;  // split experts by (rank, expert); the first of each rank; one more
  View<int> place;    // by slot: its edge; of an expert on one GPU -1 - expert; or kNone

  static constexpr int kNone = -kNever;

  // What a slot has: tokens of an expert that is on its GPU alone, or the quota of its edge. Masks,
  // since no processor can guess which of the two it will be.
  EPLB_FN int alone_on(int slot, View<int> tokens) const {
    const int alone = place[slot] >> 31;
    return place[slot] == kNone ? 0 : tokens[~place[slot] & alone] & alone;
  }
  EPLB_FN int quota_on(int slot, View<int> quota) const {
    const int on_edge = ~(place[slot] >> 31);
    return quota[place[slot] & on_edge] & on_edge;
  }

  // f(int edge, int gpu), of a split expert.
  EPLB_FN void for_each_edge(int m, auto f) const {
    for (int edge = first[m]; edge < first[m + 1]; ++edge) f(edge, gpu[edge]);
  }

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int slots = problem.cluster.slots, gpus = problem.cluster.gpus;
    const int split = smaller(problem.experts, slots / 2);
    sizes = arena.take<Sizes>(1);
    arena.take(split + 1, expert, first, in_rank, first_in_rank);
    arena.take(slots, gpu, copies, owner, on, place);
    first_on = arena.take<int>(gpus + 1);
    component = arena.take<int>(gpus);
  }
};

struct GraphWorkspace {
  View<int> last, hosts, edge;  // by expert
  View<int> rank;               // by split expert
  View<int> next;               // by GPU

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    arena.take(problem.experts, last, hosts, edge, rank);
    next = arena.take<int>(problem.cluster.gpus + 1);
  }
};

// By one lane.
class GraphMaker {
 public:
  EPLB_FN GraphMaker(const Problem& problem, const int* placement, const GraphWorkspace& workspace,
                     const SplitGraph& graph)
      : placement_(placement),
        experts_(problem.experts),
        slots_(problem.cluster.slots),
        gpus_(problem.cluster.gpus),
        each_(slots_per_gpu(problem.cluster)),
        workspace_(workspace),
        graph_(graph) {}

  EPLB_FN void make() const {
    count_hosts();
    number_edges();
    place_slots();
    list_by_gpu();
    rank_experts();
    connect();
  }

 private:
  // Is the expert of a slot on its GPU for the first time? Slots are gone through in order.
  EPLB_FN bool is_first(int slot) const {
    const int e = placement_[slot];
    const bool first = workspace_.last[e] != slot / each_;
    workspace_.last[e] = slot / each_;
    return first;
  }
  EPLB_FN void forget() const {
    for (int e = 0; e < experts_; ++e) workspace_.last[e] = -1;
  }

  EPLB_FN void count_hosts() const {
    forget();
    for (int e = 0; e < experts_; ++e) workspace_.hosts[e] = 0;
    for (int slot = 0; slot < slots_; ++slot)
      if (placement_[slot] >= 0 && is_first(slot)) ++workspace_.hosts[placement_[slot]];
  }
  EPLB_FN void number_edges() const {
    int split = 0, edges = 0;
    for (int e = 0; e < experts_; ++e) {
      workspace_.edge[e] = edges;
      if (workspace_.hosts[e] < 2) continue;
      graph_.expert[split] = e;
      graph_.first[split] = edges;
      for (int end = edges + workspace_.hosts[e]; edges < end; ++edges) graph_.owner[edges] = split;
      ++split;
    }
    graph_.first[split] = edges;
    graph_.sizes[0] = {split, 0};
  }
  EPLB_FN void place_slots() const {
    forget();
    for (int slot = 0; slot < slots_; ++slot) {
      const int e = placement_[slot];
      graph_.place[slot] = SplitGraph::kNone;
      if (e < 0) continue;
      const bool first = is_first(slot);
      if (workspace_.hosts[e] == 1) {
        if (first) graph_.place[slot] = -1 - e;
        continue;
      }
      if (first) {
        graph_.place[slot] = workspace_.edge[e]++;
        graph_.gpu[graph_.place[slot]] = slot / each_;
        graph_.copies[graph_.place[slot]] = 0;
      }
      ++graph_.copies[workspace_.edge[e] - 1];
    }
  }
  EPLB_FN int edges() const { return graph_.first[graph_.sizes[0].split]; }
  EPLB_FN void list_by_gpu() const {
    const View<int> first = graph_.first_on, next = workspace_.next;
    for (int g = 0; g <= gpus_; ++g) first[g] = 0;
    for (int edge = 0; edge < edges(); ++edge) ++first[graph_.gpu[edge] + 1];
    for (int g = 0; g < gpus_; ++g) {
      first[g + 1] += first[g];
      next[g] = first[g];
    }
    for (int edge = 0; edge < edges(); ++edge) graph_.on[next[graph_.gpu[edge]]++] = edge;
  }
  // Experts of a rank share no GPU. Those that do share one are ranked in their order, so that
  // going through the ranks is as good as going through the experts.
  EPLB_FN void rank_experts() const {
    const int split = graph_.sizes[0].split;
    const View<int> next = workspace_.next;
    int ranks = 0;
    for (int g = 0; g < gpus_; ++g) next[g] = 0;
    for (int m = 0; m < split; ++m) {
      int rank = 0;
      graph_.for_each_edge(m, [&](int, int g) { rank = larger(rank, next[g]); });
      graph_.for_each_edge(m, [&](int, int g) { next[g] = rank + 1; });
      workspace_.rank[m] = rank;
      ranks = larger(ranks, rank + 1);
    }
    graph_.sizes[0].ranks = ranks;
    list_by_rank(split, ranks);
  }
  EPLB_FN void list_by_rank(int split, int ranks) const {
    const View<int> first = graph_.first_in_rank;
    for (int rank = 0; rank <= ranks; ++rank) first[rank] = 0;
    for (int m = 0; m < split; ++m) ++first[workspace_.rank[m]];
    for (int rank = 0; rank < ranks; ++rank) first[rank + 1] += first[rank];
    for (int m = split - 1; m >= 0; --m) graph_.in_rank[--first[workspace_.rank[m]]] = m;
  }
  EPLB_FN void connect() const {
    const View<int> component = graph_.component;
    for (int g = 0; g < gpus_; ++g) component[g] = g;
    for (int edge = 0; edge < edges(); ++edge) {
      const int a = root(graph_.gpu[graph_.first[graph_.owner[edge]]]), b = root(graph_.gpu[edge]);
      component[larger(a, b)] = smaller(a, b);
    }
    for (int g = 0; g < gpus_; ++g) component[g] = component[component[g]];
  }
  EPLB_FN int root(int g) const {
    const View<int> component = graph_.component;
    for (; component[g] != g; g = component[g]) component[g] = component[component[g]];
    return g;
  }

  const int* placement_;
  int experts_, slots_, gpus_, each_;
  const GraphWorkspace& workspace_;
  const SplitGraph& graph_;
};

EPLB_FN void make_graph(Team auto& team, const Problem& problem, const int* placement,
                        const GraphWorkspace& workspace, const SplitGraph& graph) {
  team.single([&] { GraphMaker(problem, placement, workspace, graph).make(); });
}

EPLB_STAGE_END
