// cub::WarpMergeSort for tests: a stable merge sort whose halves pass through the temp storage at
// the same steps as in CUB, so that storage which overlaps something else, or is used again without
// a barrier, is noticed.
#pragma once

#include <emulated/warp.h>

#include <type_traits>

namespace cub {

struct NullType {};

template <class KeyT, int ITEMS_PER_THREAD, int LOGICAL_WARP_THREADS = 32, class ValueT = NullType>
class WarpMergeSort {
  static constexpr int kItems = ITEMS_PER_THREAD, kTile = kItems * LOGICAL_WARP_THREADS;
  static constexpr bool kKeysOnly = std::is_same_v<ValueT, NullType>;
  static_assert(LOGICAL_WARP_THREADS == 32, "only whole warps are emulated");
  static_assert(std::is_trivially_copyable_v<KeyT> && std::is_trivially_copyable_v<ValueT>);

 public:
  union TempStorage {
    KeyT keys[kTile + 1];
    ValueT values[kTile + 1];
    TempStorage() = default;
  };

  explicit WarpMergeSort(TempStorage& storage) : storage_(storage), lane_(emulated::lane_index()) {}

  template <class CompareOp> void Sort(KeyT (&keys)[kItems], CompareOp less) {
    ValueT none[kItems];
    sort(keys, none, less);
  }
  template <class CompareOp>
  void Sort(KeyT (&keys)[kItems], CompareOp less, int valid_items, KeyT oob_default) {
    fill(keys, valid_items, oob_default);
    Sort(keys, less);
  }
  template <class CompareOp>
  void Sort(KeyT (&keys)[kItems], ValueT (&values)[kItems], CompareOp less) {
    sort(keys, values, less);
  }
  template <class CompareOp>
  void Sort(KeyT (&keys)[kItems], ValueT (&values)[kItems], CompareOp less, int valid_items,
            KeyT oob_default) {
    fill(keys, valid_items, oob_default);
    sort(keys, values, less);
  }
  template <class... Arguments> void StableSort(Arguments&&... arguments) {
    Sort(static_cast<Arguments&&>(arguments)...);
  }

 private:
  static constexpr emulated::Operation kMeeting{"cub::WarpMergeSort", nullptr, true};
  void barrier() const { emulated::meet(kMeeting, emulated::kFullMask, 0); }

  void fill(KeyT (&keys)[kItems], int valid_items, KeyT oob_default) const {
    for (int i = 0; i < kItems; ++i)
      if (lane_ * kItems + i >= valid_items) keys[i] = oob_default;
  }

  template <class CompareOp>
  void sort(KeyT (&keys)[kItems], ValueT (&values)[kItems], CompareOp less) {
    sort_own(keys, values, less);
    for (int half = 1; half < LOGICAL_WARP_THREADS; half *= 2) {
      int from[kItems];
      barrier();
      for (int i = 0; i < kItems; ++i) storage_.keys[lane_ * kItems + i] = keys[i];
      scribble(storage_.keys[kTile]);
      barrier();
      merge(half, keys, from, less);
      if (kKeysOnly) continue;
      barrier();
      for (int i = 0; i < kItems; ++i) storage_.values[lane_ * kItems + i] = values[i];
      scribble(storage_.values[kTile]);
      barrier();
      for (int i = 0; i < kItems; ++i) values[i] = storage_.values[from[i]];
    }
  }

  template <class CompareOp>
  static void sort_own(KeyT (&keys)[kItems], ValueT (&values)[kItems], CompareOp less) {
    for (int i = 1; i < kItems; ++i)
      for (int j = i; j > 0 && less(keys[j], keys[j - 1]); --j) {
        const KeyT key = keys[j];
        const ValueT value = values[j];
        keys[j] = keys[j - 1];
        values[j] = values[j - 1];
        keys[j - 1] = key;
        values[j - 1] = value;
      }
  }

  // Two runs of `half` lanes each become one; each lane makes its own kItems of it.
  template <class CompareOp>
  void merge(int half, KeyT (&keys)[kItems], int (&from)[kItems], CompareOp less) const {
    const int run = half * kItems, begin = (lane_ & ~(2 * half - 1)) * kItems,
              diagonal = lane_ * kItems - begin;
    int low = diagonal > run ? diagonal - run : 0, high = diagonal < run ? diagonal : run;
    while (low < high) {  // how many of the first `diagonal` come from the first run
      const int middle = (low + high) / 2;
      if (less(storage_.keys[begin + run + diagonal - 1 - middle], storage_.keys[begin + middle]))
        high = middle;
      else
        low = middle + 1;
    }
    int first = begin + low, second = begin + run + diagonal - low;
    const int first_end = begin + run, second_end = begin + 2 * run;
    for (int i = 0; i < kItems; ++i) {
      const bool take_second =
          second < second_end &&
          (first >= first_end || less(storage_.keys[second], storage_.keys[first]));
      from[i] = take_second ? second++ : first++;
      keys[i] = storage_.keys[from[i]];
    }
  }

  template <class T> void scribble(T& padding) const {
    if (lane_ == 31) __builtin_memset(static_cast<void*>(&padding), 0xa5, sizeof padding);
  }

  TempStorage& storage_;
  const int lane_;
};

}  // namespace cub
