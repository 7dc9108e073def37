#include "backend/cpu/ordering.h"

#include <algorithm>
#include <bit>

namespace eplb::cpu {
namespace {

template <int kDigits> void counts_to_places(int* count) {
  for (int d = 0, next = 0; d < kDigits; ++d) {
    const int own = count[d];
    count[d] = next;
    next += own;
  }
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

// Keys of at most 32 bits share a word with their index, so that no two words are equal. Two radix passes over the highest of
// the bits that differ leave little to do: real weights spread over many binades.
template <int kBits> void sort_short(uint64_t* words, int n, uint64_t least, uint64_t most, int* order) {
  constexpr int kDigits = 1 << kBits;
  const int shift = 32 + std::max(0, static_cast<int>(std::bit_width(most - least)) - 2 * kBits);
  auto lower = [&](uint64_t word) { return (word >> shift) & (kDigits - 1); };
  auto upper = [&](uint64_t word) { return (word >> (shift + kBits)) & (kDigits - 1); };
  int place_lower[kDigits] = {}, place_upper[kDigits] = {};
  for (int i = 0; i < n; ++i) {
    const uint64_t word = (words[i] - least) << 32 | static_cast<uint32_t>(i);
    words[i] = word;
    ++place_lower[lower(word)];
    ++place_upper[upper(word)];
  }
  counts_to_places<kDigits>(place_lower);
  counts_to_places<kDigits>(place_upper);
  uint64_t* const spare = words + n;
  for (int i = 0; i < n; ++i) spare[place_lower[lower(words[i])]++] = words[i];
  for (int i = 0; i < n; ++i) words[place_upper[upper(spare[i])]++] = spare[i];
  if (shift > 32 && !finish_by_insertion(words, n)) std::sort(words, words + n);
  for (int i = 0; i < n; ++i) order[i] = static_cast<int>(static_cast<uint32_t>(words[i]));
}

}  // namespace

void sort_indices(uint64_t* keys, int n, uint64_t least, uint64_t most, int* order) {
  if (most - least <= UINT32_MAX) return n < 1024 ? sort_short<7>(keys, n, least, most, order) : sort_short<8>(keys, n, least, most, order);
  for (int i = 0; i < n; ++i) order[i] = i;
  std::sort(order, order + n, [keys](int a, int b) { return keys[a] != keys[b] ? keys[a] < keys[b] : a < b; });
}

}  // namespace eplb::cpu
