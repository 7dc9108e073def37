// The replicas that follow from counts, sorted by size: what BEST searches on. Sorted, the partners
// worth looking at for a swap are neighbours.
#pragma once

#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// Replicas 0 .. slots - 1 by (size descending, expert); the copies of an expert are neighbours.
struct SortedReplicas {
  int experts, slots, gpus, slots_per_gpu;
  View<int> weight;         // by expert
  View<int> copies, first;  // by expert: how many replicas it has, and the first of them
  View<int> size, expert;   // by replica: the load that it brings
  View<int> share, order;   // by expert, scratch of sorting
  View<int> size_before;    // by replica: sum of the sizes before it; one more at the end

  EPLB_FN void lay_out(Arena& arena, int num_experts, int num_slots) {
    arena.take(num_experts, weight, copies, first, share, order);
    arena.take(num_slots, size, expert);
    size_before = arena.take<int>(num_slots + 1);
  }
  EPLB_FN void shape(int num_experts, int num_slots, int num_gpus) {
    experts = num_experts;
    slots = num_slots;
    gpus = num_gpus;
    slots_per_gpu = num_slots / num_gpus;
  }
  EPLB_FN int end_of(int e) const { return first[e] + copies[e]; }
};

// The first of n >= 1 indices from `from` on for which `before` is false, as it is for all later
// ones; else from + n. No branch depends on what `before` says.
EPLB_FN int first_not(int from, int n, auto before) {
  for (; n > 1; n -= n / 2) from += n / 2 & -static_cast<int>(before(from + n / 2 - 1));
  return from + static_cast<int>(before(from));
}

// Behind the last replica: smaller than any size, so that searches by size end there.
inline constexpr int kNoSize = -(1 << 29);

// Sorts the experts by the size of their replicas.
EPLB_FN void order_by_share(Team auto& team, const SortedReplicas& sorted) {
  const View<int> weight = sorted.weight, copies = sorted.copies, share = sorted.share;
  team.for_each(sorted.experts,
                [&](int e) { share[e] = copies[e] == 1 ? weight[e] : weight[e] / copies[e]; });
  team.order(sorted.experts, sorted.order, [&](int e) { return largest_first(share[e]); });
}

// Sets first, size and expert from the copies.
EPLB_FN void sort_replicas(Team auto& team, const SortedReplicas& sorted) {
  const View<int> order = sorted.order, first = sorted.first;
  order_by_share(team, sorted);
  team.scan(
      sorted.experts, [&](int i) { return sorted.copies[order[i]]; },
      [&](int i, int before) { first[order[i]] = before; });
  team.for_each(sorted.experts, [&](int e) {
    for (int replica = first[e], end = sorted.end_of(e); replica < end; ++replica) {
      sorted.size[replica] = sorted.share[e];
      sorted.expert[replica] = e;
    }
  });
  team.for_each(kAhead, [&](int i) { sorted.size[sorted.slots + i] = kNoSize; });
}

// Deeper than this, replicas on a GPU even out, and looking costs slots_per_gpu^2.
inline constexpr int kBoundDepth = 64;

// For every depth j < K (up to kBoundDepth), j + 1 of the jG + 1 largest replicas meet on some GPU,
// with at least the K - 1 - j smallest. K: slots per GPU, G: GPUs.
EPLB_FN int bound_by_depth(Team auto& team, const SortedReplicas& sorted) {
  const int per_gpu = sorted.slots_per_gpu, gpus = sorted.gpus, slots = sorted.slots;
  const View<int> before = sorted.size_before;
  return team.max_of(smaller(per_gpu, kBoundDepth), [&](int depth) {
    const int smallest = before[slots] - before[slots - (per_gpu - 1 - depth)];
    return smallest + before[depth * gpus + 1] - before[depth * gpus - depth];
  });
}

// The m largest replicas are on m GPUs with (K - 1) m others, or two of them share a GPU.
EPLB_FN int bound_by_largest(Team auto& team, const SortedReplicas& sorted) {
  const int per_gpu = sorted.slots_per_gpu, slots = sorted.slots;
  const View<int> size = sorted.size, before = sorted.size_before;
  if (per_gpu == 1) return 0;
  auto smallest = [&](int n) { return before[slots] - before[slots - n]; };
  return team.max_of(sorted.gpus - 1, [&](int i) {
    const int m = i + 2, apart = (before[m] + smallest((per_gpu - 1) * m) + m - 1) / m;
    return smaller(apart, size[m - 1] + size[m - 2] + smallest(per_gpu - 2));
  });
}

// No placement of these counts has a largest load below: the mean, and these two bounds.
EPLB_FN int bound_of_counts(Team auto& team, const SortedReplicas& sorted) {
  const View<int> before = sorted.size_before;
  const int sum = team.scan(
      sorted.slots, [&](int i) { return sorted.size[i]; },
      [&](int i, int sum_before) { before[i] = sum_before; });
  team.single([&] { before[sorted.slots] = sum; });
  const int by_depth = bound_by_depth(team, sorted);
  const int mean = (sum + sorted.gpus - 1) / sorted.gpus;
  return larger(larger(mean, by_depth), bound_by_largest(team, sorted));
}

EPLB_STAGE_END
