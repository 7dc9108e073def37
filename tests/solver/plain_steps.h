// How a search by excess descends, and what its path is: sections 12.3 and 12.9 of
// docs/algorithms.md.
#pragma once

#include "tests/solver/plain_ruins.h"

namespace eplb::tests::plain {

// The least times with at most so many moves; kAny below the forced ones.
struct Path {
  std::vector<int64_t> time;
  int64_t mean;
};

class RebalanceSteps : protected RebalanceRuins {
 protected:
  using RebalanceRuins::RebalanceRuins;

  Path path(int most, bool has_load) {
    const std::vector<int64_t> none(static_cast<size_t>(most) + 1, kAny);
    if (!start() || now_.moves() > most) return {none, mean_};
    std::vector<int64_t> path = follow(has_load ? most : now_.moves());
    path.resize(none.size(), path.back());
    std::fill_n(path.begin(), now_.moves(), kAny);
    return {path, mean_};
  }

  bool is_within() const {
    return now_.moves() <= budget_ && now_.most_arrived() <= layer_.most_arrivals;
  }
  // The best change at a GPU, whatever its load.
  bool step_at(int g, uint32_t round) {
    const StepAsk ask{budget_, moves_cost_, round, urgency_};
    const Step best = StepChoice(layer_, now_, ask, g).best();
    if (best.kind == Step::kNone) return false;
    now_.make(best);
    note_change(best.other_gpu);
    if (best.kind == Step::kSwap) touched_.insert(best.gpu);
    return true;
  }
  bool step(uint32_t round, bool all_heads) {
    for (const int head : now_.heads()) {
      if (step_at(head, round)) return true;
      if (!all_heads && layer_.q.size() == 1) break;
    }
    return false;
  }
  int most_changes() const { return 1024 + 4 * layer_.gpus() * layer_.rows; }
  // Returns whether no excess is left.
  bool descend(uint32_t round, bool all_heads) {
    while (changes_ < most_changes() && step(round, all_heads)) {
    }
    return now_.excess() == 0;
  }

  // One descent to targets that fall with the largest time. note(time) comes after each step.
  int64_t fall(int part, auto note) {
    int64_t aim = kAny;
    changes_ = 0;
    for (int64_t time = now_.time();; note(time = now_.time())) {
      aim = std::min(aim, least_ + std::max<int64_t>(0, time - least_) / part);
      now_.aim(aim);
      if (changes_ == most_changes() || !step(0, false)) return aim;
    }
  }
  // By number of moves; the arrangement stays.
  std::vector<int64_t> follow(int most) {
    const Arranged before = now_;
    const int64_t budget = budget_;
    budget_ = std::min<int64_t>(budget, most);
    std::vector<int64_t> path(static_cast<size_t>(most) + 1, kAny);
    auto note = [&](int64_t time) {
      if (now_.moves() <= most) path[now_.moves()] = std::min(path[now_.moves()], time);
    };
    note(now_.time());
    fall(4, note);
    for (size_t m = 1; m < path.size(); ++m) path[m] = std::min(path[m], path[m - 1]);
    now_ = before;
    budget_ = budget;
    return path;
  }

  // Section 12.12.
  void part_copies() {
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g)
        while (row < layer_.open[g] && is_copy({g, row}) && part({g, row})) {
        }
  }

  int64_t urgency_ = 20;  // of excess, where there are prices

 private:
  bool is_copy(Spot spot) const {
    const auto& on = now_.at[spot.gpu];
    const int e = on[spot.row];
    return e != layer_.none() && std::count(on.begin(), on.end(), e) > 1;
  }
  bool may_part(Spot spot, Spot other) const {
    const int e = now_.at[spot.gpu][spot.row], f = now_.at[other.gpu][other.row];
    return f != layer_.none() && spot.gpu != other.gpu && !now_.holds(other.gpu, e) &&
           (!now_.holds(spot.gpu, f) || is_copy(other)) && layer_.may_be_on(other.gpu, e) &&
           layer_.may_be_on(spot.gpu, f);
  }
  std::vector<Spot> open_spots() const {
    std::vector<Spot> spots;
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g)
        if (row < layer_.open[g]) spots.push_back({g, row});
    return spots;
  }
  Arranged exchanged(Spot spot, Spot other) const {
    Arranged then = now_;
    std::swap(then.at[spot.gpu][spot.row], then.at[other.gpu][other.row]);
    return then;
  }
  std::optional<Spot> cheapest(Spot spot) const {
    std::optional<Spot> best;
    int64_t least = 0;
    for (const Spot other : open_spots()) {
      if (!may_part(spot, other)) continue;
      const Arranged then = exchanged(spot, other);
      const int64_t cost = 20 * then.excess() + then.cost();
      if (best && cost >= least) continue;
      least = cost;
      best = other;
    }
    return best;
  }
  // The lowest place of the expert in `wanted` whose GPU may have that in `spot` and lacks it.
  std::optional<Spot> exchange(Spot spot, Spot wanted) const {
    const int e = now_.at[spot.gpu][spot.row], f = now_.at[wanted.gpu][wanted.row];
    for (const Spot other : open_spots())
      if (now_.at[other.gpu][other.row] == f && !now_.holds(other.gpu, e) &&
          layer_.may_be_on(other.gpu, e))
        return other;
    return {};
  }
  std::optional<Spot> first_of_chain(Spot start) const {
    const auto& on = now_.at[start.gpu];
    std::vector<std::pair<Spot, std::optional<Spot>>> found = {{start, {}}};  // and their firsts
    std::set<int> rows;
    for (size_t i = 0; i < found.size(); ++i) {
      const auto [spot, first] = found[i];
      if (i > 0 && cheapest(spot)) return first;
      for (int row = 0; row < layer_.open[start.gpu]; ++row) {
        const Spot next{start.gpu, row};
        if (rows.contains(row) || on[row] == layer_.none() || on[row] == on[start.row]) continue;
        const std::optional<Spot> other = exchange(spot, next);
        if (!other) continue;
        rows.insert(row);
        found.push_back({next, i == 0 ? other : first});
      }
    }
    return {};
  }
  bool part(Spot spot) {
    std::optional<Spot> other = cheapest(spot);
    if (!other) other = first_of_chain(spot);
    if (other) now_ = exchanged(spot, *other);
    return other.has_value();
  }
};

}  // namespace eplb::tests::plain
