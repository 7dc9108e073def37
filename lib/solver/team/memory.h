// Memory of a stage: views of arrays, and the arena that hands them out.
#pragma once

#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

// A non-owning pointer to an array. An index is an int or, in a vector body, a run of consecutive
// ints (see team.h): then reading and writing are vector loads and stores.
template <class T> struct View {
  T* data;

  EPLB_FN T& operator[](int i) const { return data[i]; }
  template <class Index> EPLB_FN auto operator[](Index i) const { return i.load(data); }
  EPLB_FN void set(int i, T value) const { data[i] = value; }
  template <class Index, class Value> EPLB_FN void set(Index i, Value value) const {
    i.store(data, value);
  }
  EPLB_FN View from(int i) const { return {data + i}; }
};

// The first n elements of an array in reverse order.
template <class T> struct Mirrored {
  T* data;
  int n;

  EPLB_FN T& operator[](int i) const { return data[n - 1 - i]; }
  template <class Index> EPLB_FN auto operator[](Index i) const { return i.load_mirrored(data, n); }
};

// Hands out aligned pieces of one block. With a null block it only counts: the code that lays out
// memory is also the code that measures it.
class Arena {
 public:
  static constexpr int64_t kAlign = 64;
  static constexpr int64_t kPadding = 128;  // bytes that a vector may access beyond the end

  EPLB_FN explicit Arena(void* block) : block_(static_cast<char*>(block)), used_(0) {}
  template <class T> EPLB_FN View<T> take(int64_t n) {
    char* piece = block_ ? block_ + used_ : nullptr;
    used_ += (n * static_cast<int64_t>(sizeof(T)) + kPadding + kAlign - 1) / kAlign * kAlign;
    return {reinterpret_cast<T*>(piece)};
  }
  // For several arrays of n elements.
  template <class... Elements> EPLB_FN void take(int64_t n, View<Elements>&... arrays) {
    ((arrays = take<Elements>(n)), ...);
  }
  // A piece for what lay_out(Arena&) takes, to be laid out in an arena of its own when it is used.
  EPLB_FN View<char> reserve(auto lay_out) {
    Arena counting(nullptr);
    lay_out(counting);
    return take<char>(counting.used());
  }
  // For arrays read through Mirrored: a vector may also read before the beginning.
  template <class T> EPLB_FN View<T> take_padded_in_front(int64_t n) {
    used_ += kPadding;
    return take<T>(n);
  }
  EPLB_FN int64_t used() const { return used_; }
  // Continues after the longer of two layouts, this one and that of a copy of this arena: arrays of
  // the two overlap, so they must not be in use at the same time.
  EPLB_FN void continue_after(const Arena& other) {
    used_ = other.used_ > used_ ? other.used_ : used_;
  }

 private:
  char* block_;
  int64_t used_;
};

// What a stage lays out for some sizes, in a block, or with a null one only counted.
template <class Stage, class Sizes>
EPLB_FN int64_t lay_out_stage(void* block, const Sizes& sizes, Stage& stage) {
  Arena arena(block);
  stage.lay_out(arena, sizes);
  return arena.used();
}
template <class Stage, class Sizes> EPLB_FN int64_t stage_bytes(const Sizes& sizes) {
  Stage stage{};
  return lay_out_stage(nullptr, sizes, stage);
}
template <class Stage, class Sizes> EPLB_FN Stage laid_out(void* block, const Sizes& sizes) {
  Stage stage{};
  lay_out_stage(block, sizes, stage);
  return stage;
}

EPLB_STAGE_END
