// Rounds of transfers between GPUs: those of a round can run at once.
#pragma once

#include "solver/transfers/sources.h"

EPLB_STAGE_BEGIN

// Which edge a vertex has in a round, and which rounds of a block it has, as bits: a hash table
// with open addressing.
class RoundTable {
 public:
  static constexpr int kNone = -1, kBlock = 16;

  // A power of two, of which four entries for each edge fill two thirds at most.
  EPLB_FN static int64_t size_for(int64_t edges) {
    int64_t size = 16;
    while (size < 6 * edges) size *= 2;
    return size;
  }
  EPLB_FN RoundTable(View<int64_t> entries, int64_t size)
      : entries_(entries), last_(static_cast<int>(size) - 1) {}

  EPLB_FN int find(int vertex, int round) const { return value_of(key_of(vertex, round)); }
  EPLB_FN int rounds_in_block(int vertex, int block) const {
    return larger(value_of(key_of_block(vertex, block)), 0);
  }
  EPLB_FN void set(int vertex, int round, int edge) const {
    const int block = round / kBlock;
    put(key_of(vertex, round), edge);
    put(key_of_block(vertex, block), rounds_in_block(vertex, block) | 1 << round % kBlock);
  }
  EPLB_FN void erase(int vertex, int round) const {
    const int block = round / kBlock;
    const int left = rounds_in_block(vertex, block) & ~(1 << round % kBlock);
    erase(key_of(vertex, round));
    if (left != 0)
      put(key_of_block(vertex, block), left);
    else
      erase(key_of_block(vertex, block));
  }

 private:
  // Searches go from round to round, so those that follow each other share a line of a cache.
  static constexpr int kNear = 8;

  EPLB_FN static int64_t key_of(int vertex, int round) {
    return (int64_t{round / kNear} * (4 * kMaxSlots) + vertex) * kNear + round % kNear;
  }
  EPLB_FN static int64_t key_of_block(int vertex, int block) {
    return key_of(2 * kMaxSlots + vertex, block);
  }
  EPLB_FN int begin_of(int64_t key) const {
    const uint64_t line = static_cast<uint64_t>(key / kNear) * 0x9E3779B97F4A7C15 >> 32;
    return static_cast<int>(line * kNear + static_cast<uint64_t>(key % kNear)) & last_;
  }
  EPLB_FN int after(int at) const { return (at + 1) & last_; }
  // Where the key is, or would be.
  EPLB_FN int place_of(int64_t key) const {
    int at = begin_of(key);
    while (entries_[at] != kNone && entries_[at] / kMaxSlots != key) at = after(at);
    return at;
  }

  EPLB_FN int value_of(int64_t key) const {
    const int64_t entry = entries_[place_of(key)];
    return entry == kNone ? kNone : static_cast<int>(entry % kMaxSlots);
  }
  EPLB_FN void put(int64_t key, int value) const {
    entries_[place_of(key)] = key * kMaxSlots + value;
  }
  // What follows without a gap moves up, unless it is where its search begins.
  EPLB_FN void erase(int64_t key) const {
    int hole = place_of(key);
    for (int at = after(hole); entries_[at] != kNone; at = after(at)) {
      const int begin = begin_of(entries_[at] / kMaxSlots);
      const bool stays = ((at - begin) & last_) < ((at - hole) & last_);
      if (stays) continue;
      entries_[hole] = entries_[at];
      hole = at;
    }
    entries_[hole] = kNone;
  }

  View<int64_t> entries_;
  int last_;
};

struct RoundWorkspace {
  View<int> lowest;     // by vertex: it has all rounds below
  View<int64_t> table;  // see RoundTable

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    lowest = arena.take<int>(2 * int64_t{problem.cluster.gpus});
    table = arena.take<int64_t>(RoundTable::size_for(problem.cluster.slots));
  }
};

// A colouring of the edges of a multigraph. Its vertices are the GPUs, or the sending and the
// receiving sides of GPUs; an edge is named by the slot that the transfer writes. The edges of a
// vertex have different rounds. With the sides apart the graph is bipartite, and as many rounds
// as a vertex has edges suffice (König 1916); with GPUs as vertices half as many more do (Shannon
// 1949). By one lane, over a table without entries.
class RoundGraph {
 public:
  EPLB_FN RoundGraph(const RoundWorkspace& workspace, const Problem& problem,
                     const TransferMaps& maps, bool exclusive)
      : lowest_(workspace.lowest),
        table_(workspace.table, RoundTable::size_for(problem.cluster.slots)),
        maps_(maps),
        slots_(problem.cluster.slots),
        per_gpu_(slots_per_gpu(problem.cluster)),
        first_receiver_(exclusive ? 0 : problem.cluster.gpus),
        vertices_(first_receiver_ + problem.cluster.gpus) {
    count_edges();
  }
  // Sets the rounds of all transfers between GPUs, from 1 on.
  EPLB_FN void run() {
    for (int edge = 0; edge < slots_; ++edge) {
      if (!is_edge(edge)) continue;
      const int round = common(sender(edge), receiver(edge));
      give(edge, round > 0 ? round : make_common(sender(edge), receiver(edge)));
    }
  }

 private:
  static constexpr int kNone = RoundTable::kNone;

  EPLB_FN int sender(int edge) const { return maps_.source[edge] / per_gpu_; }
  EPLB_FN int receiver(int edge) const { return first_receiver_ + edge / per_gpu_; }
  EPLB_FN bool is_edge(int slot) const {
    return maps_.source[slot] >= 0 && maps_.source[slot] / per_gpu_ != slot / per_gpu_;
  }
  // Sets rounds_ to the largest number of edges of a vertex.
  EPLB_FN void count_edges() {
    const View<int> count = lowest_;
    for (int vertex = 0; vertex < vertices_; ++vertex) count[vertex] = 0;
    for (int slot = 0; slot < slots_; ++slot) {
      if (!is_edge(slot)) continue;
      ++count[sender(slot)];
      ++count[receiver(slot)];
    }
    for (int vertex = 0; vertex < vertices_; ++vertex) {
      rounds_ = larger(rounds_, count[vertex]);
      lowest_[vertex] = 1;
    }
  }

  EPLB_FN bool has(int vertex, int round) const { return table_.find(vertex, round) != kNone; }
  // The first round that a vertex lacks.
  EPLB_FN int lacking(int vertex) const {
    while (has(vertex, lowest_[vertex])) ++lowest_[vertex];
    return lowest_[vertex];
  }
  // The first round that neither vertex has, or 0.
  EPLB_FN int common(int vertex, int other) const {
    constexpr int kBlock = RoundTable::kBlock;
    int round = larger(lacking(vertex), lacking(other));
    while (round <= rounds_) {
      const int block = round / kBlock;
      const int taken =
          table_.rounds_in_block(vertex, block) | table_.rounds_in_block(other, block);
      for (; round / kBlock == block; ++round)
        if ((taken >> round % kBlock & 1) == 0) return round <= rounds_ ? round : 0;
    }
    return 0;
  }
  EPLB_FN int other_end(int edge, int vertex) const {
    return sender(edge) == vertex ? receiver(edge) : sender(edge);
  }
  EPLB_FN void give(int edge, int round) const {
    maps_.round[edge] = round;
    table_.set(sender(edge), round, edge);
    table_.set(receiver(edge), round, edge);
  }
  EPLB_FN void take_from(int vertex, int round) const {
    table_.erase(vertex, round);
    lowest_[vertex] = smaller(lowest_[vertex], round);
  }
  EPLB_FN void change(int edge, int round) const {
    take_from(sender(edge), maps_.round[edge]);
    take_from(receiver(edge), maps_.round[edge]);
    give(edge, round);
  }

  // Where the edges from a vertex on end that alternate between a round that it has and one that it
  // lacks.
  EPLB_FN int end_of_path(int vertex, int has, int lacks) const {
    for (int edge; (edge = table_.find(vertex, has)) != kNone;) {
      vertex = other_end(edge, vertex);
      const int last = has;
      has = lacks;
      lacks = last;
    }
    return vertex;
  }
  // They exchange the two.
  EPLB_FN void exchange(int vertex, int has, int lacks) const {
    int edge = table_.find(vertex, has);
    if (edge != kNone) take_from(vertex, has);
    while (edge != kNone) {
      const int end = other_end(edge, vertex), next = table_.find(end, lacks);
      if (next == kNone) take_from(end, has);
      maps_.round[edge] = lacks;
      table_.set(vertex, lacks, edge);
      table_.set(end, lacks, edge);
      const int last = has;
      has = lacks;
      lacks = last;
      vertex = end;
      edge = next;
    }
  }
  // A round for an edge between vertices that lack none in common.
  EPLB_FN int make_common(int vertex, int other) {
    const int lacks = lacking(vertex), other_lacks = lacking(other);
    if (end_of_path(other, lacks, other_lacks) != vertex) {
      exchange(other, lacks, other_lacks);
      return lacks;
    }
    const int found = with_third(vertex, other, lacks, other_lacks);
    return found > 0 ? found : ++rounds_;
  }
  // Shannon's argument: the third vertex is behind the edge that has a round which `other` lacks.
  // With half more rounds than a vertex has edges, two of the three lack a round in common. Else it
  // may fail: 0.
  EPLB_FN int with_third(int vertex, int other, int lacks, int other_lacks) const {
    const int edge = table_.find(vertex, other_lacks), third = other_end(edge, vertex);
    if (const int round = common(third, vertex); round > 0) {
      change(edge, round);
      return other_lacks;
    }
    const int round = common(third, other);
    if (round == 0) return 0;
    if (end_of_path(vertex, round, lacks) != other) {
      exchange(vertex, round, lacks);
      return round;
    }
    exchange(third, lacks, round);
    change(edge, lacks);
    return other_lacks;
  }

  View<int> lowest_;
  RoundTable table_;
  TransferMaps maps_;
  int slots_, per_gpu_;
  int first_receiver_, vertices_;
  int rounds_ = 0;
};

EPLB_STAGE_END
