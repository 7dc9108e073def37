// Keys sorted in registers, for AVX-512 and AVX2: HostTeam::serve and fill where keys are few.
#pragma once

#include "machines/cpu/winner_tree.h"

#ifdef __AVX2__
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
#ifdef __AVX512F__
template <int kVectors> struct SortedKeys {
  using Words = __m512i;
  static constexpr int kLanes = 8;
  Words vector[kVectors];

  static constexpr int kNeverKey = kNever;
  static constexpr int64_t kNeverWord = static_cast<int64_t>(kNeverKey) << 32 | 0xffffffff;
  static Words all(int64_t word) { return _mm512_set1_epi64(word); }
  static Words never() { return all(kNeverWord); }
  static int64_t word(int key, int index) { return static_cast<int64_t>(key) << 32 | index; }
  static int key(int64_t word) { return static_cast<int>(word >> 32); }
  static int index(int64_t word) { return static_cast<int>(word & 0xffffffff); }

  // n words that are sorted.
  EPLB_INLINE void load(const int64_t* words, int n) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i)
      vector[i] = _mm512_mask_loadu_epi64(never(), first_lanes(n - i * 8), words + i * 8);
  }
  EPLB_INLINE Words first() const {
    return _mm512_broadcastq_epi64(_mm512_castsi512_si128(vector[0]));
  }
  static int64_t word(Words words) { return _mm_cvtsi128_si64(_mm512_castsi512_si128(words)); }
  EPLB_INLINE void replace_first(Words word) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i) {
      const Words next = i + 1 < kVectors ? vector[i + 1 < kVectors ? i + 1 : i] : never();
      const Words shifted = _mm512_alignr_epi64(next, vector[i], 1);
      vector[i] = _mm512_min_epi64(shifted, _mm512_max_epi64(vector[i], word));
    }
  }
  EPLB_INLINE void insert(Words word) {  // the last lane must be kNeverWord: it is lost
#pragma GCC unroll 32
    for (int i = kVectors - 1; i >= 0; --i) {
      const Words before = i > 0 ? vector[i > 0 ? i - 1 : 0] : all(INT64_MIN);
      const Words shifted = _mm512_alignr_epi64(vector[i], before, 7);
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

#else
// AVX2 has no minimum of 64-bit integers, but one of doubles: not negative and finite, they are
// ordered like their bits. Keys are loads: below kNeverKey, even if they are floats and infinite.
// An index is the fraction of a float between 1 and 2, to which 0 can be added.
template <int kVectors> struct SortedKeys {
  using Words = __m256d;
  static constexpr int kLanes = 4;
  Words vector[kVectors];

  static constexpr int kNeverKey = 0x7fefffff;  // upper half of the largest finite double
  static constexpr int kOne = 0x3f800000, kMostIndex = (1 << 23) - 1;
  static constexpr int64_t kNeverWord = static_cast<int64_t>(kNeverKey) << 32 | kOne | kMostIndex;
  static Words all(int64_t word) { return _mm256_castsi256_pd(_mm256_set1_epi64x(word)); }
  static Words never() { return all(kNeverWord); }
  static int64_t word(int key, int index) {
    return key == kNever ? kNeverWord : static_cast<int64_t>(key) << 32 | kOne | index;
  }
  static int key(int64_t word) { return static_cast<int>(word >> 32); }
  static int index(int64_t word) { return static_cast<int>(word & kMostIndex); }

  // n words that are sorted, and kNeverWord after them.
  EPLB_INLINE void load(const int64_t* words, int) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i)
      vector[i] = _mm256_loadu_pd(reinterpret_cast<const double*>(words + i * kLanes));
  }
  EPLB_INLINE Words first() const {
    return _mm256_broadcastsd_pd(_mm256_castpd256_pd128(vector[0]));
  }
  static int64_t word(Words words) {
    return _mm_cvtsi128_si64(_mm256_castsi256_si128(_mm256_castpd_si256(words)));
  }
  EPLB_INLINE void replace_first(Words word) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i) {
      const Words next = i + 1 < kVectors ? vector[i + 1 < kVectors ? i + 1 : i] : never();
      const Words middle = _mm256_permute2f128_pd(vector[i], next, 0x21);
      const Words shifted = _mm256_shuffle_pd(vector[i], middle, 0x5);
      vector[i] = _mm256_min_pd(shifted, _mm256_max_pd(vector[i], word));
    }
  }
  EPLB_INLINE void insert(Words word) {  // the last lane must be kNeverWord: it is lost
#pragma GCC unroll 32
    for (int i = kVectors - 1; i >= 0; --i) {
      const Words before = i > 0 ? vector[i > 0 ? i - 1 : 0] : _mm256_setzero_pd();
      const Words middle = _mm256_permute2f128_pd(before, vector[i], 0x21);
      const Words shifted = _mm256_shuffle_pd(middle, vector[i], 0x5);
      vector[i] = _mm256_max_pd(shifted, _mm256_min_pd(vector[i], word));
    }
  }
};

inline __m256d add_to_keys(Integer, __m256d words, int amount) {
  const __m256i more = _mm256_set1_epi64x(static_cast<int64_t>(amount) << 32);
  return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(words), more));
}
inline __m256d add_to_keys(Float32, __m256d words, int amount) {
  const __m256i more = _mm256_set1_epi64x(static_cast<int64_t>(amount) << 32);
  return _mm256_castps_pd(_mm256_add_ps(_mm256_castpd_ps(words), _mm256_castsi256_ps(more)));
}
#endif

// The keys of fill_with.
template <int kVectors> struct SortedFillKeys {
  using Sorted = SortedKeys<kVectors>;
  int n;
  Sorted keys;

  // Amounts hardly grow, so the words of the opening steps are nearly sorted when they are written
  // back to front.
  template <class Amount, class Apart, class Close>
  EPLB_INLINE int begin(int steps, Amount amount, Apart apart, Close close) {
    int64_t words[kVectors * Sorted::kLanes];
    for (int i = n; i < kVectors * Sorted::kLanes; ++i) words[i] = Sorted::kNeverWord;
    const int end = opening_steps(n, steps, amount, apart);
    for (int i = end; i < n; ++i) words[i - end] = Sorted::word(0, i);
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
    const auto least = keys.first(), sum = add_to_keys(Number(), least, amount);
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
    return key != Sorted::kNeverKey;
  }
  EPLB_INLINE void put(int i, int key) { keys.insert(Sorted::all(Sorted::word(key, i))); }
  template <class Body> bool once(Body body) { return body(); }
};

#ifdef __AVX512F__
// HostTeam::serve.
template <int kVectors, class Rekey>
void serve_sorted(int n, const int* stored, int steps, Rekey rekey) {
  using Sorted = SortedKeys<kVectors>;
  int64_t below_all[kVectors * 8];
  for (int i = 0; i < n; ++i) below_all[i] = INT64_MIN;
  Sorted keys;
  keys.load(below_all, n);
  for (int i = 0; i < n; ++i) keys.replace_first(Sorted::all(Sorted::word(stored[i], i)));
  for (int step = 0; step < steps; ++step) {
    const int64_t word = Sorted::word(keys.vector[0]);
    const int i = Sorted::index(word);
    keys.replace_first(Sorted::all(Sorted::word(rekey(step, i, Sorted::key(word)), i)));
  }
}
#endif

// Calls run.operator()<n>() with the first of these numbers of vectors that holds all keys. False
// if there is none: for more keys a tree is faster.
template <int... kVectors, class Run> bool in_vectors(int keys, Run run) {
  return ((keys <= SortedKeys<kVectors>::kLanes * kVectors &&
           (run.template operator()<kVectors>(), true)) ||
          ...);
}
template <class Run> bool in_registers(int keys, Run run) {
#ifdef __AVX512F__
  return in_vectors<2, 4, 6, 9, 12, 18>(keys, run);
#else
  return in_vectors<2, 4, 8>(keys, run);
#endif
}

EPLB_STAGE_END
#endif
