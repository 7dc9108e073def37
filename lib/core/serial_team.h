// A team of one lane (solver/team/team.h), for what is worked out once for a report: the few members that bounds ask for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "solver/team/team.h"

namespace eplb {

class SerialTeam {
 public:
  template <class Body> void for_each(int n, Body body) {
    for (int i = 0; i < n; ++i) body(i);
  }
  template <class Body> auto max_of(int n, Body body) {
    auto most = -solver::Never<decltype(body(0))>::key;
    for (int i = 0; i < n; ++i) most = std::max(most, body(i));
    return most;
  }
  template <class Body> int find_of(int n, Body body) {
    int i = 0;
    while (i < n && !body(i)) ++i;
    return i;
  }
  template <class Body> int64_t sum_of(int n, Body body) {
    int64_t sum = 0;
    for (int i = 0; i < n; ++i) sum += body(i);
    return sum;
  }
  template <class Body> int pick(int n, solver::View<int> out, Body body) {
    int count = 0;
    for (int i = 0; i < n; ++i)
      if (body(i)) out[count++] = i;
    return count;
  }
  template <class Key> void order(int n, solver::View<int> order, Key key) {
    sorted_.clear();
    for (int i = 0; i < n; ++i) sorted_.emplace_back(key(i), i);
    std::sort(sorted_.begin(), sorted_.end());
    for (int i = 0; i < n; ++i) order[i] = sorted_[i].second;
  }
  template <class Key> void order_first(int n, int wanted, solver::View<int> order, Key key) {
    sorted_.clear();
    for (int i = 0; i < n; ++i) sorted_.emplace_back(key(i), i);
    const int count = std::min(n, wanted);
    std::partial_sort(sorted_.begin(), sorted_.begin() + count, sorted_.end());
    for (int i = 0; i < count; ++i) order[i] = sorted_[i].second;
  }
  template <class Rekey> void serve(int n, solver::View<int64_t> keys, int steps, Rekey rekey) {
    constexpr auto later = std::greater<>();
    served_.clear();
    for (int i = 0; i < n; ++i) served_.emplace_back(keys[i], i);
    std::make_heap(served_.begin(), served_.end(), later);
    for (int step = 0; step < steps; ++step) {
      std::pop_heap(served_.begin(), served_.end(), later);
      auto& [key, i] = served_.back();
      keys[i] = key = rekey(step, i, key);
      std::push_heap(served_.begin(), served_.end(), later);
    }
  }
  template <class Body> void single(Body body) { body(); }
  void barrier() {}

 private:
  std::vector<std::pair<uint64_t, int>> sorted_;
  std::vector<std::pair<int64_t, int>> served_;
};

}  // namespace eplb
