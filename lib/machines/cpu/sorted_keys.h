// Keys that are kept sorted in registers, for AVX-512: HostTeam::serve and fill where there are few of them.
#pragma once

#include "machines/cpu/winner_tree.h"

#ifdef __AVX512F__
// The header builds some of its answers from undefined registers, which g++ 12 complains about in whoever calls it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

EPLB_STAGE_BEGIN

// Each word is a key with its index in the lower half, so that ties go to the lowest index; lane 0 is the least. To take it
// out and put x in, every lane becomes min(next lane, max(lane, x)): no step waits for more than that.
template <int N> struct SortedKeys {
  __m512i v[N];

  static constexpr int64_t kNeverWord = static_cast<int64_t>(kNever) << 32 | 0xffffffff;
  static __m512i never() { return _mm512_set1_epi64(kNeverWord); }
  static int64_t word(int key, int index) { return static_cast<int64_t>(key) << 32 | index; }
  static int key(int64_t word) { return static_cast<int>(word >> 32); }
  static int index(int64_t word) { return static_cast<int>(word & 0xffffffff); }

  // n words that are sorted already.
  EPLB_INLINE void load(const int64_t* words, int n) {
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i) {
      const int count = n - i * 8;
      const __mmask8 there = count >= 8 ? 0xff : count <= 0 ? 0 : static_cast<__mmask8>((1 << count) - 1);
      v[i] = _mm512_mask_loadu_epi64(_mm512_set1_epi64(kNeverWord), there, words + i * 8);
    }
  }
  EPLB_INLINE __m512i first() const { return _mm512_broadcastq_epi64(_mm512_castsi512_si128(v[0])); }
  static int64_t word(__m512i words) { return _mm_cvtsi128_si64(_mm512_castsi512_si128(words)); }
  EPLB_INLINE void replace_first(__m512i x) {
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i) {
      const __m512i next = i + 1 < N ? v[i + 1 < N ? i + 1 : i] : _mm512_set1_epi64(kNeverWord);
      v[i] = _mm512_min_epi64(_mm512_alignr_epi64(next, v[i], 1), _mm512_max_epi64(v[i], x));
    }
  }
  EPLB_INLINE void insert(__m512i x) {  // while the last lane is never
#pragma GCC unroll 32
    for (int i = N - 1; i >= 0; --i) {
      const __m512i before = i > 0 ? v[i > 0 ? i - 1 : 0] : _mm512_set1_epi64(INT64_MIN);
      v[i] = _mm512_max_epi64(_mm512_alignr_epi64(v[i], before, 7), _mm512_min_epi64(v[i], x));
    }
  }
};

// words + amount in the keys; Number says what + is.
template <class Number> struct UpperSum;
template <> struct UpperSum<Integer> {
  static __m512i add(__m512i words, int amount) {
    return _mm512_add_epi64(words, _mm512_set1_epi64(static_cast<int64_t>(amount) << 32));
  }
};
template <> struct UpperSum<Float32> {
  static __m512i add(__m512i words, int amount) {
    const __m512 upper = _mm512_castsi512_ps(words);
    return _mm512_castps_si512(_mm512_mask_add_ps(upper, 0xaaaa, upper, _mm512_set1_ps(Float32::value(amount))));
  }
};

template <int N> struct SortedFillKeys {
  using Sorted = SortedKeys<N>;
  int n;
  Sorted keys;

  // The first n steps go to one index each, in order, if later amounts are smaller but not zero; as far as whole runs go.
  template <class Amount, class Apart, class Close>
  EPLB_INLINE int begin(int steps, Amount amount, Apart apart, Close close) {
    int64_t start[N * 8];
    int end = 0;
    if (steps >= n && amount(n - 1) > 0)
      for (int run; end < n && end + (run = apart(end)) <= n; end += run) {
      }
    for (int i = end; i < n; ++i) start[i - end] = i;
    for (int step = 0; step < end; ++step) {  // equal ones must stand in order of their index
      int j = n - 1 - step;
      const int64_t word = Sorted::word(close(step, step, 0) ? kNever : amount(step), step);
      for (; j + 1 < n && word > start[j + 1]; ++j) start[j] = start[j + 1];
      start[j] = word;
    }
    keys.load(start, n);
    return end;
  }
  template <class Number, class Close> EPLB_INLINE void serve(int amount, Close close) {
    const __m512i least = keys.first(), sum = UpperSum<Number>::add(least, amount);
    const int64_t word = Sorted::word(least);
    if (EPLB_RARELY(close(Sorted::index(word), Sorted::key(word))))
      keys.replace_first(Sorted::never());
    else
      keys.replace_first(sum);
  }
  EPLB_INLINE bool take(int& i, int& key) {
    const int64_t word = Sorted::word(keys.v[0]);
    i = Sorted::index(word);
    key = Sorted::key(word);
    keys.replace_first(Sorted::never());
    return key != kNever;
  }
  EPLB_INLINE void put(int i, int key) { keys.insert(_mm512_set1_epi64(Sorted::word(key, i))); }
  template <class Body> bool once(Body body) { return body(); }
};

template <int N, class Rekey> void serve_sorted(int n, const int* stored, int steps, Rekey rekey) {
  using Sorted = SortedKeys<N>;
  int64_t start[N * 8];
  for (int i = 0; i < n; ++i) start[i] = INT64_MIN;
  Sorted keys;
  keys.load(start, n);
  for (int i = 0; i < n; ++i) keys.replace_first(_mm512_set1_epi64(Sorted::word(stored[i], i)));
  for (int step = 0; step < steps; ++step) {
    const int64_t word = Sorted::word(keys.v[0]);
    const int i = Sorted::index(word);
    keys.replace_first(_mm512_set1_epi64(Sorted::word(rekey(step, i, Sorted::key(word)), i)));
  }
}

// Calls run(N) for the number of vectors that n keys need; false if a tree is faster.
inline constexpr int kMostSorted = 144;

template <class Run> bool in_registers(int n, Run run) {
  if (n <= 16)
    run.template operator()<2>();
  else if (n <= 32)
    run.template operator()<4>();
  else if (n <= 48)
    run.template operator()<6>();
  else if (n <= 72)
    run.template operator()<9>();
  else if (n <= 96)
    run.template operator()<12>();
  else if (n <= kMostSorted)
    run.template operator()<18>();
  else
    return false;
  return true;
}

EPLB_STAGE_END
#endif
