// Atomic operations and loads with a cache policy. One lane runs at a time, so nothing can come
// between; but another lane may be let in before.
#pragma once

#include <emulated/warp.h>

namespace emulated {

// Two of them are no race (races.cpp).
template <class T, class Step> [[gnu::no_sanitize_thread]] T exchange(T* address, Step step) {
  yield();
  const T old = *address;
  *address = step(old);
  return old;
}
template <class T>
concept Added = std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
    std::is_same_v<T, unsigned long long> || std::is_same_v<T, float> || std::is_same_v<T, double>;
template <class T>
concept Compared = Word<T> || std::is_same_v<T, long long> || std::is_same_v<T, unsigned long long>;
template <class T>
concept Swapped = Word<T> || std::is_same_v<T, unsigned long long>;
template <class T> struct Same { using type = T; };
// Not deduced from: converted, as for overloads.
template <class T> using same = typename Same<T>::type;

}  // namespace emulated

template <emulated::Added T> T atomicAdd(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return static_cast<T>(old + value); });
}
// Back to 0 after `last`.
inline unsigned atomicInc(unsigned* address, unsigned last) {
  return emulated::exchange(address, [=](unsigned old) { return old >= last ? 0 : old + 1; });
}
template <emulated::Word T> T atomicSub(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return static_cast<T>(old - value); });
}
template <emulated::Compared T> T atomicMin(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return value < old ? value : old; });
}
template <emulated::Compared T> T atomicMax(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return value > old ? value : old; });
}
template <emulated::Compared T> T atomicAnd(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return static_cast<T>(old & value); });
}
template <emulated::Compared T> T atomicOr(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return static_cast<T>(old | value); });
}
template <emulated::Compared T> T atomicXor(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return static_cast<T>(old ^ value); });
}
template <class T>
requires(emulated::Swapped<T> || std::is_same_v<T, float>) T
    atomicExch(T* address, emulated::same<T> value) {
  return emulated::exchange(address, [=](T) { return value; });
}
template <class T>
requires(emulated::Swapped<T> || std::is_same_v<T, unsigned short>) T
    atomicCAS(T* address, emulated::same<T> expected, emulated::same<T> value) {
  return emulated::exchange(address, [=](T old) { return old == expected ? value : old; });
}

template <class T> T __ldg(const T* address) { return *address; }
template <class T> T __ldcg(const T* address) { return *address; }
template <class T> T __ldca(const T* address) { return *address; }
template <class T> T __ldcs(const T* address) { return *address; }
template <class T> T __ldcv(const T* address) {
  emulated::yield();
  return *address;
}
template <class T> void __stcg(T* address, emulated::same<T> value) { *address = value; }
template <class T> void __stcs(T* address, emulated::same<T> value) { *address = value; }
template <class T> void __stwt(T* address, emulated::same<T> value) { *address = value; }

namespace emulated {
long long ticks();
}
inline long long clock64() { return emulated::ticks(); }
