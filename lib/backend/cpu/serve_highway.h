// HostTeam::serve with vectors. Everything a step needs stays in registers: a key that was just stored cannot be loaded as
// part of a vector without a stall of a dozen cycles, and each step depends on the one before. For the same reason the new
// key goes in where the old one was found equal, by mask; only when several keys are equal is the first of them looked up.
#pragma once

#include "backend/cpu/lanes_highway.h"
#include "backend/cpu/sorted_keys.h"

EPLB_STAGE_BEGIN

template <class Key> struct KeyVectors {
  using Tag = hn::ScalableTag<Key>;
  using Vector = hn::Vec<Tag>;
  using Equal = hn::Mask<Tag>;
  static constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));

  static Vector never() { return hn::Set(Tag(), Never<Key>::key); }
  // Keys at .. at+kLanes-1 of n; beyond the end never.
  static Vector load(const Key* keys, int at, int n) {
    const int count = n - at;
    if (count >= kLanes) return hn::LoadU(Tag(), keys + at);
    if (count <= 0) return never();
    return hn::IfThenElse(hn::FirstN(Tag(), static_cast<size_t>(count)), hn::LoadU(Tag(), keys + at), never());
  }
  // The least lane, in all lanes. Without a trip through a general register, unlike hn::MinOfLanes.
  static Vector least(Vector v) {
    if constexpr (kLanes * sizeof(Key) == 64) v = hn::Min(v, hn::ReverseBlocks(Tag(), v));
    if constexpr (kLanes * sizeof(Key) >= 32) v = hn::Min(v, hn::SwapAdjacentBlocks(v));
    if constexpr (sizeof(Key) == 8)
      return hn::Min(v, hn::Shuffle01(v));
    else {
      v = hn::Min(v, hn::Shuffle1032(v));
      return hn::Min(v, hn::Shuffle2301(v));
    }
  }
  static uint64_t bits(Equal m) {
    uint8_t bytes[8] = {};  // StoreMaskBits writes whole bytes; eight are what it may touch
    hn::StoreMaskBits(Tag(), m, bytes);
    uint64_t word = 0;
    __builtin_memcpy(&word, bytes, kLanes > 8 ? 2 : 1);
    return word;
  }
};

// Up to N vectors of keys, all in registers.
template <int N, class Key> struct Keys {
  using Lane = KeyVectors<Key>;
  using Tag = typename Lane::Tag;
  typename Lane::Vector v[N];

  void load(const Key* keys, int at, int n) {
    for (int i = 0; i < N; ++i) v[i] = Lane::load(keys, at + i * Lane::kLanes, n);
  }
  typename Lane::Vector least() const {  // in all lanes
    typename Lane::Vector m[N];
    for (int i = 0; i < N; ++i) m[i] = v[i];
    for (int n = N; n > 1; n = (n + 1) / 2)
      for (int i = 0; i < n / 2; ++i) m[i] = hn::Min(m[i], m[n - 1 - i]);
    return Lane::least(m[0]);
  }
  // Which keys equal `value`: N * kLanes bits, 64 to a word.
  static constexpr int kWords = (N * Lane::kLanes + 63) / 64, kPerWord = 64 / Lane::kLanes;
  struct Where {
    typename Lane::Equal m[N];
    uint64_t word[kWords];

    int first() const {  // there must be one
      int w = 0;
      while (w < kWords - 1 && word[w] == 0) ++w;
      return w * 64 + __builtin_ctzll(word[w]);
    }
    bool several() const {
      uint64_t seen = word[0], more = word[0] & (word[0] - 1);
      for (int w = 1; w < kWords; ++w) {
        more |= (word[w] & (word[w] - 1)) | (seen != 0 && word[w] != 0);
        seen |= word[w];
      }
      return more != 0;
    }
  };
  Where where(typename Lane::Vector value) const {
    Where at;
    for (int w = 0; w < kWords; ++w) at.word[w] = 0;
    for (int i = 0; i < N; ++i) {
      at.m[i] = hn::Eq(v[i], value);
      at.word[i / kPerWord] |= Lane::bits(at.m[i]) << (i % kPerWord * Lane::kLanes % 64);
    }
    return at;
  }
  void set(const Where& at, int first, typename Lane::Vector key) {
    if (EPLB_RARELY(at.several())) return set_at(first, key);
    for (int i = 0; i < N; ++i) v[i] = hn::IfThenElse(at.m[i], key, v[i]);
  }
  void set_at(int index, typename Lane::Vector key) {
    for (int i = 0; i < N; ++i) {
      const auto lane = hn::Set(Tag(), static_cast<Key>(index - i * Lane::kLanes));
      v[i] = hn::IfThenElse(hn::Eq(hn::Iota(Tag(), Key{0}), lane), key, v[i]);
    }
  }
};

template <int N, class Key, class Rekey> void serve_in_registers(int n, const Key* stored, int steps, Rekey rekey) {
  Keys<N, Key> keys;
  keys.load(stored, 0, n);
  for (int step = 0; step < steps; ++step) {
    const auto least = keys.least();
    const auto at = keys.where(least);
    const int i = at.first();
    keys.set(at, i, hn::Set(typename KeyVectors<Key>::Tag(), rekey(step, i, hn::GetLane(least))));
  }
}

#if HWY_TARGET == HWY_AVX3
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
#endif

inline constexpr int kBlockVectors = 4;
inline constexpr int kServeBlock = kBlockVectors * KeyVectors<int64_t>::kLanes;  // the smallest block of any key type

// Many keys: the least of each block of four vectors is kept.
template <class Key> struct BlockKeys {
  using Lane = KeyVectors<Key>;
  static constexpr int kBlock = kBlockVectors * Lane::kLanes;
  int n, blocks;
  Key *keys, *least;
  Keys<kBlockVectors, Key> block;
  int at;  // the block in hand
  typename Keys<kBlockVectors, Key>::Where where;

  BlockKeys(int count, Key* stored, int64_t* memory)
      : n(count), blocks((count + kBlock - 1) / kBlock), keys(stored), least(reinterpret_cast<Key*>(memory)) {}

  void refresh_all() {
    for (int b = 0; b < blocks; ++b) {
      block.load(keys, b * kBlock, n);
      least[b] = hn::GetLane(block.least());
    }
  }
  int find(Key& key) {
    typename Lane::Vector m = Lane::never();
    for (int b = 0; b < blocks; b += Lane::kLanes) m = hn::Min(m, Lane::load(least, b, blocks));
    m = Lane::least(m);
    at = 0;
    uint64_t hit = 0;
    while ((hit = Lane::bits(hn::Eq(Lane::load(least, at, blocks), m))) == 0) at += Lane::kLanes;
    at += __builtin_ctzll(hit);
    block.load(keys, at * kBlock, n);
    where = block.where(m);
    key = hn::GetLane(m);
    return at * kBlock + where.first();
  }
  void replace(int found, Key key) {  // of what was just found; the block is in registers still
    keys[found] = key;
    block.set(where, found - at * kBlock, hn::Set(typename Lane::Tag(), key));
    least[at] = hn::GetLane(block.least());
  }

  template <class Amount, class Apart, class Close> int begin(int, Amount, Apart, Close) {
    for (int i = 0; i < n; ++i) keys[i] = 0;
    refresh_all();
    return 0;
  }
  template <class Number, class Close> void serve(int amount, Close close) {
    Key key;
    const int i = find(key);
    replace(i, close(i, key) ? Never<Key>::key : Number::add(key, amount));
  }
  bool take(int& i, int& key) {
    i = find(key);
    replace(i, kNever);
    return key != kNever;
  }
  void put(int i, Key key) {
    keys[i] = key;
    block.load(keys, i / kBlock * kBlock, n);
    least[i / kBlock] = hn::GetLane(block.least());
  }
  template <class Body> bool once(Body body) { return body(); }
};

template <class Key, class Rekey> void serve_in_blocks(int n, Key* stored, int64_t* blocks, int steps, Rekey rekey) {
  BlockKeys<Key> keys(n, stored, blocks);
  keys.refresh_all();
  for (int step = 0; step < steps; ++step) {
    Key key;
    const int i = keys.find(key);
    keys.replace(i, rekey(step, i, key));
  }
}

// Calls run(N) for the number of vectors that n keys need; false if they are too many for registers.
template <class Key, class Run> bool in_registers(int n, Run run) {
  constexpr int kLanes = KeyVectors<Key>::kLanes;
  if (n <= 2 * kLanes)
    run.template operator()<2>();
  else if (n <= 4 * kLanes)
    run.template operator()<4>();
  else if (n <= 6 * kLanes)
    run.template operator()<6>();
  else if (n <= 9 * kLanes)
    run.template operator()<9>();
  else if (n <= 12 * kLanes)
    run.template operator()<12>();
  else if (n <= 18 * kLanes)
    run.template operator()<18>();
  else
    return false;
  return true;
}

template <class Key, class Rekey> void serve_least(int n, Key* keys, int64_t* blocks, int steps, Rekey rekey) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (sizeof(Key) == 4)
    if (in_registers<int64_t>(n, [&]<int N> { serve_sorted<N>(n, keys, steps, rekey); })) return;
#endif
  if (!in_registers<Key>(n, [&]<int N> { serve_in_registers<N>(n, keys, steps, rekey); }))
    serve_in_blocks(n, keys, blocks, steps, rekey);
}

EPLB_STAGE_END
