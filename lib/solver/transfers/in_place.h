// Transfers of an engine without a second buffer: no slot is overwritten before its last reading.
#pragma once

#include "solver/transfers/sources.h"

EPLB_STAGE_BEGIN

// The n least-first integers of a heap.
EPLB_FN void push_least(View<int> heap, int& n, int value) {
  int at = n++;
  for (; at > 0 && heap[(at - 1) / 2] > value; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
  heap[at] = value;
}
EPLB_FN int pop_least(View<int> heap, int& n) {
  const int least = heap[0], value = heap[--n];
  int at = 0;
  for (int child = 1; child < n; child = 2 * at + 1) {
    if (child + 1 < n && heap[child + 1] < heap[child]) ++child;
    if (heap[child] >= value) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = value;
  return least;
}

struct InPlaceWorkspace {
  View<int> readers;   // by slot: transfers that have yet to read it
  View<int> depth;     // by slot: see find_depths; in `run` the place in the order
  View<int> order;     // slots, those written first that most transfers wait for
  View<int> carried;   // slots written in this round
  View<int> unlinked;  // slots to be written in the next one, without a link between GPUs
  View<int> sender;    // by slot: the GPU that sends to it over a link, or kNoLink
  // Places in the order. By sending GPU, heaps of transfers that wait for a link alone; its part
  // begins at `first`.
  View<int> ready, skipped;
  View<int> first, count, active;  // by GPU, and one more; active: those that have ready ones
  View<int> heads, received;       // by GPU: a heap of what each is to send; in which round last

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    arena.take(problem.cluster.slots, readers, depth, order, carried, unlinked, sender, ready,
               skipped);
    arena.take(int64_t{problem.cluster.gpus} + 1, first, count, active, heads, received);
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
  EPLB_FN void run() {
    lay_out_ready();
    for (int slot = 0; slot < cluster_.slots; ++slot)
      if (is_written(slot) && memory_.readers[slot] == 0) make_ready(slot);
    for (int round = 1; active_ > 0 || unlinked_ > 0; ++round) {
      int carried = 0;
      for (; unlinked_ > 0; --unlinked_) carry(memory_.unlinked[unlinked_ - 1], round, carried);
      use_links(round, carried);
      release(carried, round);
    }
  }

 private:
  static constexpr int kUnknown = -1, kNoLink = -1;

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
  EPLB_FN int gpu_of(int slot) const { return slot / slots_per_gpu(cluster_); }

  // Room for what each GPU will send; and the place of each slot in the order.
  EPLB_FN void lay_out_ready() const {
    for (int gpu = 0; gpu <= cluster_.gpus; ++gpu)
      memory_.first[gpu] = memory_.count[gpu] = memory_.received[gpu] = 0;
    for (int i = 0; i < cluster_.slots; ++i) {
      const int slot = memory_.order[i], source = maps_.source[slot];
      memory_.depth[slot] = i;
      memory_.sender[slot] = kNoLink;
      if (!is_written(slot) || source < 0 || gpu_of(source) == gpu_of(slot)) continue;
      memory_.sender[slot] = gpu_of(source);
      ++memory_.first[memory_.sender[slot] + 1];
    }
    for (int gpu = 0; gpu < cluster_.gpus; ++gpu) memory_.first[gpu + 1] += memory_.first[gpu];
  }
  // Nothing has to read the slot any more.
  EPLB_FN void make_ready(int slot) {
    const int sender = memory_.sender[slot];
    if (sender == kNoLink) {
      memory_.unlinked[unlinked_++] = slot;
      return;
    }
    if (memory_.count[sender] == 0) memory_.active[active_++] = sender;
    push_ready(sender, memory_.depth[slot]);
  }
  EPLB_FN void push_ready(int sender, int place) const {
    push_least(memory_.ready.from(memory_.first[sender]), memory_.count[sender], place);
  }
  EPLB_FN int pop_ready(int sender) const {
    return pop_least(memory_.ready.from(memory_.first[sender]), memory_.count[sender]);
  }
  EPLB_FN void carry(int slot, int round, int& carried) const {
    maps_.round[slot] = round;
    memory_.carried[carried++] = slot;
  }
  // The first ready transfer, in the order, of all GPUs that have not sent, again and again. One to
  // a GPU that has received waits for the next round.
  EPLB_FN void use_links(int round, int& carried) {
    int heads = 0, skipped = 0;
    for (int i = 0; i < active_; ++i)
      push_least(memory_.heads, heads, pop_ready(memory_.active[i]));
    while (heads > 0) {
      const int place = pop_least(memory_.heads, heads), slot = memory_.order[place];
      const int sender = memory_.sender[slot], receiver = gpu_of(slot);
      if (memory_.received[receiver] != round) {
        memory_.received[receiver] = round;
        carry(slot, round, carried);
      } else {
        memory_.skipped[skipped++] = place;
        if (memory_.count[sender] > 0) push_least(memory_.heads, heads, pop_ready(sender));
      }
    }
    end_links(skipped);
  }
  EPLB_FN void end_links(int skipped) {
    for (int i = 0; i < skipped; ++i)
      push_ready(memory_.sender[memory_.order[memory_.skipped[i]]], memory_.skipped[i]);
    int still = 0;
    for (int i = 0; i < active_; ++i)
      if (memory_.count[memory_.active[i]] > 0) memory_.active[still++] = memory_.active[i];
    active_ = still;
  }
  // What waited for the transfers of the round alone is ready.
  EPLB_FN void release(int carried, int round) {
    for (int i = 0; i < carried; ++i) {
      const int source = maps_.source[memory_.carried[i]];
      // A source that was overwritten in an earlier round was read from the buffer.
      if (source < 0 || (maps_.round[source] > 0 && maps_.round[source] < round)) continue;
      if (--memory_.readers[source] == 0 && is_written(source)) make_ready(source);
    }
  }

  InPlaceWorkspace memory_;
  TransferMaps maps_;
  Cluster cluster_;
  int active_ = 0, unlinked_ = 0;
};

EPLB_STAGE_END
