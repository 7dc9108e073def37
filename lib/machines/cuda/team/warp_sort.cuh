// Sorting by a warp: CUB sorts chunks in registers, longer lists are merged from them.
#pragma once

#include <cub/warp/warp_merge_sort.cuh>

#include "solver/team/team.h"

namespace eplb::cuda {

using solver::View;

struct SmallerKey {
  __device__ bool operator()(uint64_t a, uint64_t b) const { return a < b; }
};
template <int kItems> using ChunkSort = cub::WarpMergeSort<uint64_t, kItems, 32, int>;
inline constexpr int kFewItems = 4, kManyItems = 12;  // for each lane; 384 in a chunk cover the usual numbers of slots
inline constexpr int kChunk = 32 * kManyItems;

// Words that hold the keys to be sorted, and what sorting takes beside: chunks are exchanged where keys were or will be.
EPLB_FN int64_t sort_room(int64_t n) {
  constexpr int64_t few = (sizeof(typename ChunkSort<kFewItems>::TempStorage) + 7) / 8;
  constexpr int64_t many = (sizeof(typename ChunkSort<kManyItems>::TempStorage) + 7) / 8;
  if (n <= kChunk) return n <= 32 * kFewItems ? few : many;
  return n + (n > many ? n : many) + (n + 1) / 2;
}

// Keys from .. from + 32 * kItems - 1, as far as there are: order gets their indices by (key, index), least first, and so are
// the keys, if they are to be `kept`. CUB's sort is stable, so equal keys keep the order of their indices.
template <int kItems>
__device__ void sort_chunk(int from, int n, View<uint64_t> keys, bool kept, void* exchange, View<int> order) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint64_t own[kItems];
  int index[kItems];
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    index[i] = from + lane * kItems + i;
    own[i] = index[i] < n ? keys[index[i]] : ~uint64_t{0};
  }
  __syncwarp();
  ChunkSort<kItems>(*static_cast<typename ChunkSort<kItems>::TempStorage*>(exchange)).Sort(own, index, SmallerKey{});
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int at = from + lane * kItems + i;
    if (at >= n) continue;
    order[at] = index[i];
    if (kept) keys[at] = own[i];
  }
  __syncwarp();
}

// How many of keys[from .. to) come before `key`; equal ones do if `with_equal`.
__device__ inline int rank_in(View<uint64_t> keys, int from, int to, uint64_t key, bool with_equal) {
  int low = from, high = to;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (keys[middle] < key || (with_equal && keys[middle] == key))
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

// One pass: runs of `width` become runs of twice that. Each item finds its place by its rank in the other run.
__device__ inline void merge_runs(int n, int width, const Run& from, const Run& to) {
  for (int i = static_cast<int>(threadIdx.x) % 32; i < n; i += 32) {
    const int first = i / (2 * width) * (2 * width);
    const int middle = solver::less(first + width, n), end = solver::less(first + 2 * width, n);
    const uint64_t key = from.keys[i];
    const int place = i < middle ? i + rank_in(from.keys, middle, end, key, false)
                                 : i - (middle - first) + rank_in(from.keys, first, middle, key, true);
    to.keys[place] = key;
    to.order[place] = from.order[i];
  }
  __syncwarp();
}

// order[0 .. n) = the indices by (words[i], i), least first. One function for all that sort: it is long, unrolled as it is.
// (A template, so that several files may have it.)
template <class Word> __device__ __noinline__ void sort_indices(int n, View<Word> words, View<int> order) {
  if (n <= 32 * kFewItems) return sort_chunk<kFewItems>(0, n, words, false, words.data, order);
  if (n <= kChunk) return sort_chunk<kManyItems>(0, n, words, false, words.data, order);
  const int64_t spare = sort_room(n) - n - (n + 1) / 2;
  Run from{words, order}, to{{words.data + n}, {reinterpret_cast<int*>(words.data + n + spare)}};
  for (int first = 0; first < n; first += kChunk) sort_chunk<kManyItems>(first, n, words, true, to.keys.data, order);
  for (int width = kChunk; width < n; width *= 2) {
    merge_runs(n, width, from, to);
    const Run other = from;
    from = to;
    to = other;
  }
  if (from.order.data == order.data) return;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < n; i += 32) order[i] = from.order[i];
  __syncwarp();
}

}  // namespace eplb::cuda
