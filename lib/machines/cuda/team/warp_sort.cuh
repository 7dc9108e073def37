// Sorting by a warp: CUB sorts chunks in registers, from which longer lists are merged.
#pragma once

#include <cub/warp/warp_merge_sort.cuh>

#include "solver/team/team.h"

namespace eplb::cuda {

using solver::View;

struct SmallerKey {
  __device__ bool operator()(uint64_t a, uint64_t b) const { return a < b; }
};
template <int kItems> using ChunkSort = cub::WarpMergeSort<uint64_t, kItems, 32, int>;
// Items of a lane. 32 * 12 in a chunk cover the usual numbers of slots.
inline constexpr int kFewItems = 4, kManyItems = 12;
inline constexpr int kChunk = 32 * kManyItems;

// Words of workspace: the keys, then a second list of keys and of indices to merge into. A chunk is
// exchanged between lanes in memory whose keys are in registers, or not written yet.
EPLB_FN int64_t sort_words(int64_t n) {
  constexpr int64_t few = (sizeof(typename ChunkSort<kFewItems>::TempStorage) + 7) / 8;
  constexpr int64_t many = (sizeof(typename ChunkSort<kManyItems>::TempStorage) + 7) / 8;
  if (n <= kChunk) return n <= 32 * kFewItems ? few : many;
  return n + (n > many ? n : many) + (n + 1) / 2;
}

// Sorts the chunk of keys from `from` on: order gets their indices by (key, index), least first.
// With keep_keys the keys are sorted too. CUB's sort is stable, so equal keys stay in order of
// index.
template <int kItems>
__device__ void sort_chunk(int from, int n, View<uint64_t> keys, bool keep_keys, void* exchange,
                           View<int> order) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint64_t own[kItems];
  int index[kItems];
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    index[i] = from + lane * kItems + i;
    own[i] = index[i] < n ? keys[index[i]] : ~uint64_t{0};
  }
  __syncwarp();
  using Storage = typename ChunkSort<kItems>::TempStorage;
  ChunkSort<kItems>(*static_cast<Storage*>(exchange)).Sort(own, index, SmallerKey{});
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int rank = from + lane * kItems + i;
    if (rank >= n) continue;
    order[rank] = index[i];
    if (keep_keys) keys[rank] = own[i];
  }
  __syncwarp();
}

// How many of keys[from .. to) come before `key`; equal ones do if `after_equal`.
__device__ inline int rank_in(View<uint64_t> keys, int from, int to, uint64_t key,
                              bool after_equal) {
  int low = from, high = to;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (keys[middle] < key || (after_equal && keys[middle] == key))
      low = middle + 1;
    else
      high = middle;
  }
  return low - from;
}

struct Run {
  View<uint64_t> keys;
  View<int> order;
};

// One pass: sorted runs of `width` become runs of twice that width. An item's place is its rank in
// its own run plus its rank in the other.
__device__ inline void merge_runs(int n, int width, const Run& from, const Run& to) {
  for (int i = static_cast<int>(threadIdx.x) % 32; i < n; i += 32) {
    const int first = i / (2 * width) * (2 * width);
    const int middle = solver::smaller(first + width, n);
    const int end = solver::smaller(first + 2 * width, n);
    const uint64_t key = from.keys[i];
    const int place = i < middle
                          ? i + rank_in(from.keys, middle, end, key, false)
                          : i - (middle - first) + rank_in(from.keys, first, middle, key, true);
    to.keys[place] = key;
    to.order[place] = from.order[i];
  }
  __syncwarp();
}

// Merges sorted chunks, back and forth between two lists. Returns the one that has the result.
__device__ inline Run merge_chunks(int n, Run from, Run to) {
  for (int width = kChunk; width < n; width *= 2) {
    merge_runs(n, width, from, to);
    const Run other = from;
    from = to;
    to = other;
  }
  return from;
}

// order[0 .. n) = the indices by (words[i], i), least first. Not inlined, since it is unrolled and
// long. A template, so that several files may contain it.
template <class Word>
__device__ __noinline__ void sort_indices(int n, View<Word> words, View<int> order) {
  if (n <= 32 * kFewItems) return sort_chunk<kFewItems>(0, n, words, false, words.data, order);
  if (n <= kChunk) return sort_chunk<kManyItems>(0, n, words, false, words.data, order);
  const int64_t spare_keys = sort_words(n) - n - (n + 1) / 2;
  const Run spare{{words.data + n}, {reinterpret_cast<int*>(words.data + n + spare_keys)}};
  for (int first = 0; first < n; first += kChunk)
    sort_chunk<kManyItems>(first, n, words, true, spare.keys.data, order);
  const Run sorted = merge_chunks(n, {words, order}, spare);
  if (sorted.order.data == order.data) return;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < n; i += 32) order[i] = sorted.order[i];
  __syncwarp();
}

}  // namespace eplb::cuda
