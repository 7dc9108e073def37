// Which of an expert's replicas each rank uses, where it is known how many ranks use a replica.
#pragma once

#include "solver/layer/cluster.h"
#include "solver/team/memory.h"
#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// By replica; those of an expert follow each other.
struct UsedReplicas {
  View<int> slot, units;  // units: how many ranks use it
};

class RankTable {
 public:
  // table: by rank and expert the slot, or -1 if the expert has none.
  EPLB_FN RankTable(const Cluster& cluster, int ranks, int experts, const UsedReplicas& replicas,
                    View<int> table)
      : cluster_(cluster),
        ranks_(ranks),
        experts_(experts),
        each_(slots_per_gpu(cluster)),
        slot_(replicas.slot),
        left_(replicas.units),
        table_(table) {}

  // A rank uses its own GPU if it can, then its node. For the units as they are nothing is nearer:
  // what a rank could use on its GPU it could also use on its node, so no choice there is worse for
  // others. Afterwards replicas have no units any more.
  EPLB_FN void assign(int e, int first, int end) const {
    int all = -1;  // the slot that all ranks use, of most experts
    for (int k = first; k < end; ++k)
      if (left_[k] == ranks_) all = slot_[k];
    for (int rank = 0; rank < ranks_; ++rank) at(rank, e) = all;
    if (all >= 0) return;
    sort_by_slot(first, end);
    assign(e, first, end, kOnGpu);
    assign(e, first, end, kOnNode);
    assign(e, first, end, kAnywhere);
  }

 private:
  enum Near { kOnGpu, kOnNode, kAnywhere };

  EPLB_FN int& at(int rank, int e) const { return table_[rank * experts_ + e]; }
  EPLB_FN int gpu_of(int rank) const {
    return static_cast<int>(int64_t{rank} * cluster_.gpus / ranks_);
  }
  EPLB_FN int first_rank_of(int g) const {
    return static_cast<int>((int64_t{g} * ranks_ + cluster_.gpus - 1) / cluster_.gpus);
  }
  // They are, but for what was swapped.
  EPLB_FN void sort_by_slot(int first, int end) const {
    for (int k = first + 1; k < end; ++k)
      for (int i = k; i > first && slot_[i] < slot_[i - 1]; --i) {
        exchange(slot_[i], slot_[i - 1]);
        exchange(left_[i], left_[i - 1]);
      }
  }
  EPLB_FN static void exchange(int& a, int& b) {
    const int last = a;
    a = b;
    b = last;
  }
  // The ranks in order, each to the lowest slot that is near and has units left.
  EPLB_FN void assign(int e, int first, int end, Near near) const {
    int lowest = 0;  // rank that may have no slot yet
    for (int k = first; k < end; ++k) {
      if (left_[k] == 0) continue;
      while (lowest < ranks_ && at(lowest, e) >= 0) ++lowest;
      const int g = slot_[k] / each_;
      const int from = near == kOnGpu ? first_rank_of(g) : lowest;
      const int to = near == kOnGpu ? first_rank_of(g + 1) : ranks_;
      for (int rank = from; rank < to && left_[k] > 0; ++rank) {
        if (at(rank, e) >= 0) continue;
        if (near == kOnNode && node_of(cluster_, gpu_of(rank)) != node_of(cluster_, g)) continue;
        --left_[k];
        at(rank, e) = slot_[k];
      }
    }
  }

  const Cluster& cluster_;
  const int ranks_, experts_, each_;
  const View<int> slot_, left_, table_;
};

EPLB_STAGE_END
