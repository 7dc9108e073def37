// Transfers of an engine without a second buffer: no slot is overwritten before its last reading.
#pragma once

#include "solver/transfers/sources.h"

EPLB_STAGE_BEGIN

struct InPlaceWorkspace {
  View<int> readers;         // by slot: transfers that have yet to read it
  View<int> depth;           // by slot: see find_depths; in `run` the place in the order
  View<int> order;           // slots, those written first that most transfers wait for
  View<int> carried;         // slots written in this round, then those that need not wait any more
  View<int> sent, received;  // by GPU: in which round last

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    arena.take(problem.cluster.slots, readers, depth, order, carried);
    arena.take(problem.cluster.gpus, sent, received);
  }
};

// A transfer is named by the slot that it writes. It waits for all others that read this slot; only
// one waits for it, the one that writes its source. So where transfers wait for each other in a
// cycle, these cycles are disjoint. Each is a group: what its lowest slot held is saved to a
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
    find_cycles();
    find_depths();
  }
  // Sets the rounds of all transfers, those within a GPU and reloads included. In each round GPUs
  // send and receive once at most, in the order of slots that `order` holds.
  EPLB_FN void run() const {
    for (int gpu = 0; gpu < cluster_.gpus; ++gpu) memory_.sent[gpu] = memory_.received[gpu] = 0;
    int ready = list_ready();
    for (int round = 1; ready > 0; ++round) {
      int waiting = 0, carried = 0;
      for (int i = 0; i < ready; ++i) {
        const int slot = memory_.order[i];
        if (is_link_free(slot, round)) {
          maps_.round[slot] = round;
          memory_.carried[carried++] = slot;
        } else {
          memory_.order[waiting++] = slot;
        }
      }
      ready = merge(waiting, release(carried, round));
    }
  }

 private:
  static constexpr int kUnknown = -1;

  EPLB_FN bool is_written(int slot) const {
    return maps_.source[slot] != slot && maps_.source[slot] != kNoSource;
  }
  // The transfer that waits for this one, or -1.
  EPLB_FN int waiter_of(int slot) const {
    const int source = maps_.source[slot];
    return source >= 0 && is_written(source) ? source : -1;
  }
  EPLB_FN void find_cycles() const {
    for (int slot = 0, cycles = 0; slot < cluster_.slots; ++slot) {
      int at = slot;
      while (at >= 0 && is_written(at) && memory_.depth[at] == kUnknown) {
        memory_.depth[at] = slot;  // met on the way from there
        at = waiter_of(at);
      }
      if (at < 0 || memory_.depth[at] != slot || maps_.group[at] >= 0) continue;
      int lowest = at;
      for (int next = at; maps_.group[next] < 0; next = waiter_of(next)) {
        maps_.group[next] = cycles;
        lowest = smaller(lowest, next);
      }
      --memory_.readers[lowest];  // one reads the buffer
      ++cycles;
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
          at = waiter_of(at);
        }
        const int beyond = at >= 0 && at != slot ? memory_.depth[at] : 0;
        for (at = slot; length > 0; --length, at = waiter_of(at))
          memory_.depth[at] = length + beyond;
      }
  }
  // Puts those that wait for nothing first, in their order. Returns how many they are.
  EPLB_FN int list_ready() const {
    int ready = 0;
    for (int i = 0; i < cluster_.slots; ++i) {
      const int slot = memory_.order[i];
      memory_.depth[slot] = i;
      if (is_written(slot) && memory_.readers[slot] == 0) memory_.order[ready++] = slot;
    }
    return ready;
  }
  EPLB_FN bool is_link_free(int slot, int round) const {
    const int per_gpu = slots_per_gpu(cluster_), source = maps_.source[slot];
    const int receiver = slot / per_gpu, sender = source < 0 ? receiver : source / per_gpu;
    if (sender == receiver) return true;
    if (memory_.sent[sender] == round || memory_.received[receiver] == round) return false;
    memory_.sent[sender] = memory_.received[receiver] = round;
    return true;
  }
  // Lists, in their order, the transfers that waited for those of the round alone. Returns how many
  // they are: not more than were carried out, as each reads one slot.
  EPLB_FN int release(int carried, int round) const {
    int released = 0;
    for (int i = 0; i < carried; ++i) {
      const int source = maps_.source[memory_.carried[i]];
      // A source that was overwritten in an earlier round was read from the buffer.
      if (source < 0 || (maps_.round[source] > 0 && maps_.round[source] < round)) continue;
      if (--memory_.readers[source] > 0 || !is_written(source)) continue;
      int at = released++;
      for (; at > 0 && memory_.depth[memory_.carried[at - 1]] > memory_.depth[source]; --at)
        memory_.carried[at] = memory_.carried[at - 1];
      memory_.carried[at] = source;
    }
    return released;
  }
  // Puts those that were released among those that wait for a link. Returns how many there are.
  EPLB_FN int merge(int waiting, int released) const {
    const int all = waiting + released;
    for (int to = all - 1; released > 0; --to) {
      const int slot = memory_.carried[released - 1];
      const bool from_waiting =
          waiting > 0 && memory_.depth[memory_.order[waiting - 1]] > memory_.depth[slot];
      memory_.order[to] = from_waiting ? memory_.order[--waiting] : slot;
      if (!from_waiting) --released;
    }
    return all;
  }

  InPlaceWorkspace memory_;
  TransferMaps maps_;
  Cluster cluster_;
};

EPLB_STAGE_END
