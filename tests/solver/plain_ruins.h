// What a search by excess undoes or shakes before it descends again: section 12.4 of
// docs/algorithms.md.
#pragma once

#include <set>

#include "tests/solver/plain_rebalance_start.h"

namespace eplb::tests::plain {

class RebalanceRuins : protected RebalanceStart {
 protected:
  using RebalanceStart::RebalanceStart;

  struct Spot {
    int gpu, row;
  };
  uint32_t draw() { return solver::Chance{ask_.seed, solver::kRebalance, 0, 0}(drawn_++); }
  Spot spot_of(uint32_t word) const {
    const int slot = plain::below(word, int64_t{layer_.gpus()} * layer_.rows);
    return {slot % layer_.gpus(), slot / layer_.gpus()};
  }
  bool is_open(Spot spot) const { return spot.row < layer_.open[spot.gpu]; }
  int at(Spot spot) const { return now_.at[spot.gpu][spot.row]; }
  bool may_swap(Spot one, Spot other) const {
    return is_open(one) && is_open(other) && now_.may_swap(one.gpu, one.row, other.gpu, other.row);
  }
  bool may_become(Spot spot, int e) const {
    return is_open(spot) && now_.may_become(spot.gpu, spot.row, e);
  }
  void swap(Spot one, Spot other) {
    std::swap(now_.at[one.gpu][one.row], now_.at[other.gpu][other.row]);
    note_change(one.gpu);
    touched_.insert(other.gpu);
  }
  void become(Spot spot, int e) {
    now_.at[spot.gpu][spot.row] = e;
    note_change(spot.gpu);
  }
  void note_change(int g) {
    touched_.insert(g);
    ++changes_;
  }
  void become_if_allowed(Spot spot, int e) {
    if (may_become(spot, e)) become(spot, e);
  }

  void take_one_back() {
    std::vector<Spot> moved;
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g)
        if (row < layer_.open[g] && now_.is_new(g, now_.at[g][row])) moved.push_back({g, row});
    if (moved.empty()) return;
    const Spot s = moved[plain::below(draw(), static_cast<int64_t>(moved.size()))];
    std::vector<int> lost;
    for (const int f : layer_.was[s.gpu])
      if (f >= 0 && !now_.holds(s.gpu, f)) lost.push_back(f);
    const int place = plain::below(draw(), static_cast<int64_t>(lost.size()));
    const int f = lost.empty() ? layer_.none() : lost[place], e = at(s);
    if (now_.copies_of(e) > 1) return become_if_allowed(s, f);
    for (const Spot& other : moved) {
      if (other.gpu == s.gpu || !layer_.had(other.gpu, e)) continue;
      if (at(other) == f && may_swap(s, other)) return swap(s, other);
      if (at(other) == f || !may_become(other, e)) continue;
      become(other, e);
      return become_if_allowed(s, f);
    }
  }
  // Is one of the two changes made?
  bool shaken(Spot one, uint32_t word) {
    const Spot other = spot_of(draw());
    if (!is_open(one)) return false;
    if (word & 1) {
      if (at(one) == layer_.none() || !may_become(other, at(one))) return false;
      become(other, at(one));
      return true;
    }
    if (!may_swap(one, other)) return false;
    swap(one, other);
    return true;
  }
  bool shake_head() {
    const std::vector<int> heads = now_.heads();
    if (heads.empty()) return false;
    for (int i = 0; i < 8; ++i) {
      const uint32_t word = draw();
      if (shaken({heads[0], plain::below(word, layer_.rows)}, word)) return true;
    }
    return false;
  }
  void shake() {
    for (int i = 0; i < 16; ++i) {
      const uint32_t word = draw();
      if (shaken(spot_of(word), word)) return;
    }
  }
  int ruins() { return 1 + plain::below(draw(), 3); }
  void take_some_back() {
    for (int left = ruins(); left > 0; --left) take_one_back();
  }
  void shake_some() {
    for (int left = ruins(); left > 0; --left) {
      if (draw() % 2 == 1 && shake_head()) continue;
      moves_cost_ ? take_one_back() : shake();
    }
  }

  bool moves_cost_ = true;
  uint32_t drawn_ = 0;
  int changes_ = 0;        // since what was kept last
  std::set<int> touched_;  // GPUs that they changed
};

}  // namespace eplb::tests::plain
