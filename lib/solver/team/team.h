// The contract between the stages of the solver and the machine that they run on.
//
// A *chain* (one layer or node of a layer, one candidate) is computed by a Team: one lane on the
// host, a warp on the device, 32 shuffled lanes in tests. A stage is a template over Team. It says
// what is computed; the members of the team decide how the work is split over lanes.
//
// The rules of a stage:
//
// - A stage writes to arrays only inside the bodies that it passes to a member. All other code runs
//   in every lane, on equal values.
// - Every member but single_nowait and patched ends with a barrier: what its bodies have written is
//   visible to all lanes afterwards.
// - Calls of a body run in any order and concurrently. They must not touch each other's data.
// - Reductions are over integers, so their order cannot change the result. Ties go to the lowest
//   index: a stage first asks for the value and then for the first index that has it.
//
// There are two kinds of bodies. A *scalar body* takes an int. A *vector body* takes an `auto`
// index: an int on the device, on the host a vector of consecutive indices, for which array[i] is a
// vector load, and array[values] a gather. A vector body may use + - * << >> ^ & | of ints,
// comparisons and & | of what they say, smaller(), larger(), choose(), scrambled() and halves of
// products, and captures ints. On the host it is also evaluated for up to 16 indices at the end of
// the range: arrays from an Arena are padded for that.
#pragma once

#include <concepts>

#include "solver/team/arithmetic.h"
#include "solver/team/memory.h"

EPLB_STAGE_BEGIN

struct MinMax {
  int min, max, first_max;  // first_max: the lowest index of the largest
};

// Values of which Team::max_in_stretches takes the largest: value(auto i) for from <= i < to. The
// stretch may end earlier, at any i for which go_on(int i) is false, or up to kAhead elements
// later, beyond `to` too: there, value must not exceed the result.
template <class GoOn, class Value> struct Stretch {
  int from, to;
  GoOn go_on;
  Value value;
};
template <class GoOn, class Value>
EPLB_FN Stretch<GoOn, Value> stretch_of(int from, int to, GoOn go_on, Value value) {
  return {from, to, go_on, value};
}
inline constexpr int kAhead = 32;

struct Found {
  int value, stretch, index;
};

inline constexpr int kRow = 16;  // width of a row of a table, see find_in_rows, max_in_columns

// The key by which `order` puts values that are not negative largest first.
EPLB_FN uint64_t largest_first(int value) { return static_cast<uint64_t>(kNever - value); }

// Bodies as stages write them, to check the members of a team with.
namespace archetype {

struct Element {
  View<int> array;
  template <class Index> EPLB_FN auto operator()(Index i) const { return array[i] + 1; }
};
struct Condition {
  View<int> array;
  template <class Index> EPLB_FN auto operator()(Index i) const { return array[i] > 0; }
};
struct ConditionInRow {
  View<int> array;
  EPLB_FN Condition operator()(int row) const { return {array.from(row)}; }
};
struct Write {
  View<int> array;
  template <class Index> EPLB_FN void operator()(Index i) const { array.set(i, array[i] + 1); }
};
struct Column {
  View<int> array;
  template <class Index> EPLB_FN auto operator()(Index column) const {
    return [in = array, column](int row) { return in.from(row)[column]; };
  }
};
struct Stretches {
  View<int> array;
  EPLB_FN Stretch<Condition, Element> operator()(int k) const { return {k, k, {array}, {array}}; }
};
template <class Value> struct OfIndex {
  EPLB_FN Value operator()(int i) const { return static_cast<Value>(i); }
};
template <class Key> struct Rekey {
  EPLB_FN Key operator()(int, int, Key key) const { return key; }
};
struct Close {
  EPLB_FN bool operator()(int, int, int) const { return false; }
};
struct Nothing {
  EPLB_FN void operator()(auto...) const {}
};

}  // namespace archetype

template <class T>
concept Team = requires(T team, int n, int from, int to, int rows, int cell, int floor, int steps,
                        int i, int value, View<int> array, View<int> order, View<int> out,
                        View<int> seen, View<int> scratch, View<int> waiting, View<int> keys,
                        View<int64_t> keys64) {
  // Calls f(int i) for i < n.
  team.for_each(n, archetype::Write{array});
  // The same for a vector body that only reads and writes element i of arrays.
  team.sweep(n, archetype::Write{array});

  // Smallest and largest f(auto i) for from <= i < to; kNever and -kNever if there is none.
  { team.min(from, to, archetype::Element{array}) } -> std::same_as<int>;
  { team.max(from, to, archetype::Element{array}) } -> std::same_as<int>;
  // Both, from 0, and the first index of the largest.
  { team.min_max(to, archetype::Element{array}) } -> std::same_as<MinMax>;
  // Sum of f(auto i), which must not overflow.
  { team.sum(from, to, archetype::Element{array}) } -> std::same_as<int>;
  // First i with f(auto i) true, or `to`.
  { team.find(from, to, archetype::Condition{array}) } -> std::same_as<int>;

  // Scalar bodies: largest f(int i), an int or int64_t; first i with f(int i) true, or n; sum of
  // f(int i), which may write element i.
  { team.max_of(n, archetype::Element{array}) } -> std::same_as<int>;
  { team.max_of(n, archetype::OfIndex<int64_t>{}) } -> std::same_as<int64_t>;
  { team.find_of(n, archetype::Condition{array}) } -> std::same_as<int>;
  { team.sum_of(n, archetype::OfIndex<int64_t>{}) } -> std::same_as<int64_t>;

  // In a table with rows of kRow cells, the first of which stand for from <= i < to: the first
  // cell, from `cell` on, with f(int row)(auto i) true, or rows * kRow.
  {
    team.find_in_rows(cell, rows, from, to, archetype::ConditionInRow{array})
    } -> std::same_as<int>;
  // Largest f(auto column)(int row) for column < n, a multiple of kRow, and row < rows. Zero rows:
  // -kNever.
  { team.max_in_columns(n, rows, archetype::Column{array}) } -> std::same_as<int>;
  // The largest value above `floor` in n stretches, f(int k) -> Stretch: the least k that has it
  // and the lowest index there. value = floor if there is none.
  { team.max_in_stretches(n, floor, archetype::Stretches{array}) } -> std::same_as<Found>;
  // An object whose any(auto x, auto distance) says whether |x - array[i]| < distance for any i,
  // where no distance is above the one given here. scratch [n]. Valid until the next order, serve
  // or fill.
  { team.nearby(n, array, scratch, value).any(value, value) } -> std::same_as<bool>;

  // order[0..n) = the indices i sorted by (f(int i) -> uint64_t, i).
  team.order(n, order, archetype::OfIndex<uint64_t>{});
  // visit(int i, int before), before = sum of f(int j) over j < i. Returns the sum of all. f(j)
  // must not read what visit(i) writes.
  { team.scan(n, archetype::OfIndex<int>{}, archetype::Nothing{}) } -> std::same_as<int>;
  // out[i] = the number of j < i with f(int j) == f(i) -> int. seen: zeros by value; afterwards,
  // how often each value occurred.
  team.rank_among_equals(n, seen, out, archetype::OfIndex<int>{});
  // out = the i < n with f(int i) true, in order. Returns their number.
  { team.pick(n, out, archetype::Condition{array}) } -> std::same_as<int>;

  // `steps` times: i = the first index of the least key, which becomes f(step, i, key). One lane
  // calls f, which touches only what belongs to i or to the step. keys [n] is destroyed.
  team.serve(n, keys, steps, archetype::Rekey<int>{});
  team.serve(n, keys64, steps, archetype::Rekey<int64_t>{});
  // The same with keys that begin at 0 and grow by Number::add(key, amount(int step)), or become
  // kNever if f(step, i, key) returns true; fastest where amounts do not grow. apart(step) steps
  // from `step` on form a run, which serves no index twice before it has served all that are open.
  // Scratch: keys [n], waiting [2n].
  team.template fill<Integer>(n, keys, waiting, steps, archetype::OfIndex<int>{},
                              archetype::OfIndex<int>{}, archetype::Close{});
  team.template fill<Float32>(n, keys, waiting, steps, archetype::OfIndex<int>{},
                              archetype::OfIndex<int>{}, archetype::Close{});

  // One lane calls f().
  team.single(archetype::Nothing{});
  // The same without a barrier: other lanes must not read what f writes until the next one.
  team.single_nowait(archetype::Nothing{});
  // What array will be once single_nowait has written `value` to [i]; valid before the barrier.
  { team.patched(array, i, value)[n] } -> std::convertible_to<int>;
  // What any lane wrote before is visible to all lanes after.
  team.barrier();

  // Is the call to stop? Loops that take long then end early. What they leave is thrown away, but
  // what follows still works on it.
  { team.stopped() } -> std::same_as<bool>;
};

EPLB_STAGE_END
