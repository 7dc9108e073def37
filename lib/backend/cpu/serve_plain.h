// HostTeam::serve and fill with one lane.
#pragma once

#include "solver/fill.h"

EPLB_STAGE_BEGIN

inline constexpr int kServeBlock = 32;

// Keys of which the least of every block is kept, so that a step looks at n / kServeBlock + kServeBlock of them.
template <class Key> struct BlockKeys {
  int n;
  Key* keys;
  int64_t* least;

  void refresh(int b) {
    Key found = Never<Key>::key;
    for (int i = b * kServeBlock; i < n && i < (b + 1) * kServeBlock; ++i) found = keys[i] < found ? keys[i] : found;
    least[b] = found;
  }
  void refresh_all() {
    for (int b = 0; b * kServeBlock < n; ++b) refresh(b);
  }
  int find() const {
    int b = 0;
    for (int c = 1; c * kServeBlock < n; ++c) b = least[c] < least[b] ? c : b;
    int i = b * kServeBlock;
    while (keys[i] != least[b]) ++i;
    return i;
  }
  void put(int i, Key key) {
    keys[i] = key;
    refresh(i / kServeBlock);
  }

  template <class Amount, class Apart, class Close> int begin(int, Amount, Apart, Close) {
    for (int i = 0; i < n; ++i) keys[i] = 0;
    refresh_all();
    return 0;
  }
  template <class Number, class Close> void serve(int amount, Close close) {
    const int i = find();
    put(i, close(i, keys[i]) ? kNever : Number::add(keys[i], amount));
  }
  bool take(int& i, int& key) {
    i = find();
    key = keys[i];
    put(i, kNever);
    return key != kNever;
  }
  template <class Body> bool once(Body body) { return body(); }
};

template <class Key, class Rekey> void serve_least(int n, Key* stored, int64_t* blocks, int steps, Rekey rekey) {
  BlockKeys<Key> keys{n, stored, blocks};
  keys.refresh_all();
  for (int step = 0; step < steps; ++step) {
    const int i = keys.find();
    keys.put(i, rekey(step, i, stored[i]));
  }
}

template <class Number, class Amount, class Apart, class Close>
void fill_least(int n, int* stored, int64_t* blocks, View<int> held, int steps, Amount amount, Apart apart,
                Close close) {
  BlockKeys<int> keys{n, stored, blocks};
  fill_with<Number>(keys, held, steps, amount, apart, close);
}

EPLB_STAGE_END
