// Transfers of an engine without a second buffer: no slot is overwritten before its last reading.
#pragma once

#include "solver/transfers/sources.h"

EPLB_STAGE_BEGIN

struct InPlaceWorkspace {
  View<int> readers;         // by slot: transfers that have yet to read it
  View<int> depth;           // by slot: see find_depths
  View<int> order;           // slots, those written first that most transfers wait for
  View<int> sent, received;  // by GPU: in which round last

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    arena.take(problem.cluster.slots, readers, depth, order);
    arena.take(problem.cluster.gpus, sent, received);
  }
};

// A transfer is named by the slot that it writes. It waits for all others that read this slot; only
// one waits for it, the one that writes its source. So where transfers wait for each other in a
// circle, these circles are disjoint. Each is a group: what its lowest slot held is saved to a
// buffer, which the group's last transfer reads instead. By one lane.
class InPlaceOrder {
 public:
  EPLB_FN InPlaceOrder(const InPlaceWorkspace& workspace, const Problem& problem,
                       const TransferMaps& maps)
      : memory_(workspace), maps_(maps), cluster_(problem.cluster) {}

  // Sets readers and depths, and the groups.
  EPLB_FN void prepare() const {
    for (int slot = 0; slot < cluster_.slots; ++slot) {
      memory_.readers[slot] = 0;
      memory_.depth[slot] = kUnknown;
    }
    for (int slot = 0; slot < cluster_.slots; ++slot)
      if (is_written(slot) && maps_.source[slot] >= 0) ++memory_.readers[maps_.source[slot]];
    find_circles();
    find_depths();
  }
  // Sets the rounds of all transfers, those within a GPU and reloads included. In each round GPUs
  // send and receive once at most, in the order of slots that `order` holds.
  EPLB_FN void run() const {
    int left = 0;
    for (int gpu = 0; gpu < cluster_.gpus; ++gpu) memory_.sent[gpu] = memory_.received[gpu] = 0;
    while (left < cluster_.slots && memory_.depth[memory_.order[left]] > 0) ++left;
    for (int round = 1; left > 0; ++round) {
      int waiting = 0, carried_out = 0;
      for (int i = 0; i < left; ++i) {
        const int slot = memory_.order[i];
        if (can_run(slot, round))
          memory_.depth[carried_out++] = slot;  // depths were for the order
        else
          memory_.order[waiting++] = slot;
      }
      left = waiting;
      for (int i = 0; i < carried_out; ++i) end_reading(memory_.depth[i], round);
    }
  }

 private:
  static constexpr int kUnknown = -1;

  EPLB_FN bool is_written(int slot) const {
    return maps_.source[slot] != slot && maps_.source[slot] != kNoSource;
  }
  // The transfer that waits for this one, or -1. Within a group, the first waits for none.
  EPLB_FN int waits_for(int slot) const {
    const int source = maps_.source[slot];
    return source >= 0 && is_written(source) ? source : -1;
  }
  EPLB_FN void find_circles() const {
    for (int slot = 0, circles = 0; slot < cluster_.slots; ++slot) {
      int at = slot;
      while (at >= 0 && is_written(at) && memory_.depth[at] == kUnknown) {
        memory_.depth[at] = slot;  // met on the way from there
        at = waits_for(at);
      }
      if (at < 0 || memory_.depth[at] != slot || maps_.group[at] >= 0) continue;
      int lowest = at;
      for (int next = at; maps_.group[next] < 0; next = waits_for(next)) {
        maps_.group[next] = circles;
        lowest = smaller(lowest, next);
      }
      --memory_.readers[lowest];  // one reads the buffer
      ++circles;
    }
  }
  // How many transfers, with itself, can only follow a transfer one after the other. Groups first,
  // each from its lowest slot on, which waits for none of them.
  EPLB_FN void find_depths() const {
    for (int slot = 0; slot < cluster_.slots; ++slot)
      memory_.depth[slot] = is_written(slot) ? kUnknown : 0;
    for (int grouped = 1; grouped >= 0; --grouped)
      for (int slot = 0; slot < cluster_.slots; ++slot) {
        if ((maps_.group[slot] >= 0) != (grouped == 1) || memory_.depth[slot] != kUnknown) continue;
        int length = 0, at = slot;
        while (at >= 0 && memory_.depth[at] == kUnknown && (at != slot || length == 0)) {
          ++length;
          at = waits_for(at);
        }
        const int beyond = at >= 0 && at != slot ? memory_.depth[at] : 0;
        for (at = slot; length > 0; --length, at = waits_for(at))
          memory_.depth[at] = length + beyond;
      }
  }
  EPLB_FN bool can_run(int slot, int round) const {
    if (memory_.readers[slot] > 0) return false;
    const int per_gpu = slots_per_gpu(cluster_), source = maps_.source[slot];
    const int receiver = slot / per_gpu, sender = source < 0 ? receiver : source / per_gpu;
    if (sender != receiver) {
      if (memory_.sent[sender] == round || memory_.received[receiver] == round) return false;
      memory_.sent[sender] = memory_.received[receiver] = round;
    }
    maps_.round[slot] = round;
    return true;
  }
  // A source that was overwritten in an earlier round was read from the buffer.
  EPLB_FN void end_reading(int slot, int round) const {
    const int source = maps_.source[slot];
    if (source < 0 || (maps_.round[source] > 0 && maps_.round[source] < round)) return;
    --memory_.readers[source];
  }

  InPlaceWorkspace memory_;
  TransferMaps maps_;
  Cluster cluster_;
};

EPLB_STAGE_END
