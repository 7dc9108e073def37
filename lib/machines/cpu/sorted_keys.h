// Keys sorted in registers, for AVX-512 and AVX2: HostTeam::fill where keys are few.
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

// The vectors of words: doubles, for AVX2 has no minimum of 64-bit integers, and AVX-512 is faster
// with doubles where vectors are many. Not negative and finite, they are ordered like their bits.
#ifdef __AVX512F__
struct WordVectors {
  using Words = __m512d;
  static constexpr int kLanes = 8;

  static Words all(int64_t word) { return _mm512_castsi512_pd(_mm512_set1_epi64(word)); }
  static Words load(const int64_t* words) { return _mm512_loadu_pd(words); }
  static Words first(Words words) { return _mm512_broadcastsd_pd(_mm512_castpd512_pd128(words)); }
  static int64_t word(Words words) {
    return _mm_cvtsi128_si64(_mm512_castsi512_si128(bits(words)));
  }
  static Words least(Words a, Words b) { return _mm512_min_pd(a, b); }
  static Words most(Words a, Words b) { return _mm512_max_pd(a, b); }
  // Of two neighbours: the words of the lower from its second on, then the first of the upper.
  static Words from_second(Words lower, Words upper) {
    return _mm512_castsi512_pd(_mm512_alignr_epi64(bits(upper), bits(lower), 1));
  }
  // The last of the lower, then the words of the upper but for its last.
  static Words to_second_last(Words lower, Words upper) {
    return _mm512_castsi512_pd(_mm512_alignr_epi64(bits(upper), bits(lower), 7));
  }
  static Words add(Integer, Words words, Words amounts) {
    return _mm512_castsi512_pd(_mm512_add_epi64(bits(words), bits(amounts)));
  }
  static Words add(Float32, Words words, Words amounts) {
    return _mm512_castps_pd(_mm512_add_ps(_mm512_castpd_ps(words), _mm512_castpd_ps(amounts)));
  }

 private:
  static __m512i bits(Words words) { return _mm512_castpd_si512(words); }
};
#else
struct WordVectors {
  using Words = __m256d;
  static constexpr int kLanes = 4;

  static Words all(int64_t word) { return _mm256_castsi256_pd(_mm256_set1_epi64x(word)); }
  static Words load(const int64_t* words) {
    return _mm256_loadu_pd(reinterpret_cast<const double*>(words));
  }
  static Words first(Words words) { return _mm256_broadcastsd_pd(_mm256_castpd256_pd128(words)); }
  static int64_t word(Words words) {
    return _mm_cvtsi128_si64(_mm256_castsi256_si128(bits(words)));
  }
  static Words least(Words a, Words b) { return _mm256_min_pd(a, b); }
  static Words most(Words a, Words b) { return _mm256_max_pd(a, b); }
  static Words from_second(Words lower, Words upper) {
    return _mm256_shuffle_pd(lower, _mm256_permute2f128_pd(lower, upper, 0x21), 0x5);
  }
  static Words to_second_last(Words lower, Words upper) {
    return _mm256_shuffle_pd(_mm256_permute2f128_pd(lower, upper, 0x21), upper, 0x5);
  }
  static Words add(Integer, Words words, Words amounts) {
    return _mm256_castsi256_pd(_mm256_add_epi64(bits(words), bits(amounts)));
  }
  static Words add(Float32, Words words, Words amounts) {
    return _mm256_castps_pd(_mm256_add_ps(_mm256_castpd_ps(words), _mm256_castpd_ps(amounts)));
  }

 private:
  static __m256i bits(Words words) { return _mm256_castpd_si256(words); }
};
#endif

// A word is a key with its index in the lower half, so that ties go to the lowest index. Lane 0 has
// the least word. To replace it by another, every lane becomes min(next lane, max(lane, other)):
// the latency of a step is that of two instructions and a shuffle.
//
// Keys are loads: below kNeverKey, even if they are floats and infinite. An index is the fraction
// of a float between 1 and 2, to which 0 can be added.
template <int kVectors> struct SortedKeys : WordVectors {
  Words vector[kVectors];

  static constexpr int kNeverKey = 0x7fefffff;  // upper half of the largest finite double
  static constexpr int kOne = 0x3f800000, kMostIndex = (1 << 23) - 1;
  static constexpr int64_t kNeverWord = static_cast<int64_t>(kNeverKey) << 32 | kOne | kMostIndex;
  static Words never() { return all(kNeverWord); }
  using WordVectors::word;
  static int64_t word(int key, int index) {
    return key == kNever ? kNeverWord : static_cast<int64_t>(key) << 32 | kOne | index;
  }
  static int key(int64_t word) { return static_cast<int>(word >> 32); }
  static int index(int64_t word) { return static_cast<int>(word & kMostIndex); }

  // Sorted words, with kNeverWord after them.
  EPLB_INLINE void read(const int64_t* words) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i) vector[i] = load(words + i * kLanes);
  }
  EPLB_INLINE void replace_first(Words word) {
#pragma GCC unroll 32
    for (int i = 0; i < kVectors; ++i) {
      const Words next = i + 1 < kVectors ? vector[i + 1 < kVectors ? i + 1 : i] : never();
      vector[i] = least(from_second(vector[i], next), most(vector[i], word));
    }
  }
  EPLB_INLINE void insert(Words word) {  // the last lane must be kNeverWord: it is lost
#pragma GCC unroll 32
    for (int i = kVectors - 1; i >= 0; --i) {
      const Words before = i > 0 ? vector[i > 0 ? i - 1 : 0] : all(0);
      vector[i] = most(to_second_last(before, vector[i]), least(vector[i], word));
    }
  }
};

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
    keys.read(words);
    return end;
  }
  template <class Number, class Close> EPLB_INLINE void serve(int amount, Close close) {
    const auto least = Sorted::first(keys.vector[0]);
    const auto sum = Sorted::add(Number(), least, Sorted::all(static_cast<int64_t>(amount) << 32));
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

// Calls run.operator()<n>() with the first of these numbers of vectors that holds all keys. False
// if there is none: for more keys a tree is faster.
template <int... kVectors, class Run> bool in_vectors(int keys, Run run) {
  return ((keys <= SortedKeys<kVectors>::kLanes * kVectors &&
           (run.template operator()<kVectors>(), true)) ||
          ...);
}
template <class Run> bool in_registers(int keys, Run run) {
#ifdef __AVX512F__
  return in_vectors<1, 2, 4, 6, 9>(keys, run);
#else
  return in_vectors<2, 4, 8>(keys, run);
#endif
}

EPLB_STAGE_END
#endif
