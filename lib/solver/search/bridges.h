// What a placement costs where tokens are split: see docs/algorithms.md, section 18. GPUs and the
// experts that have several replicas are the vertices of a graph, these replicas its edges. Tokens
// go along edges, so what is behind a bridge can give and take no more than the bridge has.
#pragma once

#include "solver/search/arrangement.h"

EPLB_STAGE_BEGIN

// Of a load that can move, or get to other GPUs, where `usual` is what a GPU has: the less, the
// dearer.
inline constexpr int kUsualParts = 1 << 10;
inline constexpr int64_t kDearest = int64_t{1} << 24;
EPLB_FN int64_t cost_of_scarcity(int64_t load, int usual) {
  constexpr int64_t kMostParts = 1 << 16, kSoftening = 1 << 10;
  const int64_t parts = load * kUsualParts / usual;
  const int64_t kept = parts < kMostParts ? parts : kMostParts;
  return kDearest * kSoftening / (kept * kept + kSoftening);
}
// Of a component that tokens cannot get to: more than bridges cost.
inline constexpr int64_t kCostOfApart = kDearest << 10;

struct GraphMemory {
  View<int> entered;      // by vertex: when, or -1
  View<int> parent;       // by vertex
  View<int> gpus_behind;  // by vertex: on its side of the edge to its parent, itself included
  View<int> cycles;       // by vertex: edges between what is behind and what came before its parent
  View<int> next;         // by vertex: the place of the edge that is looked at next
  View<int> order;        // the vertices as they were entered
  View<int64_t> cost;     // of a bridge, by replicated expert
  int vertices;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int slots = problem.cluster.slots;
    vertices = problem.cluster.gpus + smaller(problem.experts, slots / 2);
    arena.take(vertices, entered, parent, gpus_behind, cycles, next, order);
    cost = arena.take<int64_t>(vertices - problem.cluster.gpus);
  }
};

// Vertices are the GPUs, then the replicated experts as they are listed. By one lane.
class SplitBridges {
 public:
  // together: how many GPUs could be one component, which are equally many for all.
  EPLB_FN SplitBridges(const Arrangement& state, const Cluster& cluster, const GraphMemory& memory,
                       int together)
      : state_(state), cluster_(cluster), at_(memory), together_(together) {}

  // Of all bridges and components.
  EPLB_FN int64_t cost() const {
    const int vertices = state_.gpus + state_.totals[0].replicated;
    for (int v = 0; v < vertices; ++v) at_.entered[v] = -1;
    int64_t sum = -kCostOfApart;
    for (int g = 0, end = 0; g < state_.gpus; ++g) {
      if (at_.entered[g] >= 0 || open_slots(cluster_, g) == 0) continue;
      const int first = end;
      end = explore(g, first);
      sum += kCostOfApart + cost_of_component(first, end);
    }
    return sum;
  }

 private:
  EPLB_FN bool is_gpu(int v) const { return v < state_.gpus; }

  // Depth first, so that every other edge leads to a vertex on the way back.
  EPLB_FN int explore(int root, int end) const {
    enter(root, -1, end++);
    for (int v = root; v >= 0;) {
      const int u = next_neighbor(v);
      if (u < 0) {
        v = at_.parent[v];
      } else if (at_.entered[u] < 0) {
        enter(u, v, end++);
        v = u;
      } else if (u != at_.parent[v] && at_.entered[u] < at_.entered[v]) {
        ++at_.cycles[v];
        --at_.cycles[u];
      }
    }
    return end;
  }
  EPLB_FN void enter(int v, int parent, int number) const {
    at_.entered[v] = number;
    at_.order[number] = v;
    at_.parent[v] = parent;
    at_.gpus_behind[v] = is_gpu(v);
    at_.cycles[v] = 0;
    at_.next[v] = is_gpu(v) ? v : state_.any_place[state_.replicated[v - state_.gpus]];
  }
  // -1 when there are no more.
  EPLB_FN int next_neighbor(int v) const { return is_gpu(v) ? next_expert(v) : next_gpu(v); }
  EPLB_FN int next_expert(int g) const {
    for (int place = at_.next[g]; place < state_.places; place += state_.stride) {
      const int e = state_.expert[place];
      if (!has_others(state_, e)) continue;
      at_.next[g] = place + state_.stride;
      return state_.gpus + state_.position[e];
    }
    at_.next[g] = state_.places;
    return -1;
  }
  EPLB_FN int next_gpu(int v) const {
    const int place = at_.next[v];
    if (place < 0) return -1;
    const int after = state_.next[place];
    at_.next[v] = after == state_.any_place[state_.replicated[v - state_.gpus]] ? -1 : after;
    return state_.gpu[place];
  }
  EPLB_FN int64_t cost_of_component(int first, int end) const {
    int64_t sum = 0;
    for (int i = end - 1; i > first; --i) {
      const int v = at_.order[i], u = at_.parent[v], behind = at_.gpus_behind[v];
      const int expert = larger(v, u) - state_.gpus;
      if (at_.cycles[v] == 0)
        sum += at_.cost[expert] * smaller(behind, larger(together_ - behind, 0));
      at_.gpus_behind[u] += behind;
      at_.cycles[u] += at_.cycles[v];
    }
    return sum;
  }

  const Arrangement& state_;
  const Cluster& cluster_;
  const GraphMemory& at_;
  const int together_;
};

EPLB_STAGE_END
