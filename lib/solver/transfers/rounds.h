// Rounds of transfers between GPUs: those of a round can run at once.
#pragma once

#include "solver/transfers/sources.h"

EPLB_STAGE_BEGIN

struct RoundWorkspace {
  View<int> first, edges;  // by vertex: where its edges begin; edges vertex by vertex
  View<int> seen;          // by round: when it was seen last

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int64_t slots = problem.cluster.slots;
    first = arena.take<int>(2 * int64_t{problem.cluster.gpus} + 1);
    edges = arena.take<int>(2 * slots);
    seen = arena.take<int>(3 * slots + 2);  // Shannon's number where one GPU has all edges twice
  }
};

// A colouring of the edges of a multigraph. Its vertices are the GPUs, or the sending and the
// receiving sides of GPUs; an edge is named by the slot that the transfer writes. The edges of a
// vertex have different rounds. With the sides apart the graph is bipartite, and as many rounds
// as a vertex has edges suffice (König 1916); with GPUs as vertices half as many more do (Shannon
// 1949). By one lane.
class RoundGraph {
 public:
  EPLB_FN RoundGraph(const RoundWorkspace& workspace, const Problem& problem,
                     const TransferMaps& maps, bool exclusive)
      : memory_(workspace),
        maps_(maps),
        slots_(problem.cluster.slots),
        per_gpu_(slots_per_gpu(problem.cluster)),
        first_receiver_(exclusive ? 0 : problem.cluster.gpus),
        vertices_(first_receiver_ + problem.cluster.gpus) {
    list_edges();
    for (int round = 0; round <= 3 * rounds_ / 2; ++round) memory_.seen[round] = 0;
  }
  // Sets the rounds of all transfers between GPUs, from 1 on.
  EPLB_FN void run() {
    for (int edge = 0; edge < slots_; ++edge) {
      if (!is_edge(edge)) continue;
      const int round = common(sender(edge), receiver(edge));
      maps_.round[edge] = round > 0 ? round : make_common(sender(edge), receiver(edge));
    }
  }

 private:
  EPLB_FN int sender(int edge) const { return maps_.source[edge] / per_gpu_; }
  EPLB_FN int receiver(int edge) const { return first_receiver_ + edge / per_gpu_; }
  EPLB_FN bool is_edge(int slot) const {
    return maps_.source[slot] >= 0 && maps_.source[slot] / per_gpu_ != slot / per_gpu_;
  }
  // Sets rounds_ to the largest number of edges of a vertex.
  EPLB_FN void list_edges() {
    const View<int> first = memory_.first;
    for (int vertex = 0; vertex <= vertices_; ++vertex) first[vertex] = 0;
    for (int slot = 0; slot < slots_; ++slot) {
      if (!is_edge(slot)) continue;
      ++first[sender(slot)];
      ++first[receiver(slot)];
    }
    for (int vertex = 0, sum = 0; vertex <= vertices_; ++vertex) {
      rounds_ = larger(rounds_, first[vertex]);
      sum += first[vertex];
      first[vertex] = sum;
    }
    for (int slot = slots_ - 1; slot >= 0; --slot) {
      if (!is_edge(slot)) continue;
      memory_.edges[--first[sender(slot)]] = slot;
      memory_.edges[--first[receiver(slot)]] = slot;
    }
  }

  EPLB_FN void see_rounds_of(int vertex) const {
    for (int i = memory_.first[vertex]; i < memory_.first[vertex + 1]; ++i)
      memory_.seen[larger(maps_.round[memory_.edges[i]], 0)] = looks_;
  }
  // The first round that neither vertex has, or 0.
  EPLB_FN int common(int vertex, int other) {
    ++looks_;
    see_rounds_of(vertex);
    see_rounds_of(other);
    int round = 1;
    while (round <= rounds_ && memory_.seen[round] == looks_) ++round;
    return round <= rounds_ ? round : 0;
  }
  // The vertex's edge of a round, or -1.
  EPLB_FN int edge_with(int vertex, int round) const {
    for (int i = memory_.first[vertex]; i < memory_.first[vertex + 1]; ++i)
      if (maps_.round[memory_.edges[i]] == round) return memory_.edges[i];
    return -1;
  }
  EPLB_FN int other_end(int edge, int vertex) const {
    return sender(edge) == vertex ? receiver(edge) : sender(edge);
  }
  // The edges from a vertex on that alternate between a round that it has and one that it lacks
  // exchange the two; if `dry`, they keep them. Returns the vertex where they end.
  EPLB_FN int exchange(int vertex, int has, int lacks, bool dry) const {
    for (int edge = edge_with(vertex, has), next; edge >= 0; edge = next) {
      vertex = other_end(edge, vertex);
      next = edge_with(vertex, lacks);
      if (!dry) maps_.round[edge] = lacks;
      const int last = has;
      has = lacks;
      lacks = last;
    }
    return vertex;
  }
  // A round for an edge between vertices that lack none in common.
  EPLB_FN int make_common(int vertex, int other) {
    const int lacks = common(vertex, vertex), other_lacks = common(other, other);
    if (exchange(other, lacks, other_lacks, true) != vertex) {
      exchange(other, lacks, other_lacks, false);
      return lacks;
    }
    const int found = with_third(vertex, other, lacks, other_lacks);
    return found > 0 ? found : ++rounds_;
  }
  // Shannon's argument: the third vertex is behind the edge that has a round which `other` lacks.
  // With half more rounds than a vertex has edges, two of the three lack a round in common. Else it
  // may fail: 0.
  EPLB_FN int with_third(int vertex, int other, int lacks, int other_lacks) {
    const int edge = edge_with(vertex, other_lacks), third = other_end(edge, vertex);
    if (const int round = common(third, vertex); round > 0) {
      maps_.round[edge] = round;
      return other_lacks;
    }
    const int round = common(third, other);
    if (round == 0) return 0;
    if (exchange(vertex, round, lacks, true) != other) {
      exchange(vertex, round, lacks, false);
      return round;
    }
    exchange(third, lacks, round, false);
    maps_.round[edge] = lacks;
    return other_lacks;
  }

  RoundWorkspace memory_;
  TransferMaps maps_;
  int slots_, per_gpu_;
  int first_receiver_, vertices_;
  int rounds_ = 0, looks_ = 0;
};

EPLB_STAGE_END
