// HostTeam::serve with one lane.
#pragma once

#include "solver/team.h"

EPLB_STAGE_BEGIN

inline constexpr int kServeBlock = 32;

// The least key of every block is kept, so that a step looks at n / kServeBlock + kServeBlock keys.
template <class Key, class Rekey> void serve_least(int n, Key* keys, int64_t* blocks, int steps, Rekey rekey) {
  auto least_of = [&](int b) {
    Key least = Never<Key>::key;
    for (int i = b * kServeBlock; i < n && i < (b + 1) * kServeBlock; ++i) least = keys[i] < least ? keys[i] : least;
    return least;
  };
  const int count = (n + kServeBlock - 1) / kServeBlock;
  for (int b = 0; b < count; ++b) blocks[b] = least_of(b);
  for (int step = 0; step < steps; ++step) {
    int b = 0;
    for (int c = 1; c < count; ++c) b = blocks[c] < blocks[b] ? c : b;
    int i = b * kServeBlock;
    while (keys[i] != blocks[b]) ++i;
    keys[i] = rekey(step, i, keys[i]);
    blocks[b] = least_of(b);
  }
}

template <class Number, class Amount, class Close>
void fill_least(int n, int* keys, int64_t* blocks, int steps, Amount amount, Close close) {
  serve_least(n, keys, blocks, steps,
              [&](int step, int i, int key) { return close(step, i, key) ? kNever : Number::add(key, amount(step)); });
}

EPLB_STAGE_END
