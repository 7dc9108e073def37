// Where the lanes of a warp meet: shuffles, votes, reductions, barriers. Between two meetings a
// lane runs alone, and which lane is next is chance.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace emulated {

inline constexpr unsigned kFullMask = 0xffffffffu;

// What the lanes of one warp brought to a meeting. Stays as it is until each of them has come to
// the next one.
struct Meeting {
  uint64_t values[32];
  uint64_t combined;
  unsigned present;  // the lanes that the warp has: fewer than 32 in the last warp of an odd block
};

// Lanes that wait in different operations never meet: an operation is identified by its address.
struct Operation {
  const char* name;
  uint64_t (*combine)(const Meeting&);  // may be null
  bool orders_memory = false;           // is what was written before seen by all lanes after?
};

const Meeting& meet(const Operation& operation, unsigned mask, uint64_t value);
void meet_block(const Operation& operation);
void yield();  // perhaps lets other lanes run
[[noreturn]] void trap();
int lane_index();

template <class T> uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T> T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// CUDA has these for these types only.
template <class T>
concept Shuffled = std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
    std::is_same_v<T, long> || std::is_same_v<T, unsigned long> || std::is_same_v<T, long long> ||
    std::is_same_v<T, unsigned long long> || std::is_same_v<T, float> || std::is_same_v<T, double>;
template <class T>
concept Word = std::is_same_v<T, int> || std::is_same_v<T, unsigned>;

inline constexpr Operation kShuffle{"__shfl_sync", nullptr},
    kShuffleXor{"__shfl_xor_sync", nullptr}, kShuffleUp{"__shfl_up_sync", nullptr},
    kShuffleDown{"__shfl_down_sync", nullptr}, kMatchAny{"__match_any_sync", nullptr},
    kSyncWarp{"__syncwarp", nullptr, true}, kSyncThreads{"__syncthreads", nullptr, true};

// `from` counts within the segment of `width` lanes; beyond it a lane keeps its own value.
template <class T> T take(const Meeting& meeting, int from, int lane, bool inside) {
  return from_bits<T>(meeting.values[inside ? from : lane]);
}

template <class T, class Step> uint64_t fold(const Meeting& meeting, Step step) {
  bool first = true;
  T result{};
  for (int lane = 0; lane < 32; ++lane) {
    if (!(meeting.present >> lane & 1)) continue;
    const T value = from_bits<T>(meeting.values[lane]);
    result = first ? value : step(result, value);
    first = false;
  }
  return to_bits(result);
}
inline uint64_t ballot(const Meeting& meeting) {
  unsigned hits = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (meeting.present >> lane & 1 && meeting.values[lane]) hits |= 1u << lane;
  return hits;
}
inline constexpr Operation kBallot{"__ballot_sync", ballot}, kAny{"__any_sync", ballot},
    kAll{"__all_sync", ballot};

template <class T>
inline constexpr Operation kReduceMin{"__reduce_min_sync", [](const Meeting& m) {
                                        return fold<T>(m, [](T a, T b) { return a < b ? a : b; });
                                      }};
template <class T>
inline constexpr Operation kReduceMax{"__reduce_max_sync", [](const Meeting& m) {
                                        return fold<T>(m, [](T a, T b) { return a > b ? a : b; });
                                      }};
template <class T>
inline constexpr Operation kReduceAdd{
    "__reduce_add_sync", [](const Meeting& m) {
      return fold<T>(m, [](T a, T b) {
        return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
      });
    }};
inline constexpr Operation kReduceAnd{"__reduce_and_sync", [](const Meeting& m) {
                                        return fold<unsigned>(
                                            m, [](unsigned a, unsigned b) { return a & b; });
                                      }};
inline constexpr Operation kReduceOr{"__reduce_or_sync", [](const Meeting& m) {
                                       return fold<unsigned>(
                                           m, [](unsigned a, unsigned b) { return a | b; });
                                     }};
inline constexpr Operation kReduceXor{"__reduce_xor_sync", [](const Meeting& m) {
                                        return fold<unsigned>(
                                            m, [](unsigned a, unsigned b) { return a ^ b; });
                                      }};

}  // namespace emulated

inline void __syncwarp(unsigned mask = emulated::kFullMask) {
  emulated::meet(emulated::kSyncWarp, mask, 0);
}
inline void __syncthreads() { emulated::meet_block(emulated::kSyncThreads); }
inline void __threadfence() { emulated::yield(); }
inline void __threadfence_block() { emulated::yield(); }
inline void __threadfence_system() { emulated::yield(); }
inline void __nanosleep(unsigned) { emulated::yield(); }
[[noreturn]] inline void __trap() { emulated::trap(); }

template <emulated::Shuffled T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const emulated::Meeting& m = emulated::meet(emulated::kShuffle, mask, emulated::to_bits(value));
  const int lane = emulated::lane_index(), first = lane & ~(width - 1);
  return emulated::take<T>(m, first + (source & (width - 1)), lane, true);
}
template <emulated::Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
  const emulated::Meeting& m =
      emulated::meet(emulated::kShuffleXor, mask, emulated::to_bits(value));
  const int lane = emulated::lane_index(), first = lane & ~(width - 1), from = lane ^ lane_mask;
  return emulated::take<T>(m, from, lane, from < first + width);
}
template <emulated::Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const emulated::Meeting& m = emulated::meet(emulated::kShuffleUp, mask, emulated::to_bits(value));
  const int lane = emulated::lane_index(), first = lane & ~(width - 1),
            from = lane - static_cast<int>(delta);
  return emulated::take<T>(m, from, lane, from >= first);
}
template <emulated::Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const emulated::Meeting& m =
      emulated::meet(emulated::kShuffleDown, mask, emulated::to_bits(value));
  const int lane = emulated::lane_index(), first = lane & ~(width - 1),
            from = lane + static_cast<int>(delta);
  return emulated::take<T>(m, from, lane, from < first + width);
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return static_cast<unsigned>(emulated::meet(emulated::kBallot, mask, predicate != 0).combined);
}
inline int __any_sync(unsigned mask, int predicate) {
  return emulated::meet(emulated::kAny, mask, predicate != 0).combined != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  const emulated::Meeting& m = emulated::meet(emulated::kAll, mask, predicate != 0);
  return m.combined == m.present;
}
template <emulated::Word T> T __reduce_min_sync(unsigned mask, T value) {
  return emulated::from_bits<T>(
      emulated::meet(emulated::kReduceMin<T>, mask, emulated::to_bits(value)).combined);
}
template <emulated::Word T> T __reduce_max_sync(unsigned mask, T value) {
  return emulated::from_bits<T>(
      emulated::meet(emulated::kReduceMax<T>, mask, emulated::to_bits(value)).combined);
}
template <emulated::Word T> T __reduce_add_sync(unsigned mask, T value) {
  return emulated::from_bits<T>(
      emulated::meet(emulated::kReduceAdd<T>, mask, emulated::to_bits(value)).combined);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value) {
  return static_cast<unsigned>(emulated::meet(emulated::kReduceAnd, mask, value).combined);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  return static_cast<unsigned>(emulated::meet(emulated::kReduceOr, mask, value).combined);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value) {
  return static_cast<unsigned>(emulated::meet(emulated::kReduceXor, mask, value).combined);
}
template <emulated::Shuffled T> unsigned __match_any_sync(unsigned mask, T value) {
  const emulated::Meeting& m = emulated::meet(emulated::kMatchAny, mask, emulated::to_bits(value));
  unsigned same = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (m.present >> lane & 1 && m.values[lane] == m.values[emulated::lane_index()])
      same |= 1u << lane;
  return same;
}
