// Sorting by a warp: CUB sorts chunks in registers, longer lists are merged from them.
#pragma once

#include <cub/warp/warp_merge_sort.cuh>

#include "solver/team.h"

namespace eplb::cuda {

using solver::View;

struct SmallerKey {
  __device__ bool operator()(uint64_t a, uint64_t b) const { return a < b; }
};
template <int kItems> using ChunkSort = cub::WarpMergeSort<uint64_t, kItems, 32, int>;
inline constexpr int kFewItems = 4, kManyItems = 12;  // for each lane; 384 in a chunk cover the usual numbers of slots
inline constexpr int kChunk = 32 * kManyItems;

// What sorting n keys takes, in words: a chunk's exchange; or keys and indices, twice.
EPLB_FN int64_t sort_words(int64_t n) {
  constexpr int64_t few = (sizeof(typename ChunkSort<kFewItems>::TempStorage) + 7) / 8;
  constexpr int64_t many = (sizeof(typename ChunkSort<kManyItems>::TempStorage) + 7) / 8;
  if (n <= 32 * kFewItems) return few;
  return n <= kChunk ? many : 2 * n + (n + 1) / 2 + many;
}

// Items from .. from + 32 * kItems - 1, as far as there are: order gets their indices by (key, index), least first, and keys,
// if it is not null, the keys. CUB's sort is stable, so equal keys keep the order of their indices.
template <int kItems, class Key>
__device__ void sort_chunk(int from, int n, Key key, void* exchange, View<int> order, View<uint64_t> keys) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint64_t own[kItems];
  int index[kItems];
  for (int i = 0; i < kItems; ++i) {
    index[i] = from + lane * kItems + i;
    own[i] = index[i] < n ? key(index[i]) : ~uint64_t{0};
  }
  ChunkSort<kItems>(*static_cast<typename ChunkSort<kItems>::TempStorage*>(exchange)).Sort(own, index, SmallerKey{});
  __syncwarp();
  for (int i = 0; i < kItems; ++i) {
    const int at = from + lane * kItems + i;
    if (at >= n) continue;
    order[at] = index[i];
    if (keys.data) keys[at] = own[i];
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

// One pass: runs of `width` become runs of twice that. Each item finds its place by its rank in the other run.
template <class Team>
__device__ void merge_runs(Team& team, int n, int width, View<uint64_t> keys, View<int> order, View<uint64_t> to_keys,
                           View<int> to_order) {
  team.for_each(n, [&](int i) {
    const int first = i / (2 * width) * (2 * width);
    const int middle = solver::less(first + width, n), end = solver::less(first + 2 * width, n);
    const bool upper = i >= middle;
    const int others = upper ? rank_in(keys, first, middle, keys[i], true) : rank_in(keys, middle, end, keys[i], false);
    const int place = first + (upper ? i - middle : i - first) + others;
    to_keys[place] = keys[i];
    to_order[place] = order[i];
  });
}

template <class Team, class Key>
__device__ void sort_indices(Team& team, int n, View<int> order, View<uint64_t> words, Key key) {
  if (n <= 32 * kFewItems) return sort_chunk<kFewItems>(0, n, key, words.data, order, {nullptr});
  if (n <= kChunk) return sort_chunk<kManyItems>(0, n, key, words.data, order, {nullptr});
  View<uint64_t> keys = words, spare = words.from(n);
  View<int> indices = order, spare_indices{reinterpret_cast<int*>(words.data + 2 * n)};
  void* const exchange = words.data + 2 * n + (n + 1) / 2;
  for (int from = 0; from < n; from += kChunk) sort_chunk<kManyItems>(from, n, key, exchange, order, keys);
  for (int width = kChunk; width < n; width *= 2) {
    merge_runs(team, n, width, keys, indices, spare, spare_indices);
    const View<uint64_t> k = keys;
    const View<int> i = indices;
    keys = spare;
    indices = spare_indices;
    spare = k;
    spare_indices = i;
  }
  if (indices.data != order.data) team.for_each(n, [&](int i) { order[i] = indices[i]; });
}

}  // namespace eplb::cuda
