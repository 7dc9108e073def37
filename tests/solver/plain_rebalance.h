// EPLB_STRATEGY_REBALANCE as section 12 of docs/algorithms.md defines it, to be compared with what
// the library does: one layer, and how layers share a budget.
#pragma once

#include <numeric>
#include <tuple>

#include "tests/solver/plain_steps.h"

namespace eplb::tests::plain {

class Rebalance : RebalanceSteps {
 public:
  // fresh: BEST's placement by slot; nodes: of the hierarchical policy.
  Rebalance(const OldLayer& layer, const RebalanceAsk& ask, std::vector<int> fresh, int nodes)
      : RebalanceSteps(layer, ask), fresh_(std::move(fresh)), nodes_(nodes) {
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
  // BEST for several windows: `was` is its placement for their sum.
  std::vector<int> solve_windows(bool has_load) {
    start();
    moves_cost_ = false;
    if (has_load && layer_.q.size() > 1) level();
    part_copies();
    return slots();
  }
  using RebalanceSteps::path;

 private:
  // ------------------------------------------------------------------------------ 12.5, 12.6, 12.7

  struct Effort {
    int rounds, missed, later, of_windows;
  };
  Effort effort() const {
    const Effort efforts[] = {{0, 240, 24, 0}, {200, 800, 100, 100}, {720, 2880, 360, 300}};
    return efforts[ask_.effort];
  }
  void search() {
    if (ask_.target > 0) {
      if (reach_target()) return;
      if (!is_limited()) return try_fresh();
      start();
    }
    layer_.q.size() > 1 ? level() : reach_balance();
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
  // Nodes may have other groups in a fresh placement.
  void stay_on_nodes() {
    for (int g = 0; g < layer_.gpus(); ++g)
      for (const int e : now_.at[g]) layer_.home[e] = layer_.node[g];
  }
  void try_fresh() {
    const Arranged before = now_;
    place_fresh();
    if (layer_.q.size() > 1) {
      if (nodes_ > 1) stay_on_nodes();
      moves_cost_ = false;
      level();
    }
    const bool is_better = std::max(now_.time(), least_) < std::max(before.time(), least_);
    if (!is_better || !is_within()) now_ = before;
  }
  // Section 14.3.
  void level() {
    int64_t aim = 0;
    for (const int part : {4, 2}) aim = fall(part, [](int64_t) {});
    for (int round = 1; round <= effort().of_windows; ++round) {
      if (now_.excess() == 0 && aim == least_) break;
      const Arranged before = now_;
      for (int left = ruins(); left > 0; --left) moves_cost_ ? take_one_back() : shake();
      for (int i = 0; i < 30; ++i)
        if (!step(static_cast<uint32_t>(round), true)) break;
      if (!is_within() || now_.excess() > before.excess()) {
        now_ = before;
        continue;
      }
      aim = std::min(aim, least_ + std::max<int64_t>(0, now_.time() - least_) / 2);
      now_.aim(aim);
    }
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
