// What a placement costs where tokens are split: see docs/algorithms.md, section 18. GPUs and the
// experts that have several replicas are the vertices of a graph, these replicas its edges. Tokens
// go along edges, so what is behind a bridge can give and take no more than the bridge has.
#pragma once

#include "solver/search/arrangement.h"

EPLB_STAGE_BEGIN

// Of a load that can move, where `usual` is what a GPU has: the less, the dearer.
EPLB_FN int64_t cost_of_scarcity(int64_t load, int usual) {
  constexpr int64_t kParts = 1 << 10, kMostParts = 1 << 16, kSoftening = 1 << 10;
  constexpr int64_t kDearest = int64_t{1} << 24;
  const int64_t parts = load * kParts / usual;
  const int64_t kept = parts < kMostParts ? parts : kMostParts;
  return kDearest * kSoftening / (kept * kept + kSoftening);
}

// What is known of a graph that was explored depth first. Vertices are the GPUs, then the
// replicated experts as an arrangement lists them.
struct Exploration {
  View<int> entered;       // by vertex: when, or -1
  View<int> root, parent;  // by vertex; the root is the first of its component
  View<int> behind;        // by vertex: how many were entered from it, itself included
  View<int> gpus_behind;   // by vertex: GPUs of these
  View<int> cycles;        // by vertex: edges from these to what came before its parent, or to that

  EPLB_FN void lay_out(Arena& arena, int vertices) {
    arena.take(vertices, entered, root, parent, behind, gpus_behind, cycles);
  }
  EPLB_FN bool is_behind(int v, int other) const {
    return entered[other] >= entered[v] && entered[other] < entered[v] + behind[v];
  }
};

// Of bridges, and how many components there are.
struct GraphCost {
  int64_t bridges;
  int components;
};

struct GraphMemory {
  Exploration now, tried;
  View<int> next, order;      // by vertex: its edge that is looked at next; as they were entered
  View<int> first, host;      // by replicated expert: its first edge; by edge: its GPU
  View<int> degree, members;  // by GPU: its edges; by GPU and edge: the expert
  View<int64_t> cost;         // by replicated expert: of an edge of it that is a bridge
  View<GraphCost> found;      // [1]
  int vertices, gpus, rows;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int slots = problem.cluster.slots, experts = smaller(problem.experts, slots / 2);
    gpus = problem.cluster.gpus;
    rows = slots / gpus;
    vertices = gpus + experts;
    now.lay_out(arena, vertices);
    tried.lay_out(arena, vertices);
    arena.take(vertices, next, order);
    arena.take(slots, host, members);
    first = arena.take<int>(experts + 1);
    degree = arena.take<int>(gpus);
    cost = arena.take<int64_t>(experts);
    found = arena.take<GraphCost>(1);
  }
};

// By one lane, but for what it is asked.
class ReplicaGraph {
 public:
  // together: how many GPUs a component can have.
  EPLB_FN ReplicaGraph(const Arrangement& state, const Cluster& cluster, GraphMemory& memory,
                       int together)
      : state_(state), cluster_(cluster), at_(memory), together_(together) {}

  EPLB_FN void make() const {
    for (int g = 0; g < at_.gpus; ++g) at_.degree[g] = 0;
    at_.first[0] = 0;
    for (int m = 0; m < replicated(); ++m) {
      int edge = at_.first[m];
      for_each_place(state_, state_.replicated[m],
                     [&](int place) { add(m, state_.gpu[place], edge++); });
      at_.first[m + 1] = edge;
    }
  }
  // The number of an expert that has several replicas, else -1.
  EPLB_FN int number(int e) const { return has_others(state_, e) ? state_.position[e] : -1; }
  // Replicas of the experts with these numbers change GPUs.
  EPLB_FN void exchange(int one, int one_gpu, int other, int other_gpu) const {
    const int edge = remove(one, one_gpu), other_edge = remove(other, other_gpu);
    add(one, other_gpu, edge);
    add(other, one_gpu, other_edge);
  }
  // Would components come apart if the expert with this number went from a GPU to another one?
  // After take().
  EPLB_FN bool parts(int m, int from, int to) const {
    const Exploration& of = at_.now;
    const int v = at_.gpus + m;
    if (of.parent[from] == v)
      return of.cycles[from] == 0 && of.root[to] == of.root[v] && !of.is_behind(from, to);
    return of.parent[v] == from && of.cycles[v] == 0 && of.is_behind(v, to);
  }

  // Explores it as it is now.
  EPLB_FN void explore() const {
    for (int v = 0; v < at_.gpus + replicated(); ++v) at_.tried.entered[v] = -1;
    GraphCost found{};
    for (int g = 0, end = 0; g < at_.gpus; ++g) {
      if (at_.tried.entered[g] >= 0 || open_slots(cluster_, g) == 0) continue;
      const int begin = end;
      end = explore_from(g, begin);
      found.bridges += cost_of_component(begin, end);
      ++found.components;
    }
    at_.found[0] = found;
  }
  EPLB_FN GraphCost found() const { return at_.found[0]; }
  // What was explored last is what there is. By all lanes.
  EPLB_FN void take() const {
    const Exploration before = at_.now;
    at_.now = at_.tried;
    at_.tried = before;
  }

 private:
  EPLB_FN int replicated() const { return state_.totals[0].replicated; }
  EPLB_FN bool is_gpu(int v) const { return v < at_.gpus; }

  EPLB_FN int remove(int m, int g) const {
    if (m < 0) return -1;
    int edge = at_.first[m], i = g * at_.rows;
    while (at_.host[edge] != g) ++edge;
    while (at_.members[i] != m) ++i;
    at_.members[i] = at_.members[g * at_.rows + --at_.degree[g]];
    return edge;
  }
  EPLB_FN void add(int m, int g, int edge) const {
    if (m < 0) return;
    at_.host[edge] = g;
    at_.members[g * at_.rows + at_.degree[g]++] = m;
  }

  // Depth first, so that every other edge leads to a vertex on the way back.
  EPLB_FN int explore_from(int root, int end) const {
    const Exploration& of = at_.tried;
    enter(root, -1, end++);
    for (int v = root; v >= 0;) {
      const int u = next_neighbor(v);
      if (u < 0) {
        v = of.parent[v];
      } else if (of.entered[u] < 0) {
        enter(u, v, end++);
        v = u;
      } else if (u != of.parent[v] && of.entered[u] < of.entered[v]) {
        ++of.cycles[v];
        --of.cycles[u];
      }
    }
    return end;
  }
  EPLB_FN void enter(int v, int parent, int number) const {
    const Exploration& of = at_.tried;
    of.entered[v] = number;
    of.root[v] = parent < 0 ? v : of.root[parent];
    of.parent[v] = parent;
    of.behind[v] = 1;
    of.gpus_behind[v] = is_gpu(v);
    of.cycles[v] = 0;
    at_.order[number] = v;
    at_.next[v] = is_gpu(v) ? v * at_.rows : at_.first[v - at_.gpus];
  }
  // -1 when there are no more.
  EPLB_FN int next_neighbor(int v) const {
    const int edge = at_.next[v]++;
    if (is_gpu(v)) return edge < v * at_.rows + at_.degree[v] ? at_.gpus + at_.members[edge] : -1;
    return edge < at_.first[v - at_.gpus + 1] ? at_.host[edge] : -1;
  }
  EPLB_FN int64_t cost_of_component(int begin, int end) const {
    const Exploration& of = at_.tried;
    int64_t sum = 0;
    for (int i = end - 1; i > begin; --i) {
      const int v = at_.order[i], u = of.parent[v], gpus = of.gpus_behind[v];
      if (of.cycles[v] == 0)
        sum += at_.cost[larger(v, u) - at_.gpus] * smaller(gpus, larger(together_ - gpus, 0));
      of.behind[u] += of.behind[v];
      of.gpus_behind[u] += gpus;
      of.cycles[u] += of.cycles[v];
    }
    return sum;
  }

  const Arrangement& state_;
  const Cluster& cluster_;
  GraphMemory& at_;
  const int together_;
};

EPLB_STAGE_END
