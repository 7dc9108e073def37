#include "machines/cpu/ordering.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace eplb::cpu {
namespace {

// Turns the number of words per digit into the place of the first word of each digit.
template <int kDigits> void counts_to_places(int* count) {
  for (int digit = 0, next = 0; digit < kDigits; ++digit) next += std::exchange(count[digit], next);
}

// Sorts what is nearly sorted. Gives up when that takes too many moves, leaving a permutation.
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
template <class Less> void finish(uint64_t* words, int n, Less less) {
  if (!finish_by_insertion(words, n, less)) std::sort(words, words + n, less);
}

uint32_t index_of(uint64_t word) { return static_cast<uint32_t>(word); }

// A word holds a key relative to the least one, its lowest bits dropped as needed, above its index:
// so no two words are equal.
struct Packer {
  uint64_t least;
  int drop;

  uint64_t operator()(uint64_t key, int index) const {
    return (key - least) >> drop << 32 | static_cast<uint32_t>(index);
  }
};

// One stable pass of a radix sort: the words of `from`, in the order of a digit, to `to`. Where a
// word goes is known before any is written: a loop that counts on while it writes would have every
// load wait for the address of the store before. rank: n numbers.
template <int kDigits>
void sort_by_digit(const uint64_t* from, uint64_t* to, int n, int* rank, auto digit) {
  int place[kDigits] = {};
  for (int i = 0; i < n; ++i) rank[i] = place[digit(from[i])]++;
  counts_to_places<kDigits>(place);
  for (int i = 0; i < n; ++i) to[place[digit(from[i])] + rank[i]] = from[i];
}

// Two radix passes over 2 * kBits bits of the words, from bit `shift` on. spare: n words, rank: n
// numbers.
template <int kBits>
void sort_by_radix(const uint64_t* keys, uint64_t* words, uint64_t* spare, int n, Packer pack,
                   int shift, int* rank) {
  constexpr int kDigits = 1 << kBits;
  for (int i = 0; i < n; ++i) words[i] = pack(keys[i], i);
  sort_by_digit<kDigits>(words, spare, n, rank,
                         [=](uint64_t word) { return (word >> shift) & (kDigits - 1); });
  sort_by_digit<kDigits>(spare, words, n, rank,
                         [=](uint64_t word) { return (word >> (shift + kBits)) & (kDigits - 1); });
}

// The radix passes look at the highest bits in which keys differ. That leaves little to do, because
// the weights of real layers spread over many binades; insertion by whole keys does it.
template <int kBits>
void sort_words(const uint64_t* keys, uint64_t* words, int n, uint64_t least, uint64_t most,
                int* order) {
  const int bits = static_cast<int>(std::bit_width(most - least)), drop = std::max(0, bits - 32);
  const int shift = 32 + std::max(0, bits - drop - 2 * kBits);
  sort_by_radix<kBits>(keys, words, words + n, n, {least, drop}, shift, order);
  if (drop > 0) {
    finish(words, n, [keys](uint64_t a, uint64_t b) {
      const uint64_t key_a = keys[index_of(a)], key_b = keys[index_of(b)];
      return key_a != key_b ? key_a < key_b : index_of(a) < index_of(b);
    });
  } else if (shift > 32) {
    finish(words, n, [](uint64_t a, uint64_t b) { return a < b; });
  }
  for (int i = 0; i < n; ++i) order[i] = static_cast<int>(index_of(words[i]));
}

}  // namespace

void sort_indices(uint64_t* keys, int n, uint64_t least, uint64_t most, int* order) {
  if (n < 128) return sort_words<6>(keys, keys + n, n, least, most, order);
  return n < 1024 ? sort_words<7>(keys, keys + n, n, least, most, order)
                  : sort_words<8>(keys, keys + n, n, least, most, order);
}

}  // namespace eplb::cpu
