// HostTeam::serve with vectors. Everything a step needs must stay in registers: a key that was just stored cannot be loaded
// as part of a vector without a stall of a dozen cycles, and a step depends on the one before.
#pragma once

#include "backend/cpu/lanes_highway.h"

EPLB_STAGE_BEGIN

template <class Key> struct KeyVectors {
  using Tag = hn::ScalableTag<Key>;
  using Vector = hn::Vec<Tag>;
  static constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));

  static Vector never() { return hn::Set(Tag(), Never<Key>::key); }
  // Keys at..at+kLanes-1 of n; beyond the end never.
  static Vector load(const Key* keys, int at, int n) {
    const int count = n - at;
    if (count >= kLanes) return hn::LoadU(Tag(), keys + at);
    if (count <= 0) return never();
    return hn::IfThenElse(hn::FirstN(Tag(), static_cast<size_t>(count)), hn::LoadU(Tag(), keys + at), never());
  }
  // v with lane `lane` replaced, if it is one.
  static Vector with(Vector v, int lane, Key key) {
    return hn::IfThenElse(hn::Eq(hn::Iota(Tag(), Key{0}), hn::Set(Tag(), static_cast<Key>(lane))), hn::Set(Tag(), key), v);
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
    for (int half = N / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) m[i] = hn::Min(m[i], m[i + half]);
    return hn::MinOfLanes(Tag(), m[0]);
  }
  int find(typename Lane::Vector value) const {  // the lowest; there must be one
    for (int i = 0; i < N - 1; ++i) {
      const intptr_t lane = hn::FindFirstTrue(Tag(), hn::Eq(v[i], value));
      if (lane >= 0) return i * Lane::kLanes + static_cast<int>(lane);
    }
    return (N - 1) * Lane::kLanes + static_cast<int>(hn::FindFirstTrue(Tag(), hn::Eq(v[N - 1], value)));
  }
  void set(int index, Key key) {
    for (int i = 0; i < N; ++i) v[i] = Lane::with(v[i], index - i * Lane::kLanes, key);
  }
};

template <int N, class Key, class Rekey> void serve_in_registers(int n, Key* stored, int steps, Rekey rekey) {
  Keys<N, Key> keys;
  keys.load(stored, 0, n);
  for (int step = 0; step < steps; ++step) {
    const int i = keys.find(keys.least());
    const Key key = rekey(step, i);
    stored[i] = key;
    keys.set(i, key);
  }
}

inline constexpr int kBlockVectors = 4;
inline constexpr int kServeBlock = kBlockVectors * KeyVectors<int64_t>::kLanes;  // the smallest block of any key type

// Many keys: the least of each block of four vectors is kept, and blocks are served like keys.
template <class Key, class Rekey> void serve_in_blocks(int n, Key* stored, Key* least, int steps, Rekey rekey) {
  using Lane = KeyVectors<Key>;
  constexpr int kBlock = kBlockVectors * Lane::kLanes;
  const int blocks = (n + kBlock - 1) / kBlock;
  Keys<kBlockVectors, Key> block;
  for (int b = 0; b < blocks; ++b) {
    block.load(stored, b * kBlock, n);
    least[b] = hn::GetLane(block.least());
  }
  for (int step = 0; step < steps; ++step) {
    typename Lane::Vector m = Lane::never();
    for (int b = 0; b < blocks; b += Lane::kLanes) m = hn::Min(m, Lane::load(least, b, blocks));
    m = hn::MinOfLanes(typename Lane::Tag(), m);
    int b = 0;
    for (;; b += Lane::kLanes) {
      const intptr_t lane = hn::FindFirstTrue(typename Lane::Tag(), hn::Eq(Lane::load(least, b, blocks), m));
      if (lane >= 0) {
        b += static_cast<int>(lane);
        break;
      }
    }
    block.load(stored, b * kBlock, n);
    const int i = block.find(m);
    const Key key = rekey(step, b * kBlock + i);
    stored[b * kBlock + i] = key;
    block.set(i, key);
    least[b] = hn::GetLane(block.least());
  }
}

template <class Key, class Rekey> void serve_least(int n, Key* keys, int64_t* blocks, int steps, Rekey rekey) {
  constexpr int kLanes = KeyVectors<Key>::kLanes;
  if (n <= kLanes) return serve_in_registers<1>(n, keys, steps, rekey);
  if (n <= 2 * kLanes) return serve_in_registers<2>(n, keys, steps, rekey);
  if (n <= 4 * kLanes) return serve_in_registers<4>(n, keys, steps, rekey);
  if (n <= 8 * kLanes) return serve_in_registers<8>(n, keys, steps, rekey);
  serve_in_blocks(n, keys, reinterpret_cast<Key*>(blocks), steps, rekey);
}

EPLB_STAGE_END
