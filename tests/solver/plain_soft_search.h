// What BEST and REBALANCE make of a layer under policy SOFT as section 15 of docs/algorithms.md
// defines it, to be compared with what the library does.
#pragma once

#include "tests/solver/plain_soft.h"

namespace eplb::tests::plain {

class SoftSearch : SoftStart {
 public:
  // least: what has to be paid whatever is done.
  SoftSearch(const OldLayer& layer, const RebalanceAsk& ask, const std::vector<int>& home,
             int nodes, int64_t least)
      : SoftStart(layer, ask, home, nodes), least_cost_(least) {}

  using RebalanceSteps::path;
  const Arranged& arranged() const { return now_; }

  // By slot; -1: nothing.
  std::vector<int> solve() {
    settle_fresh();
    part_copies();
    return slots();
  }
  std::vector<int> rebalance(bool has_load) {
    if (!start() || !has_load) return slots();
    move_cost_ = std::max(80 * mean_ / 1024, ask_.price * mean_ >> 20);
    settle(false);
    if (now_.excess() > 0 && !is_limited()) try_at_home();
    return slots();
  }

 private:
  using Standing = std::pair<int64_t, int64_t>;  // excess, cost

  Standing standing() const {
    return {now_.excess(), now_.cost() + (moves_cost_ ? move_cost_ * now_.moves() : 0)};
  }
  struct Rounds {
    int reached, missed;  // at most, without excess and with it
  };
  Rounds rounds() const {
    const Rounds rounds[] = {{0, 16}, {100, 200}, {300, 600}};
    return rounds[ask_.effort];
  }
  void keep() {
    changes_ = 0;
    touched_.clear();
  }

  // In turn, until none of these GPUs has a change any more.
  void polish(std::set<int> due, uint32_t round) {
    while (!due.empty() && changes_ < most_changes())
      for (int g = 0; g < layer_.gpus(); ++g)
        if (due.contains(g) && changes_ < most_changes() && !step_at(g, round)) due.erase(g);
  }
  void improve() {
    std::set<int> all;
    for (int g = 0; g < layer_.gpus(); ++g) all.insert(g);
    descend(0, true);
    if (!moves_cost_) polish(all, 0);
    keep();
  }
  void improve_again(uint32_t round, int64_t excess) {
    constexpr int kSteps = 60;
    for (const int urgency : {2, 20}) {
      urgency_ = urgency;
      for (int i = 0; i < kSteps && changes_ < most_changes(); ++i)
        if (!step(round, true)) break;
    }
    if (!moves_cost_ && now_.excess() <= excess) polish(touched_, round);
  }
  void search(const Rounds& most) {
    Standing best = standing();
    for (int round = 1; round <= (best.first > 0 ? most.missed : most.reached); ++round) {
      if (best.first == 0 && best.second <= least_cost_ + least_cost_ / 100) break;
      const Arranged before = now_;
      shake_homes(best.first > 0);
      improve_again(static_cast<uint32_t>(round), best.first);
      if (standing() > best || !is_within())
        now_ = before;
      else
        best = standing();
      keep();
    }
  }
  void settle(bool fills) {
    const int most = rounds().reached;
    keep();
    for (const int urgency : {2, 20}) {
      urgency_ = urgency;
      improve();
    }
    if (fills && now_.empty() > 0) {
      search({most / 4, most / 4});
      fill();
      improve();
    }
    search(rounds());
  }
  void settle_fresh() {
    start_at_home();
    moves_cost_ = false;
    settle(!ask_.allow_empty);
    if (!ask_.allow_empty) duplicate();
  }
  void try_at_home() {
    const Arranged before = now_;
    settle_fresh();
    if (now_.excess() >= before.excess() || !is_within()) now_ = before;
  }

  // Empty slots, row by row: what costs least there, excess at its most urgent; ties: the largest
  // replicas, then the lowest expert.
  void fill() {
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g) {
        if (row >= layer_.open[g] || now_.at[g][row] != layer_.none()) continue;
        const int e = cheapest(g, row);
        if (e >= 0) now_.at[g][row] = e;
      }
    keep();
  }
  int cheapest(int g, int row) const {
    const std::vector<int> count = now_.copies();
    int best = -1;
    std::pair<int64_t, int64_t> least;
    for (int e = 0; e < layer_.experts(); ++e) {
      if (!now_.may_become(g, row, e)) continue;
      Arranged then = now_;
      then.at[g][row] = e;
      const std::pair order(20 * (then.excess() - now_.excess()) + then.cost() - now_.cost(),
                            -layer_.prices->weight[e] / count[e]);
      if (best >= 0 && order >= least) continue;
      least = order;
      best = e;
    }
    return best;
  }

  // What is empty even so, row by row: the lightest expert that may have one more copy.
  void duplicate() {
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g)
        if (row < layer_.open[g] && now_.at[g][row] == layer_.none()) now_.at[g][row] = lightest();
  }
  int lightest() const {
    const std::vector<int> count = now_.copies();
    int best = -1;
    for (int e = 0; e < layer_.experts(); ++e)
      if (count[e] < layer_.max_replicas && (best < 0 || layer_.weight(e) < layer_.weight(best)))
        best = e;
    return best;
  }

  // ------------------------------------------------------------------------------------------ ruins

  void shake_homes(bool has_excess) {
    for (int left = ruins(); left > 0; --left) {
      const uint32_t word = draw();
      if (moves_cost_ && word >= 1u << 30)
        take_one_back();
      else if (!has_excess || word % 2 == 0 || !shake_head())
        bring_home();
    }
  }
  int price(Spot spot, int e) const {
    return e == layer_.none() ? 0 : layer_.prices->of[layer_.node[spot.gpu]][e];
  }
  std::vector<Spot> spots(auto wanted) const {
    std::vector<Spot> found;
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g)
        if (row < layer_.open[g] && wanted(Spot{g, row})) found.push_back({g, row});
    return found;
  }
  template <class Item> Item one_of(const std::vector<Item>& items) {
    return items[plain::below(draw(), std::ssize(items))];
  }
  // A replica that costs something, drawn from all, makes way.
  void bring_home() {
    const std::vector<Spot> paid = spots([&](Spot spot) { return price(spot, at(spot)) > 0; });
    if (paid.empty()) return;
    const Spot spot = one_of(paid);
    now_.copies_of(at(spot)) > 1 ? give_way(spot) : go_home(spot);
  }
  // To an expert that costs nothing there, drawn from those that may have more copies.
  void give_way(Spot spot) {
    const std::vector<int> count = now_.copies();
    std::vector<int> free;
    for (int e = 0; e < layer_.experts(); ++e)
      if (count[e] < layer_.most_copies && price(spot, e) == 0) free.push_back(e);
    if (!free.empty()) become_if_allowed(spot, one_of(free));
  }
  // By a swap with a place where it costs nothing, drawn from those whose expert gets no dearer, or
  // if there are none, from all.
  void go_home(Spot spot) {
    const int e = at(spot);
    const auto is_home = [&](Spot other) { return price(other, e) == 0; };
    std::vector<Spot> others = spots([&](Spot other) {
      return is_home(other) && price(spot, at(other)) <= price(other, at(other));
    });
    if (others.empty()) others = spots(is_home);
    if (others.empty()) return;
    const Spot other = one_of(others);
    if (may_swap(spot, other)) swap(spot, other);
  }

  int64_t least_cost_, move_cost_ = 0;
};

}  // namespace eplb::tests::plain
