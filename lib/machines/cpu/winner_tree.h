// Keys in a tree of winners: HostTeam::serve and fill.
#pragma once

#include "solver/team/fill.h"

EPLB_STAGE_BEGIN

// A key with its index below it, so that ties go to the lowest index.
template <class Key> struct Contender;
template <> struct Contender<int> { using Word = int64_t; };
template <> struct Contender<int64_t> { __extension__ using Word = __int128; };

// Leaves hold the words, every inner node the less of its two: node 1 the least of all. When a leaf changes, the other nodes
// that its way to the top is compared with are known at once, so a level costs a comparison and no look into memory waits
// for the one before. Words, not vectors: the least changes with every step, and that step is what the next one waits for.
template <class Key> class WinnerTree {
 public:
  using Word = typename Contender<Key>::Word;
  static constexpr int kIndexBits = 32;
  // Words for n keys.
  static int64_t words(int64_t n) {
    int64_t width = 1;
    while (width < n) width *= 2;
    return 2 * width;
  }

  template <class KeyOf> WinnerTree(void* memory, int n, KeyOf key_of) : nodes_(static_cast<Word*>(memory)) {
    width_ = static_cast<int>(words(n) / 2);
    for (int i = 0; i < n; ++i) nodes_[width_ + i] = word(key_of(i), i);
    for (int i = n; i < width_; ++i) nodes_[width_ + i] = word(Never<Key>::key, i);
    for (int at = width_ - 1; at > 0; --at) nodes_[at] = lesser(nodes_[2 * at], nodes_[2 * at + 1]);
  }

  int index() const { return static_cast<int>(nodes_[1]); }
  Key key() const { return static_cast<Key>(nodes_[1] >> kIndexBits); }
  EPLB_INLINE void put(int i, Key key) {
    int at = width_ + i;
    Word least = word(key, i);
    nodes_[at] = least;
    for (; at > 1; at /= 2) {
      least = lesser(least, nodes_[at ^ 1]);
      nodes_[at / 2] = least;
    }
  }

 private:
  static Word word(Key key, int index) { return static_cast<Word>(key) << kIndexBits | index; }
  static Word lesser(Word a, Word b) { return a < b ? a : b; }

  Word* nodes_;
  int width_;
};

// What fill_with asks of keys.
struct TreeKeys {
  WinnerTree<int> tree;

  template <class Amount, class Apart, class Close> int begin(int, Amount, Apart, Close) { return 0; }
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
