#include "machines/cpu/ordering.h"

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
template <class Less> bool finish_by_insertion(uint64_t* words, int n, Less less) {
  int64_t moves = int64_t{8} * n;
  for (int i = 1; i < n && moves >= 0; ++i) {
    const uint64_t word = words[i];
    int j = i;
    for (; j > 0 && less(word, words[j - 1]); --j) words[j] = words[j - 1];
    words[j] = word;
    moves -= i - j;
  }
  return moves >= 0;
}

uint32_t index_of(uint64_t word) { return static_cast<uint32_t>(word); }

// The upper 32 of the bits in which keys differ share a word with the index, so that no two words are equal. Two radix passes
// over the highest of them leave little to do: real weights spread over many binades. The rest is insertion by whole keys.
template <int kBits>
void sort_words(const uint64_t* keys, uint64_t* words, int n, uint64_t least, uint64_t most, int* order) {
  constexpr int kDigits = 1 << kBits;
  const int bits = static_cast<int>(std::bit_width(most - least)), drop = std::max(0, bits - 32);
  const int shift = 32 + std::max(0, bits - drop - 2 * kBits);
  auto lower = [&](uint64_t word) { return (word >> shift) & (kDigits - 1); };
  auto upper = [&](uint64_t word) { return (word >> (shift + kBits)) & (kDigits - 1); };
  int place_lower[kDigits] = {}, place_upper[kDigits] = {};
  for (int i = 0; i < n; ++i) {
    const uint64_t word = (keys[i] - least) >> drop << 32 | static_cast<uint32_t>(i);
    words[i] = word;
    ++place_lower[lower(word)];
    ++place_upper[upper(word)];
  }
  counts_to_places<kDigits>(place_lower);
  counts_to_places<kDigits>(place_upper);
  uint64_t* const spare = words + n;
  for (int i = 0; i < n; ++i) spare[place_lower[lower(words[i])]++] = words[i];
  for (int i = 0; i < n; ++i) words[place_upper[upper(spare[i])]++] = spare[i];
  auto by_word = [](uint64_t a, uint64_t b) { return a < b; };
  auto by_key = [keys](uint64_t a, uint64_t b) {
    const uint64_t x = keys[index_of(a)], y = keys[index_of(b)];
    return x != y ? x < y : index_of(a) < index_of(b);
  };
  auto finish = [&](auto less) {
    if (!finish_by_insertion(words, n, less)) std::sort(words, words + n, less);
  };
  if (drop > 0)
    finish(by_key);
  else if (shift > 32)
    finish(by_word);
  for (int i = 0; i < n; ++i) order[i] = static_cast<int>(index_of(words[i]));
}

}  // namespace

void sort_indices(uint64_t* keys, int n, uint64_t least, uint64_t most, int* order) {
  return n < 1024 ? sort_words<7>(keys, keys + n, n, least, most, order)
                  : sort_words<8>(keys, keys + n, n, least, most, order);
}

}  // namespace eplb::cpu
