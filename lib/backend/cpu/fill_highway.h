// HostTeam::fill with vectors: the step of longest-processing-time-first, and so half of the time of GREEDY. What is on the way
// from one step to the next is all that counts.
#pragma once

#include "backend/cpu/serve_highway.h"
#include "solver/number.h"

EPLB_STAGE_BEGIN

// v + amount, in all lanes or in the upper half of words; Number says what + is.
template <class Number> struct Sum;
template <> struct Sum<Integer> {
  static KeyVectors<int>::Vector add(KeyVectors<int>::Vector v, int amount) {
    return hn::Add(v, hn::Set(kInts, amount));
  }
#if HWY_TARGET == HWY_AVX3
  static __m512i add_upper(__m512i words, int amount) {
    return _mm512_add_epi64(words, _mm512_set1_epi64(static_cast<int64_t>(amount) << 32));
  }
#endif
};
template <> struct Sum<Float32> {
  static KeyVectors<int>::Vector add(KeyVectors<int>::Vector v, int amount) {
    constexpr hn::ScalableTag<float> floats;
    return hn::BitCast(kInts, hn::Add(hn::BitCast(floats, v), hn::Set(floats, Float32::value(amount))));
  }
#if HWY_TARGET == HWY_AVX3
  static __m512i add_upper(__m512i words, int amount) {
    const __m512 upper = _mm512_castsi512_ps(words);
    return _mm512_castps_si512(_mm512_mask_add_ps(upper, 0xaaaa, upper, _mm512_set1_ps(Float32::value(amount))));
  }
#endif
};

// The sum stays in vectors: a minimum over all keys, a comparison, a blend.
template <class Number, int N, class Amount, class Close>
void fill_in_registers(int n, int steps, Amount amount, Close close) {
  Keys<N, int> keys;
  for (int i = 0; i < N; ++i)
    keys.v[i] = hn::IfThenElse(hn::Lt(hn::Iota(kInts, i * kLanes), hn::Set(kInts, n)), hn::Zero(kInts),
                               KeyVectors<int>::never());
  for (int step = 0; step < steps; ++step) {
    const auto least = keys.least();
    const auto at = keys.where(least);
    const int i = at.first();
    keys.set(at, i, Sum<Number>::add(least, amount(step)));
    if (EPLB_RARELY(close(step, i, hn::GetLane(least)))) keys.set_at(i, KeyVectors<int>::never());
  }
}

#if HWY_TARGET == HWY_AVX3
template <class Number, int N, class Amount, class Close>
void fill_sorted(int n, int steps, Amount amount, Close close) {
  using Sorted = SortedKeys<N>;
  int64_t start[N * 8];
  int step = 0;
  if (steps >= n && amount(n - 1) > 0) {
    // The first n go to one each, in order: later ones are lighter. Equal ones must stand in order of their index.
    for (; step < n; ++step) {
      int j = n - 1 - step;
      const int64_t word = Sorted::word(close(step, step, 0) ? kNever : amount(step), step);
      for (; j + 1 < n && word > start[j + 1]; ++j) start[j] = start[j + 1];
      start[j] = word;
    }
  } else {
    for (int i = 0; i < n; ++i) start[i] = i;
  }
  Sorted keys;
  keys.load(start, n);
  for (; step < steps; ++step) {
    const __m512i least = keys.first(), sum = Sum<Number>::add_upper(least, amount(step));
    const int64_t word = Sorted::word(least);
    if (EPLB_RARELY(close(step, Sorted::index(word), Sorted::key(word))))
      keys.replace_first(_mm512_set1_epi64(Sorted::kNeverWord));
    else
      keys.replace_first(sum);
  }
}
#endif

template <class Number, class Amount, class Close>
void fill_least(int n, int* keys, int64_t* blocks, int steps, Amount amount, Close close) {
#if HWY_TARGET == HWY_AVX3
  if (in_registers<int64_t>(n, [&]<int N> { fill_sorted<Number, N>(n, steps, amount, close); })) return;
#endif
  if (in_registers<int>(n, [&]<int N> { fill_in_registers<Number, N>(n, steps, amount, close); })) return;
  serve_in_blocks(n, keys, reinterpret_cast<int*>(blocks), steps, [&](int step, int i, int key) {
    return close(step, i, key) ? kNever : Number::add(key, amount(step));
  });
}

EPLB_STAGE_END
