// Sources for engines without a second buffer, where transfers wait for each other in chains: the
// longest chain is how many rounds there are.
#pragma once

#include "solver/transfers/sources.h"

EPLB_STAGE_BEGIN

struct ChainWorkspace {
  View<int> depth;  // by slot: of the transfer that writes it; 0: not written
  View<int> queue;  // slots whose depth is known
  // Transfers without a source that share their nearest holders, by distance and where those begin
  // in the list of holders: the lowest one, and by slot the one after it.
  View<int> waiting[kAnywhere + 1], next;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    arena.take(problem.cluster.slots, depth, queue, next);
    for (View<int>& first : waiting) first = arena.take<int>(problem.cluster.slots);
  }
};

// A transfer is one deeper than the slot that it reads, and each reads one of the least depth that
// is near. So slots are gone through in the order of their depth, beginning with those that are not
// written: what waits for a slot becomes known with the first one that it can read. What remains
// then waits in a circle, which is broken at one transfer: it can read a buffer. By one lane.
class ShortChains {
 public:
  EPLB_FN ShortChains(const Problem& problem, const LayerChange& change,
                      const SourceWorkspace& sources, const ChainWorkspace& chains,
                      View<int> source)
      : problem_(problem),
        change_(change),
        holders_(sources),
        memory_(chains),
        source_(source),
        slots_(problem.cluster.slots),
        per_gpu_(slots_per_gpu(problem.cluster)) {}

  EPLB_FN void run() {
    list_waiting();
    for (int depth = 0; depth <= 1; ++depth)
      for (int slot = 0; slot < slots_; ++slot)
        if (memory_.depth[slot] == depth) memory_.queue[queued_++] = slot;
    for (int slot = 0; slot < slots_; ++slot) {
      go_through_queue();
      if (memory_.depth[slot] == kUnknown) break_circle(slot);
    }
  }

 private:
  static constexpr int kUnknown = -1, kMet = -2, kNone = -1;

  // Depths of slots that are not written, of reloads, and lists of all others, lowest slot first.
  EPLB_FN void list_waiting() {
    for (int i = 0; i < slots_; ++i)
      for (const View<int>& first : memory_.waiting) first[i] = kNone;
    for (int slot = slots_ - 1; slot >= 0; --slot) {
      memory_.depth[slot] = source_[slot] == slot || source_[slot] == kNoSource ? 0 : kUnknown;
      if (memory_.depth[slot] == 0) continue;
      const Nearest near = nearest_of(slot);
      if (near.holders.count() == 0) {
        memory_.depth[slot] = 1;
        continue;
      }
      const View<int> first = memory_.waiting[near.distance];
      memory_.next[slot] = first[near.holders.begin];
      first[near.holders.begin] = slot;
    }
  }
  EPLB_FN Nearest nearest_of(int slot) const {
    return nearest_holders(problem_, holders_, change_.placement[slot], slot);
  }

  EPLB_FN void go_through_queue() {
    for (; taken_ < queued_; ++taken_) {
      const int slot = memory_.queue[taken_], expert = change_.current[slot];
      if (expert == kNoExpert) continue;
      const Holders all = holders_anywhere(holders_, expert);
      for (int distance = 0; distance <= kAnywhere; ++distance)
        if (all.count() == 1)
          serve_by_one(slot, all.begin, distance);
        else
          serve(holders_within(problem_, holders_, expert, slot, distance), distance,
                memory_.depth[slot]);
    }
  }
  // All that wait for the only holder.
  EPLB_FN void serve_by_one(int holder, int begin, int distance) {
    for (int slot = memory_.waiting[distance][begin]; slot != kNone; slot = memory_.next[slot])
      read(slot, holder, memory_.depth[holder] + 1);
    memory_.waiting[distance][begin] = kNone;
  }
  // All that wait for one of these holders choose among those of this depth.
  EPLB_FN void serve(Holders holders, int distance, int depth) {
    int slot = memory_.waiting[distance][holders.begin];
    if (slot == kNone) return;
    memory_.waiting[distance][holders.begin] = kNone;
    const Holders open = collect(holders, distance, depth);
    for (; slot != kNone; slot = memory_.next[slot])
      read(slot, least_sending(holders_, holders_.on_node, open, per_gpu_), depth + 1);
  }
  // Those of a depth, as a heap.
  EPLB_FN Holders collect(Holders holders, int distance, int depth) const {
    Holders open{holders.begin, holders.begin};
    for (int i = holders.begin; i < holders.end; ++i) {
      const int slot =
          distance == kAnywhere ? static_cast<int>(holders_.anywhere[i]) : holders_.holder[i];
      if (memory_.depth[slot] == depth) holders_.on_node[open.end++] = slot;
    }
    return open;
  }
  EPLB_FN void read(int slot, int source, int depth) {
    source_[slot] = source;
    memory_.depth[slot] = depth;
    memory_.queue[queued_++] = slot;
    if (source / per_gpu_ != slot / per_gpu_) ++holders_.sends[source / per_gpu_];
  }

  // From a transfer that waits, from each on to the lowest slot that it can read, until one comes
  // again: the transfer before reads that one.
  EPLB_FN void break_circle(int slot) {
    const View<int> met = memory_.depth;
    for (int at = slot; met[at] == kUnknown; at = lowest_near(at)) met[at] = kMet;
    int again = slot;
    for (; met[again] == kMet; again = lowest_near(again)) met[again] = kUnknown;
    int before = again;
    for (int at = lowest_near(again); at != again; at = lowest_near(at)) before = at;
    take_off_list(before);
    read(before, again, 1);
  }
  EPLB_FN int lowest_near(int slot) const {
    const Nearest near = nearest_of(slot);
    const int first = near.holders.begin;
    return near.distance == kAnywhere ? static_cast<int>(holders_.anywhere[first])
                                      : holders_.holder[first];
  }
  EPLB_FN void take_off_list(int slot) const {
    const Nearest near = nearest_of(slot);
    int* link = &memory_.waiting[near.distance][near.holders.begin];
    while (*link != slot) link = &memory_.next[*link];
    *link = memory_.next[slot];
  }

  Problem problem_;
  LayerChange change_;
  SourceWorkspace holders_;
  ChainWorkspace memory_;
  View<int> source_;
  int slots_, per_gpu_;
  int queued_ = 0, taken_ = 0;
};

EPLB_STAGE_END
