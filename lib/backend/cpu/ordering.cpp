#include "backend/cpu/ordering.h"

#include <algorithm>
#include <bit>

namespace eplb::cpu {
namespace {

void radix_pass(const uint64_t* from, uint64_t* to, int n, int shift) {
  int begin[256] = {};
  for (int i = 0; i < n; ++i) ++begin[(from[i] >> shift) & 255];
  for (int b = 0, next = 0; b < 256; ++b) {
    const int count = begin[b];
    begin[b] = next;
    next += count;
  }
  for (int i = 0; i < n; ++i) to[begin[(from[i] >> shift) & 255]++] = from[i];
}

// Sorts what is nearly sorted; gives up, leaving a permutation, when it is not so near after all.
bool finish_by_insertion(uint64_t* words, int n) {
  int64_t moves = int64_t{8} * n;
  for (int i = 1; i < n && moves >= 0; ++i) {
    const uint64_t word = words[i];
    int j = i;
    for (; j > 0 && words[j - 1] > word; --j) words[j] = words[j - 1];
    words[j] = word;
    moves -= i - j;
  }
  return moves >= 0;
}

// Keys of at most 32 bits share a word with their index, so that no two words are equal. Two radix passes over the upper 16
// of the bits that differ leave little to do: real weights spread over many binades.
void sort_short(uint64_t* words, int n, uint64_t least, uint64_t most, int* order) {
  for (int i = 0; i < n; ++i) words[i] = (words[i] - least) << 32 | static_cast<uint32_t>(i);
  const int shift = 32 + std::max(0, static_cast<int>(std::bit_width(most - least)) - 16);
  radix_pass(words, words + n, n, shift);
  radix_pass(words + n, words, n, shift + 8);
  if (shift > 32 && !finish_by_insertion(words, n)) std::sort(words, words + n);
  for (int i = 0; i < n; ++i) order[i] = static_cast<int>(static_cast<uint32_t>(words[i]));
}

}  // namespace

void sort_indices(uint64_t* keys, int n, int* order) {
  if (n == 0) return;
  uint64_t least = keys[0], most = keys[0];
  for (int i = 1; i < n; ++i) {
    least = std::min(least, keys[i]);
    most = std::max(most, keys[i]);
  }
  if (most - least <= UINT32_MAX) return sort_short(keys, n, least, most, order);
  for (int i = 0; i < n; ++i) order[i] = i;
  std::sort(order, order + n, [keys](int a, int b) { return keys[a] != keys[b] ? keys[a] < keys[b] : a < b; });
}

}  // namespace eplb::cpu
