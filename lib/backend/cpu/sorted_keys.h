// Keys that are kept sorted in registers, for AVX-512.
#pragma once

#include "backend/cpu/lanes_highway.h"

#if HWY_TARGET == HWY_AVX3
EPLB_STAGE_BEGIN

// Each word is a key with its index in the lower half, so that ties go to the lowest index; lane 0 is the least. To take it
// out and put x in, every lane becomes min(next lane, max(lane, x)): a quarter of the latency of looking for the least among
// unsorted keys. Needs minima of 64-bit words. (Raw intrinsics: Highway 1.0 cannot shift lanes across a whole vector.)
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

EPLB_STAGE_END
#endif
