// What a stage may ask of the machine that it runs on.
//
// A *chain* (one layer or node of a layer, one candidate) is worked on by a Team: one lane on the host, a warp on the device,
// 32 shuffled lanes in tests. A stage is a template over Team and says what is to be done; the team says how:
//
//   team.for_each(n, f)          f(int i) for i < n, in any order, at once: the calls must not touch each other's data
//   team.sweep(n, f)             the same for bodies that only read and write element i of arrays: f(auto i)
//   team.least(from, to, f)      least f(auto i) -> int32 over from <= i < to; kNever if there is none
//   team.most(from, to, f)       largest, -kNever if there is none
//   team.range(to, f)            both, from 0 on, and the lowest i with the largest
//   team.most_of(n, f), find_of(n, f)  largest f(int i) -> int32 or int64, and lowest i with f(int i) true, else n, for bodies
//                                that are no plain arithmetic on arrays
//   team.total(n, f)             sum of f(int i) -> int64; f may write element i
//   team.sum(from, to, f)        sum of f(auto i) -> int32, which must not overflow
//   team.find(from, to, f)       lowest i with f(auto i) true; `to` if there is none
//   team.find_in_rows(at, rows, from, to, f)   rows of kRow places, of which the i with from <= i < to are the first: the lowest
//                                place from `at` on with f(int row)(auto i) true; rows * kRow if there is none
//   team.nearest(n, values, scratch)   an object whose distance(auto x) is the least |x - values[i]|; scratch: n
//   team.order(n, order, f)      order[0..n) = the indices i by (f(int i) -> uint64, i), least first
//   team.order_first(n, wanted, order, f)   the first `wanted` of them, if there are so many; what comes after is nonsense
//   team.scan(n, f, visit)       visit(int i, int before), before = sum of f(int j) over j < i; returns the sum of all. f(j) must
//                                not see what visit(i) writes
//   team.number(n, seen, out, f) out[i] = how many j < i have f(int j) == f(i) -> int; seen: zeros by value, in the end how many
//   team.pick(n, out, f)         out = the i < n with f(int i), in order; returns how many
//   team.serve(n, keys, steps, f)     `steps` times: i = lowest index of the least key, which becomes f(step, i, key), called
//                                by one lane; f touches only what is i's or the step's. keys are used up
//   team.fill<Number>(n, keys, held, steps, amount, apart, f)
//                                the same from keys of 0 on, where the new key is Number::add(key, amount(int step)), or kNever
//                                if f(step, i, key), as above, returns true; amounts do not grow with the step. Runs of
//                                apart(step) steps get different i: none is served twice before all have been. keys: n,
//                                held: 2n
//   team.found(n, floor, stretch)
//                                the largest value above floor in n stretches of an array: stretch(int k) -> Stretch has the
//                                value(auto i) from `from` on to `to`, or less far: it may end where go_on(int i) is false, or
//                                up to kAhead elements later, beyond `to` too, so value must be harmless there. Gives the
//                                least k that has it, and the lowest i there; value = floor if there is none
//   team.single(f)               f() once, by one lane
//   team.aside(f)                the same, but what f writes is seen after the next barrier only; as if it were seen at once:
//   team.with(view, i, value)    the view in which f writes `value` to [i]
//   team.barrier()               what was written before is seen by all lanes after
//
// Each of them, but aside and with, ends with a barrier. Everything else in a stage runs in every lane alike, on equal values,
// and writes to no array: writing is done inside these bodies only. Reductions are over integers, so their order cannot matter;
// ties go to the lowest index by asking for the value first and for its first place then.
//
// The index of sweep, least, most and find is `auto`: an int on the device, on the host a vector of consecutive indices, for
// which array[i] is a vector load. Such a body may use + - * comparisons, & |, less(), more() and choose(), and captures
// ints. On the host it is also evaluated beyond `to`, up to a vector: arrays from an Arena have the room.
//
// Where this file is included decides what EPLB_STAGE_BEGIN opens: backend/cpu includes the stages once per instruction set,
// each time inside another namespace; backend/cuda for the device.
#pragma once

#ifndef EPLB_STAGE_BEGIN
#define EPLB_STAGE_BEGIN \
  namespace eplb {       \
  namespace solver {
#define EPLB_STAGE_END \
  }                    \
  }
#endif

// For what keeps state in registers: an object whose address is taken lives in memory.
#define EPLB_INLINE __attribute__((always_inline))

#ifdef __CUDACC__
// Into one kernel: then its state is in registers, and it is seen where memory is shared.
#define EPLB_FN __host__ __device__ __forceinline__
#include <cuda/std/cstdint>
#else
#define EPLB_FN inline
#include <cstdint>
#endif

#define EPLB_RARELY(condition) __builtin_expect_with_probability(!!(condition), 0, 0.999)

EPLB_STAGE_BEGIN

inline constexpr int kNever = 0x7fffffff;  // as a key: not to be served any more
inline constexpr int64_t kNever64 = 0x7fffffffffffffff;
inline constexpr int kAhead = 32;
inline constexpr int kRow = 16;

EPLB_FN int less(int a, int b) { return a < b ? a : b; }
EPLB_FN int more(int a, int b) { return a > b ? a : b; }
EPLB_FN int choose(bool condition, int a, int b) { return condition ? a : b; }

struct Range {
  int least, most, first_most;
};
struct Found {
  int value, stretch, index;
};
template <class GoOn, class Value> struct Stretch {
  int from, to;
  GoOn go_on;
  Value value;
};
template <class GoOn, class Value> EPLB_FN Stretch<GoOn, Value> stretch_of(int from, int to, GoOn go_on, Value value) {
  return {from, to, go_on, value};
}

template <class Key> struct Never;
template <> struct Never<int> { static constexpr int key = kNever; };
template <> struct Never<int64_t> { static constexpr int64_t key = kNever64; };

// A thin view of memory that somebody else owns.
template <class T> struct View {
  T* data;

  EPLB_FN T& operator[](int i) const { return data[i]; }
  template <class Index> EPLB_FN auto operator[](Index i) const { return i.load(data); }
  EPLB_FN void set(int i, T value) const { data[i] = value; }
  template <class Index, class Value> EPLB_FN void set(Index i, Value value) const { i.store(data, value); }
  EPLB_FN View from(int i) const { return {data + i}; }
};

// The first n elements of an array, last first.
template <class T> struct Mirrored {
  T* data;
  int n;

  EPLB_FN T& operator[](int i) const { return data[n - 1 - i]; }
  template <class Index> EPLB_FN auto operator[](Index i) const { return i.load_mirrored(data, n); }
};

// For team.nearest: looks at them all.
struct LinearNearest {
  View<int> values;
  int n;

  template <class X> EPLB_FN auto distance(X x) const {
    auto off = [=](int value) { return more(x - value, value - x); };
    auto near = off(values[0]), other = off(values[n - 1]);  // two, so that none waits for the other
    for (int i = 1; i + 1 < n; i += 2) {
      near = less(near, off(values[i]));
      other = less(other, off(values[i + 1]));
    }
    return less(near, other);
  }
};

// Hands out aligned pieces of one block. With a null block it only counts: the same code that lays memory out tells how
// much of it is needed.
class Arena {
 public:
  EPLB_FN explicit Arena(void* block) : block_(static_cast<char*>(block)), used_(0) {}
  template <class T> EPLB_FN View<T> take(int64_t n) {
    char* piece = block_ ? block_ + used_ : nullptr;
    used_ += (n * static_cast<int64_t>(sizeof(T)) + kRoom + kAlign - 1) / kAlign * kAlign;
    return {reinterpret_cast<T*>(piece)};
  }
  // For arrays that are looked at through a Mirrored view: a vector may read before the beginning.
  template <class T> EPLB_FN View<T> take_behind_room(int64_t n) {
    used_ += kRoom;
    return take<T>(n);
  }
  EPLB_FN int64_t used() const { return used_; }
  // After something was laid out by a copy of this arena: beside it, in memory that is used at other times.
  EPLB_FN void past(const Arena& other) { used_ = other.used_ > used_ ? other.used_ : used_; }

  static constexpr int64_t kAlign = 64,
                           kRoom = 128;  // room: a vector may read and write beyond the end, raise may read

 private:
  char* block_;
  int64_t used_;
};

EPLB_STAGE_END
