// Keys in a tournament tree: HostTeam::serve and fill.
#pragma once

#include <type_traits>

#include "solver/team/fill.h"

EPLB_STAGE_BEGIN

// Leaves hold the words, every inner node the lesser of its two children: node 1 the least of all.
// When a leaf changes, the nodes that it meets on its way to the top are known at once. So a level
// costs one comparison, and no load waits for the one before. The words are scalars: every step
// waits for the result of the step before, and a vector would only add latency.
template <class Key> class WinnerTree {
 public:
  // A key with its index below it, so that ties go to the lowest index.
  __extension__ using Word = std::conditional_t<sizeof(Key) == 4, int64_t, __int128>;
  static constexpr int kIndexBits = 32;
  // Number of words in a tree of n keys.
  static int64_t words(int64_t n) {
    int64_t width = 1;
    while (width < n) width *= 2;
    return 2 * width;
  }

  template <class KeyOf>
  WinnerTree(void* memory, int n, KeyOf key_of) : nodes_(static_cast<Word*>(memory)) {
    width_ = static_cast<int>(words(n) / 2);
    for (int i = 0; i < n; ++i) nodes_[width_ + i] = word(key_of(i), i);
    for (int i = n; i < width_; ++i) nodes_[width_ + i] = word(Never<Key>::key, i);
    for (int node = width_ - 1; node > 0; --node)
      nodes_[node] = lesser(nodes_[2 * node], nodes_[2 * node + 1]);
  }

  int index() const { return static_cast<int>(nodes_[1]); }
  Key key() const { return static_cast<Key>(nodes_[1] >> kIndexBits); }
  EPLB_INLINE void put(int i, Key key) {
    int node = width_ + i;
    Word least = word(key, i);
    nodes_[node] = least;
    for (; node > 1; node /= 2) {
      least = lesser(least, nodes_[node ^ 1]);
      nodes_[node / 2] = least;
    }
  }

 private:
  static Word word(Key key, int index) { return static_cast<Word>(key) << kIndexBits | index; }
  static Word lesser(Word a, Word b) { return a < b ? a : b; }

  Word* nodes_;
  int width_;
};

// The keys of fill_with.
struct TreeKeys {
  WinnerTree<int> tree;

  template <class Amount, class Apart, class Close> int begin(int, Amount, Apart, Close) {
    return 0;
  }
  template <class Number, class Close> EPLB_INLINE void serve(int amount, Close close) {
    const int i = tree.index(), key = tree.key();
    tree.put(i, close(i, key) ? kNever : Number::add(key, amount));
  }
  bool take(int& i, int& key) {
    i = tree.index();
    key = tree.key();
    tree.put(i, kNever);
    return key != kNever;
  }
  void put(int i, int key) { tree.put(i, key); }
  template <class Body> bool once(Body body) { return body(); }
};

EPLB_STAGE_END
