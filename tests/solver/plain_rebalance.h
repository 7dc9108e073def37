// EPLB_STRATEGY_REBALANCE as section 12 of docs/algorithms.md defines it, to be compared with what
// the library does: one layer, and how layers share a budget.
#pragma once

#include <numeric>
#include <tuple>

#include "tests/solver/plain_rebalance_start.h"

namespace eplb::tests::plain {

// The least times with at most so many moves; kAny below the forced ones.
struct Path {
  std::vector<int64_t> time;
  int64_t mean;
};

class Rebalance : RebalanceStart {
 public:
  // fresh: BEST's placement by slot; nodes: of the hierarchical policy.
  Rebalance(const OldLayer& layer, const RebalanceAsk& ask, std::vector<int> fresh, int nodes)
      : RebalanceStart(layer, ask), fresh_(std::move(fresh)), nodes_(nodes) {
    moves_cost_ = is_limited() || ask.target > 0 || ask.price > 0 || ask.shares_a_total;
  }

  // By slot; -1: nothing. Above max_arrivals if an expert that is nowhere has no other place.
  std::vector<int> solve(bool has_load) {
    if (start() && has_load) {
      if (ask_.price > 0) budget_ = paying_moves();
      search();
    }
    return slots();
  }
  Path path(int most, bool has_load) {
    const std::vector<int64_t> none(static_cast<size_t>(most) + 1, kAny);
    if (!start() || now_.moves() > most) return {none, mean_};
    std::vector<int64_t> path = follow(has_load ? most : now_.moves());
    path.resize(none.size(), path.back());
    std::fill_n(path.begin(), now_.moves(), kAny);
    return {path, mean_};
  }

 private:
  // ------------------------------------------------------------------------------------ 12.3, 12.4

  bool is_within() const {
    return now_.moves() <= budget_ && now_.most_arrived() <= layer_.most_arrivals;
  }
  bool step(uint32_t round, bool all_heads) {
    for (const int head : now_.heads()) {
      const Step best = StepChoice(layer_, now_, {budget_, moves_cost_, round}, head).best();
      if (best.kind != Step::kNone) {
        now_.make(best);
        ++changes_;
        return true;
      }
      if (!all_heads) break;
    }
    return false;
  }
  // Returns whether no excess is left.
  bool descend(uint32_t round, bool all_heads) {
    while (changes_ < 1024 + 4 * layer_.gpus() * layer_.rows && step(round, all_heads)) {
    }
    return now_.excess() == 0;
  }

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
    ++changes_;
  }
  void become(Spot spot, int e) {
    now_.at[spot.gpu][spot.row] = e;
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

  // ------------------------------------------------------------------------------ 12.5, 12.6, 12.7

  struct Effort {
    int rounds, missed, later;
  };
  Effort effort() const {
    const Effort efforts[] = {{0, 240, 24}, {200, 800, 100}, {720, 2880, 360}};
    return efforts[ask_.effort];
  }
  void search() {
    if (ask_.target > 0) {
      if (reach_target()) return;
      if (!is_limited()) return try_fresh();
      start();
    }
    reach_balance();
    if (now_.time() > least_ + least_ / 4096) try_fresh();
  }
  bool reach_target() {
    const Effort effort = this->effort();
    const int64_t budget = budget_;
    changes_ = 0;
    bool reached = descend(0, false);
    int last = effort.rounds;
    for (int round = 1; round <= (reached ? last : effort.missed); ++round) {
      if (reached && now_.moves() == 0) break;
      const Arranged before = now_;
      const int moves = now_.moves();
      changes_ = 0;
      reached ? take_some_back() : shake_some();
      if (reached) budget_ = std::min<int64_t>(budget, moves);
      const bool reaches = descend(static_cast<uint32_t>(round), !reached);
      budget_ = budget;
      const bool replaces = reaches != reached ? reaches
                            : reaches          ? now_.moves() <= moves
                                               : now_.excess() <= before.excess();
      if (!replaces || !is_within())
        now_ = before;
      else if (reaches && !std::exchange(reached, reaches))
        last = std::max(last, round + effort.later);
    }
    return reached;
  }
  // The best of up to seven descents.
  Arranged bisect() {
    const Arranged start = now_;
    Arranged best = now_;
    int64_t low = least_, high = now_.time();
    for (int i = 0; i < 7 && high - low > least_ / 4096; ++i) {
      const int64_t aim = low + (high - low) / (i == 0 ? 6 : 3);
      now_ = start;
      now_.aim(aim);
      changes_ = 0;
      descend(0, false);
      const int64_t time = now_.time();
      if (time < best.time() && is_within()) best = now_;
      if (time <= aim)
        high = time;
      else
        low = aim;
      high = std::min(high, std::max(low, best.time()));
    }
    return best;
  }
  void aim_below(int64_t time) {
    const int64_t step = moves_cost_ ? time / 1024 * 3 : (time - least_) / 2;
    now_.aim(std::max(least_, time - step));
  }
  void reach_balance() {
    Arranged best = now_ = bisect();
    aim_below(best.time());
    for (int round = 1; round <= effort().rounds && best.time() > least_; ++round) {
      const Arranged before = now_;
      changes_ = 0;
      moves_cost_ ? take_some_back() : shake_some();
      descend(static_cast<uint32_t>(round), !moves_cost_);
      const bool is_better = now_.time() < best.time();
      if (!is_within() || (!is_better && now_.excess() > before.excess()))
        now_ = before;
      else if (is_better)
        aim_below((best = now_).time());
    }
    now_ = best;
  }

  // ------------------------------------------------------------------------------------ 12.8, 12.9

  // Numbers for units that overlap those of the current placement: the pair with the largest first;
  // ties: lowest unit, lowest number.
  using Overlaps = std::vector<std::vector<int>>;  // [unit][number]
  static std::vector<int> numbered(const Overlaps& overlaps) {
    const int units = static_cast<int>(overlaps.size());
    std::vector<int> number(units, -1), unit(units, -1);
    auto next = [&] {
      std::pair best(-1, -1);
      int most = 0;
      for (int u = 0; u < units; ++u)
        for (int n = 0; n < units; ++n)
          if (number[u] < 0 && unit[n] < 0 && overlaps[u][n] > most) {
            most = overlaps[u][n];
            best = {u, n};
          }
      return best;
    };
    for (auto [u, n] = next(); u >= 0; std::tie(u, n) = next()) {
      number[u] = n;
      unit[n] = u;
    }
    for (int u = 0, n = 0; u < units; ++u) {
      if (number[u] >= 0) continue;
      while (unit[n] >= 0) ++n;
      number[u] = n;
      unit[n] = u;
    }
    return number;
  }
  // The number of pairs of a slot of a fresh GPU and a GPU, from..to, that had its expert.
  int overlap(int fresh_gpu, int from, int to) const {
    int count = 0;
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = from; g < to; ++g) count += layer_.had(g, fresh_[fresh_gpu * layer_.rows + row]);
    return count;
  }
  bool are_equal() const {
    const auto differs = [&](int g) {
      return layer_.open[g] != layer_.rows || layer_.pace[g] != layer_.pace[0];
    };
    for (int g = 0; g < layer_.gpus(); ++g)
      if (differs(g)) return false;
    return true;
  }
  void place_fresh() {
    if (are_equal()) return place_renumbered();
    for (int g = 0; g < layer_.gpus(); ++g) {
      const auto from = fresh_.begin() + g * layer_.rows;
      now_.at[g].assign(from, from + layer_.open[g]);
    }
  }
  void place_renumbered() {
    const int each = layer_.gpus() / nodes_;
    Overlaps of_nodes(nodes_, std::vector<int>(nodes_));
    for (int unit = 0; unit < nodes_; ++unit)
      for (int n = 0; n < nodes_; ++n)
        for (int g = unit * each; g < (unit + 1) * each; ++g)
          of_nodes[unit][n] += overlap(g, n * each, (n + 1) * each);
    const std::vector<int> node_number = numbered(of_nodes);
    for (int unit = 0; unit < nodes_; ++unit) {
      const int first = node_number[unit] * each;
      Overlaps of_gpus(each, std::vector<int>(each));
      for (int i = 0; i < each; ++i)
        for (int n = 0; n < each; ++n)
          of_gpus[i][n] = overlap(unit * each + i, first + n, first + n + 1);
      const std::vector<int> number = numbered(of_gpus);
      for (int i = 0; i < each; ++i) {
        const auto from = fresh_.begin() + (unit * each + i) * layer_.rows;
        now_.at[first + number[i]].assign(from, from + layer_.rows);
      }
    }
  }
  void try_fresh() {
    const Arranged before = now_;
    place_fresh();
    const bool is_better = std::max(now_.time(), least_) < std::max(before.time(), least_);
    if (!is_better || !is_within()) now_ = before;
  }
  // By number of moves; the arrangement stays.
  std::vector<int64_t> follow(int most) {
    const Arranged before = now_;
    const int64_t budget = budget_;
    budget_ = std::min<int64_t>(budget, most);
    changes_ = 0;
    std::vector<int64_t> path(static_cast<size_t>(most) + 1, kAny);
    int64_t aim = kAny;
    for (;;) {
      const int64_t time = now_.time();
      if (now_.moves() <= most) path[now_.moves()] = std::min(path[now_.moves()], time);
      aim = std::min(aim, least_ + std::max<int64_t>(0, time - least_) / 4);
      now_.aim(aim);
      if (!step(0, false)) break;
    }
    for (size_t m = 1; m < path.size(); ++m) path[m] = std::min(path[m], path[m - 1]);
    now_ = before;
    budget_ = budget;
    return path;
  }
  int64_t paying_moves() {
    const int64_t most = std::min(budget_, int64_t{layer_.gpus()} * layer_.rows);
    const std::vector<int64_t> path = follow(static_cast<int>(most));
    int64_t best = now_.moves();
    auto cost = [&](int64_t m) { return path[m] * (1 << 20) + m * ask_.price * mean_; };
    for (int64_t m = best + 1; m <= most && path[m - 1] > least_; ++m)
      if (cost(m) < cost(best)) best = m;
    return best;
  }

  std::vector<int> fresh_;
  int nodes_;
  bool moves_cost_;
  uint32_t drawn_ = 0;
  int changes_ = 0;  // since what was kept last
};

// Section 12.9: what each layer may move of a budget for all.
inline std::vector<int64_t> shares_of(const std::vector<Path>& paths, int64_t left) {
  std::vector<int64_t> share;
  for (const Path& path : paths) {
    const auto first = std::find_if(path.time.begin(), path.time.end() - 1,
                                    [](int64_t time) { return time < kAny; });
    share.push_back(first - path.time.begin());
    left -= share.back();
  }
  for (;;) {
    size_t layer = 0;
    int64_t most = 0, moves = 1;
    for (size_t l = 0; l < paths.size(); ++l)
      for (int64_t m = 1; m <= left && share[l] + m < std::ssize(paths[l].time); ++m) {
        const auto& time = paths[l].time;
        const int64_t gain = (time[share[l]] - time[share[l] + m]) * (1 << 20) / paths[l].mean;
        if (gain * moves <= most * m) continue;
        layer = l;
        most = gain;
        moves = m;
      }
    if (most == 0) return share;
    share[layer] += moves;
    left -= moves;
  }
}

}  // namespace eplb::tests::plain
