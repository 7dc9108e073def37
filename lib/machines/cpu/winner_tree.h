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

  WinnerTree(void* memory, int n) : nodes_(static_cast<Word*>(memory)) {
    width_ = static_cast<int>(words(n) / 2);
    for (int i = n; i < width_; ++i) set_leaf(i, Never<Key>::key);
  }
  template <class KeyOf> WinnerTree(void* memory, int n, KeyOf key_of) : WinnerTree(memory, n) {
    for (int i = 0; i < n; ++i) set_leaf(i, key_of(i));
    build();
  }
  // Without a key_of: first every leaf, then the tree above them.
  Word set_leaf(int i, Key key) { return nodes_[width_ + i] = word(key, i); }
  Word* inner() const { return nodes_; }  // n words, free before the tree is built
  void build() {
    for (int node = width_ - 1; node > 0; --node)
      nodes_[node] = lesser(nodes_[2 * node], nodes_[2 * node + 1]);
    top_ = nodes_[1];
  }

  static Word word(Key key, int index) { return static_cast<Word>(key) << kIndexBits | index; }
  static int index(Word word) { return static_cast<int>(word); }
  static Key key(Word word) { return static_cast<Key>(word >> kIndexBits); }
  int index() const { return index(top_); }
  Key key() const { return key(top_); }
  EPLB_INLINE void put(int i, Key key) {
    int node = width_ + i;
    Word least = word(key, i);
    nodes_[node] = least;
    for (; node > 1; node /= 2) {
      least = lesser(least, nodes_[node ^ 1]);
      nodes_[node / 2] = least;
    }
    top_ = least;
  }

 private:
  static Word lesser(Word a, Word b) { return a < b ? a : b; }

  Word* nodes_;
  int width_;
  Word top_;  // the least of all: in a register, for the next step waits for it
};

// While all amounts are above zero, each of the first n steps of Team::fill serves the next index,
// which still has the key 0. Returns the number of these steps that end with a run.
template <class Amount, class Apart>
EPLB_INLINE inline int opening_steps(int n, int steps, Amount amount, Apart apart) {
  int above_zero = 0, end = 0;
  for (int i = 0; i < n && steps >= n; ++i) above_zero += amount(i) > 0;  // noisy orders have any
  if (above_zero == n)
    for (int run; end < n && end + (run = apart(end)) <= n; end += run) {
    }
  return end;
}

// The keys of fill_with. If the opening steps serve every index once, and their amounts do not
// grow, the keys are sorted when they are written back to front. As long as no key that has been
// served comes before the next of these, steps take them one by one, and no tree is needed.
template <class Number> struct TreeKeys {
  using Tree = WinnerTree<int>;
  using Word = Tree::Word;
  int n;
  Tree tree;

  TreeKeys(void* memory, int keys) : n(keys), tree(memory, keys) {}
  template <class Amount, class Apart, class Close>
  EPLB_INLINE int begin(int steps, Amount amount, Apart apart, Close close) {
    const int end = opening_steps(n, steps, amount, apart);
    for (int i = end; i < n; ++i) tree.set_leaf(i, 0);
    bool open = end == n;
    for (int from = 0, to = 0; from < end; from = to) {
      open = open && (from == 0 || amount(from) < amount(from - 1));
      for (; to < end && amount(to) == amount(from); ++to) {
        const bool closed = close(to, to, 0);
        open = open && !closed;
        sorted()[n - 1 - to] = tree.set_leaf(to, closed ? kNever : amount(to));
      }
      reverse(sorted() + n - to, to - from);  // of equal keys the lowest index comes first
    }
    const int next = open ? serve_sorted(steps, amount, apart, close) : end;
    if (next < steps) tree.build();
    return next;
  }
  template <class, class Close> EPLB_INLINE void serve(int amount, Close close) {
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

 private:
  Word* sorted() const { return tree.inner(); }
  static void reverse(Word* words, int count) {
    for (int i = 0, j = count - 1; i < j; ++i, --j) {
      const Word word = words[i];
      words[i] = words[j];
      words[j] = word;
    }
  }
  // Returns the step before which the sorted keys end, or a key that was served comes first. Whole
  // runs only: what a run has served does not come back before its end.
  template <class Amount, class Apart, class Close>
  EPLB_INLINE int serve_sorted(int steps, Amount amount, Apart apart, Close close) {
    Word least_served = Tree::word(kNever, 0);
    int step = n;
    for (int run; step < steps;) {
      run = apart(step);
      if (step + run > smaller(steps, 2 * n) || sorted()[step + run - 1 - n] >= least_served) break;
      Word least = least_served;
      for (const int end = step + run; step < end; ++step) {
        const Word next = sorted()[step - n];
        const int i = Tree::index(next), key = Tree::key(next);
        const bool closed = close(step, i, key);
        const Word word = tree.set_leaf(i, closed ? kNever : Number::add(key, amount(step)));
        least = word < least ? word : least;
      }
      least_served = least;
    }
    return step;
  }
};

EPLB_STAGE_END
