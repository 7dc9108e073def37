// Keys sorted in registers, for AVX-512: HostTeam::serve and fill where keys are few.
#pragma once

#include "machines/cpu/winner_tree.h"

#ifdef __AVX512F__
// g++ 12 warns at every caller that intrinsics build their results from undefined registers.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

EPLB_STAGE_BEGIN

// A word is a key with its index in the lower half, so that ties go to the lowest index. Lane 0 has
// the least word. To replace it by another, every lane becomes min(next lane, max(lane, other)):
// the latency of a step is that of two instructions and a shuffle.
template <int kVectors> struct SortedKeys {
  __m512i vector[kVectors];

  static constexpr int64_t kNeverWord = static_cast<int64_t>(kNever) << 32 | 0xffffffff;
  static __m512i never() { return _mm512_set1_epi64(kNeverWord); }
  static int64_t word(int key, int index) { return static_cast<int64_t>(key) << 32 | index; }
  static int key(int64_t word) { return static_cast<int>(word >> 32); }
  static int index(int64_t word) { return static_cast<int>(word & 0xffffffff); }

  // n words that are sorted.
  EPLB_INLINE void load(const int64_t* words, int n) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i)
      vector[i] = _mm512_mask_loadu_epi64(never(), first_lanes(n - i * 8), words + i * 8);
  }
  EPLB_INLINE __m512i first() const {
    return _mm512_broadcastq_epi64(_mm512_castsi512_si128(vector[0]));
  }
  static int64_t word(__m512i words) { return _mm_cvtsi128_si64(_mm512_castsi512_si128(words)); }
  EPLB_INLINE void replace_first(__m512i word) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i) {
      const __m512i next = i + 1 < kVectors ? vector[i + 1 < kVectors ? i + 1 : i] : never();
      const __m512i shifted = _mm512_alignr_epi64(next, vector[i], 1);
      vector[i] = _mm512_min_epi64(shifted, _mm512_max_epi64(vector[i], word));
    }
  }
  EPLB_INLINE void insert(__m512i word) {  // the last lane must be kNeverWord: it is lost
#pragma GCC unroll 32
    for (int i = kVectors - 1; i >= 0; --i) {
      const __m512i before = i > 0 ? vector[i > 0 ? i - 1 : 0] : _mm512_set1_epi64(INT64_MIN);
      const __m512i shifted = _mm512_alignr_epi64(vector[i], before, 7);
      vector[i] = _mm512_max_epi64(shifted, _mm512_min_epi64(vector[i], word));
    }
  }

 private:
  static __mmask8 first_lanes(int count) {
    if (count >= 8) return 0xff;
    return count <= 0 ? 0 : static_cast<__mmask8>((1 << count) - 1);
  }
};

// Adds an amount to the keys of words.
inline __m512i add_to_keys(Integer, __m512i words, int amount) {
  return _mm512_add_epi64(words, _mm512_set1_epi64(static_cast<int64_t>(amount) << 32));
}
inline __m512i add_to_keys(Float32, __m512i words, int amount) {
  const __m512 upper = _mm512_castsi512_ps(words);
  return _mm512_castps_si512(
      _mm512_mask_add_ps(upper, 0xaaaa, upper, _mm512_set1_ps(Float32::value(amount))));
}

// The keys of fill_with.
template <int kVectors> struct SortedFillKeys {
  using Sorted = SortedKeys<kVectors>;
  int n;
  Sorted keys;

  // Amounts do not grow, so the words of the opening steps are sorted when they are written back to
  // front, but for equal ones, whose indices must ascend.
  template <class Amount, class Apart, class Close>
  EPLB_INLINE int begin(int steps, Amount amount, Apart apart, Close close) {
    int64_t words[kVectors * 8];
    const int end = opening_steps(n, steps, amount, apart);
    for (int i = end; i < n; ++i) words[i - end] = i;
    for (int step = 0; step < end; ++step) {
      int place = n - 1 - step;
      const int64_t word = Sorted::word(close(step, step, 0) ? kNever : amount(step), step);
      for (; place + 1 < n && word > words[place + 1]; ++place) words[place] = words[place + 1];
      words[place] = word;
    }
    keys.load(words, n);
    return end;
  }
  template <class Number, class Close> EPLB_INLINE void serve(int amount, Close close) {
    const __m512i least = keys.first(), sum = add_to_keys(Number(), least, amount);
    const int64_t word = Sorted::word(least);
    if (EPLB_RARELY(close(Sorted::index(word), Sorted::key(word))))
      keys.replace_first(Sorted::never());
    else
      keys.replace_first(sum);
  }
  EPLB_INLINE bool take(int& i, int& key) {
    const int64_t word = Sorted::word(keys.vector[0]);
    i = Sorted::index(word);
    key = Sorted::key(word);
    keys.replace_first(Sorted::never());
    return key != kNever;
  }
  EPLB_INLINE void put(int i, int key) { keys.insert(_mm512_set1_epi64(Sorted::word(key, i))); }
  template <class Body> bool once(Body body) { return body(); }
};

// HostTeam::serve.
template <int kVectors, class Rekey>
void serve_sorted(int n, const int* stored, int steps, Rekey rekey) {
  using Sorted = SortedKeys<kVectors>;
  int64_t below_all[kVectors * 8];
  for (int i = 0; i < n; ++i) below_all[i] = INT64_MIN;
  Sorted keys;
  keys.load(below_all, n);
  for (int i = 0; i < n; ++i) keys.replace_first(_mm512_set1_epi64(Sorted::word(stored[i], i)));
  for (int step = 0; step < steps; ++step) {
    const int64_t word = Sorted::word(keys.vector[0]);
    const int i = Sorted::index(word);
    keys.replace_first(_mm512_set1_epi64(Sorted::word(rekey(step, i, Sorted::key(word)), i)));
  }
}

// Calls run.operator()<n>() with the first of these numbers of vectors that holds all keys. False
// if there is none: for more keys a tree is faster.
template <int... kVectors, class Run> bool in_vectors(int keys, Run run) {
  return ((keys <= 8 * kVectors && (run.template operator()<kVectors>(), true)) || ...);
}
template <class Run> bool in_registers(int keys, Run run) {
  return in_vectors<2, 4, 6, 9, 12, 18>(keys, run);
}

EPLB_STAGE_END
#endif
