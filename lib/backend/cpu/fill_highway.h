// HostTeam::fill with vectors: the step of longest-processing-time-first, and so half of the time of GREEDY. What is on the way
// from one step to the next is all that counts.
#pragma once

#include "backend/cpu/serve_highway.h"
#include "solver/fill.h"

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
template <int N> struct RegisterKeys {
  using Lane = KeyVectors<int>;
  int n;
  Keys<N, int> keys;

  template <class Amount, class Apart, class Close> EPLB_INLINE int begin(int, Amount, Apart, Close) {
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i)
      keys.v[i] =
          hn::IfThenElse(hn::Lt(hn::Iota(kInts, i * kLanes), hn::Set(kInts, n)), hn::Zero(kInts), Lane::never());
    return 0;
  }
  template <class Number, class Close> EPLB_INLINE void serve(int amount, Close close) {
    const auto least = keys.least();
    const auto at = keys.where(least);
    const int i = at.first();
    keys.set(at, i, Sum<Number>::add(least, amount));
    if (EPLB_RARELY(close(i, hn::GetLane(least)))) keys.set_at(i, Lane::never());
  }
  EPLB_INLINE bool take(int& i, int& key) {
    const auto least = keys.least();
    i = keys.where(least).first();
    key = hn::GetLane(least);
    keys.set_at(i, Lane::never());
    return key != kNever;
  }
  EPLB_INLINE void put(int i, int key) { keys.set_at(i, hn::Set(kInts, key)); }
  template <class Body> bool once(Body body) { return body(); }
};

#if HWY_TARGET == HWY_AVX3
template <int N> struct FillKeys {
  int n;
  SortedKeys<N> keys;

  // The first n steps go to one index each, in order, if later amounts are smaller but not zero; as far as whole runs go.
  template <class Amount, class Apart, class Close>
  EPLB_INLINE int begin(int steps, Amount amount, Apart apart, Close close) {
    using Sorted = SortedKeys<N>;
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
    const __m512i least = keys.first(), sum = Sum<Number>::add_upper(least, amount);
    const int64_t word = SortedKeys<N>::word(least);
    if (EPLB_RARELY(close(SortedKeys<N>::index(word), SortedKeys<N>::key(word))))
      keys.replace_first(SortedKeys<N>::never());
    else
      keys.replace_first(sum);
  }
  EPLB_INLINE bool take(int& i, int& key) {
    const int64_t word = SortedKeys<N>::word(keys.v[0]);
    i = SortedKeys<N>::index(word);
    key = SortedKeys<N>::key(word);
    keys.replace_first(SortedKeys<N>::never());
    return key != kNever;
  }
  EPLB_INLINE void put(int i, int key) { keys.insert(_mm512_set1_epi64(SortedKeys<N>::word(key, i))); }
  template <class Body> bool once(Body body) { return body(); }
};
#endif

template <class Number, class Amount, class Apart, class Close>
void fill_least(int n, int* stored, int64_t* blocks, View<int> held, int steps, Amount amount, Apart apart,
                Close close) {
#if HWY_TARGET == HWY_AVX3
  if (in_registers<int64_t>(n, [&]<int N> {
        FillKeys<N> keys{n, {}};
        fill_with<Number>(keys, held, steps, amount, apart, close);
      }))
    return;
#endif
  if (in_registers<int>(n, [&]<int N> {
        RegisterKeys<N> keys{n, {}};
        fill_with<Number>(keys, held, steps, amount, apart, close);
      }))
    return;
  BlockKeys<int> keys(n, stored, blocks);
  fill_with<Number>(keys, held, steps, amount, apart, close);
}

EPLB_STAGE_END
