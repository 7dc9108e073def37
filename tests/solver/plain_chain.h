// Sections 7.5 to 7.7 of docs/algorithms.md as they are written: a chain on three or more slots per
// GPU. All that is kept of a placement is the slot of every position; loads and slots' contents are
// computed whenever they are asked for.
#pragma once

#include "tests/solver/plain_counts.h"

namespace eplb::tests::plain {

class Chain {
 public:
  // fine: a load is good enough mean / 2^fine above the mean.
  Chain(const Layer& layer, int chain, const SortedReplicas& positions, int fine)
      : layer_(layer),
        chain_(chain),
        fine_(fine),
        state_{positions, std::vector<int>(layer.slots, -1)},
        until_(layer.slots, 0) {
    place_longest_first();
    part_duplicates();
    level();
    best_ = ends().most;
    enough_ = std::max(bound(layer, positions), nearly_mean());
  }

  void run(int64_t budget) {
    while (spent_ < budget && step()) {
    }
    // The last step's state has not been looked at yet.
    if (const int64_t last = ends().most; last < best_) {
      best_ = last;
      log_.clear();
      recounted_ = false;
    }
    go_back();
  }

  int64_t spent() const { return spent_; }
  int64_t best() const { return best_; }
  std::vector<int> experts() const {  // by slot
    std::vector<int> experts(layer_.slots);
    for (int p = 0; p < layer_.slots; ++p) experts[state_.slot[p]] = state_.p.expert[p];
    return experts;
  }

 private:
  static constexpr int64_t kNone = int64_t{1} << 60;
  struct State {
    SortedReplicas p;
    std::vector<int> slot;  // by position; -1: not yet placed
  };
  struct Ends {
    int heaviest;
    int64_t most, least;
  };

  int64_t nearly_mean() const { return layer_.mean() + (layer_.mean() >> fine_); }
  int gpu(int p) const { return state_.slot[p] / layer_.places(); }
  int64_t size(int p) const { return state_.p.size[p]; }
  int expert(int p) const { return state_.p.expert[p]; }
  uint32_t next() { return layer_.u(7, chain_, draws_++); }

  std::vector<int64_t> loads() const {
    std::vector<int64_t> load(layer_.gpus);
    for (int p = 0; p < layer_.slots; ++p)
      if (state_.slot[p] >= 0) load[gpu(p)] += size(p);
    return load;
  }
  Ends ends() const {
    const std::vector<int64_t> load = loads();
    const auto most = std::max_element(load.begin(), load.end());  // the first of them
    return {static_cast<int>(most - load.begin()), *most,
            *std::min_element(load.begin(), load.end())};
  }
  std::vector<int> items() const {  // position by slot
    std::vector<int> items(layer_.slots, -1);
    for (int p = 0; p < layer_.slots; ++p)
      if (state_.slot[p] >= 0) items[state_.slot[p]] = p;
    return items;
  }
  int copies_on(int g, int e, std::initializer_list<int> without = {}) const {
    int copies = 0;
    for (int p = state_.p.first[e]; p < state_.p.first[e] + state_.p.count[e]; ++p)
      copies += state_.slot[p] >= 0 && gpu(p) == g &&
                std::find(without.begin(), without.end(), p) == without.end();
    return copies;
  }
  bool makes_duplicate(int p, int q) const {
    return copies_on(gpu(q), expert(p), {q}) > 0 || copies_on(gpu(p), expert(q), {p}) > 0;
  }
  void exchange(int p, int q) { std::swap(state_.slot[p], state_.slot[q]); }

  // An expert with more copies than there are GPUs with room goes round again.
  void place_longest_first() {
    std::vector<int> used(layer_.gpus), has_copy;
    for (int p = 0; p < layer_.slots; ++p) {
      if (p == state_.p.first[expert(p)]) has_copy.assign(layer_.gpus, 0);
      const std::vector<int64_t> load = loads();
      auto lightest = [&] {
        int best = -1;
        for (int g = 0; g < layer_.gpus; ++g)
          if (used[g] < layer_.places() && !has_copy[g] && (best < 0 || load[g] < load[best]))
            best = g;
        return best;
      };
      if (lightest() < 0) has_copy.assign(layer_.gpus, 0);
      const int g = lightest();
      has_copy[g] = 1;
      state_.slot[p] = g * layer_.places() + used[g]++;
    }
  }

  // q may become a duplicate on g if it was one on h: there is one duplicate less all the same.
  bool may_part(int p, int q) const {
    const int g = gpu(p), h = gpu(q);
    return h != g && copies_on(h, expert(p)) == 0 &&
           (copies_on(g, expert(q)) == 0 || copies_on(h, expert(q)) > 1);
  }

  // Goes on with a slot until it holds no duplicate, or one that cannot be parted.
  void part_duplicates() {
    const int most_places = layer_.experts() < layer_.places() ? 64 : 1024;
    if (layer_.places() > most_places) return;
    for (int s = 0; s < layer_.slots; ++s)
      while (part(s)) {
      }
  }
  bool part(int s) {
    const std::vector<int> item = items();
    const int g = s / layer_.places(), p = item[s];
    bool again = false;
    for (int lower = g * layer_.places(); lower < s; ++lower)
      again |= expert(item[lower]) == expert(p);
    if (!again) return false;
    const std::vector<int64_t> load = loads();
    int64_t least = kNone;
    int chosen = -1;
    for (int q = 0; q < layer_.slots; ++q) {
      const int64_t d = size(p) - size(q), value = std::max(load[g] - d, load[gpu(q)] + d);
      if (value >= least || !may_part(p, q)) continue;
      least = value;
      chosen = q;
    }
    if (chosen < 0) return false;
    exchange(p, chosen);
    return true;
  }

  // Where GPUs are many, all of them swap before the search: heaviest with lightest, and so on.
  void level() {
    if (layer_.gpus < 64 || layer_.places() > 64) return;
    for (int sweep = std::min(2 + layer_.gpus / 256, 4); sweep > 0; --sweep) {
      const std::vector<int64_t> load = loads();
      std::vector<int> order(layer_.gpus);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return load[a] > load[b]; });
      for (int i = 0; i < layer_.gpus / 2; ++i) level(order[i], order[layer_.gpus - 1 - i], load);
    }
  }
  void level(int h, int l, const std::vector<int64_t>& load) {
    const std::vector<int> item = items();
    const int k = layer_.places();
    int64_t least = load[h];
    int p = -1, q = -1;
    for (int i = 0; i < k * k; ++i) {
      const int a = item[h * k + i / k], b = item[l * k + i % k];
      const int64_t d = size(a) - size(b), value = std::max(load[h] - d, load[l] + d);
      if (d <= 0 || value >= least || makes_duplicate(a, b)) continue;
      least = value;
      p = a;
      q = b;
    }
    if (p >= 0) exchange(p, q);
  }

  void go_back() {
    if (recounted_) {
      state_ = *saved_;
      until_.assign(layer_.slots, 0);
      recounted_ = false;
      log_.clear();
      return;
    }
    for (; !log_.empty(); log_.pop_back()) exchange(log_.back().first, log_.back().second);
  }

  bool step() {
    Ends e = ends();
    if (e.most <= best_) {
      if (e.most < best_) since_ = 0;
      if (e.most < best_ || recounted_) {
        recounted_ = false;
        patience_ = 20;
      }
      best_ = e.most;
      log_.clear();
    }
    if (best_ <= enough_) return false;
    ++spent_;
    ++now_;
    if (since_ < patience_ && swap(e)) return true;
    go_back();
    since_ = 0;
    patience_ = 20;
    e = ends();
    const bool wide =
        layer_.slots > layer_.experts() && best_ > layer_.mean() + layer_.mean() / 512;
    if (wide && turn_++ % 4 == 3 && recount(e.heaviest)) return true;
    constexpr int kPairPlaces = 16;
    if (layer_.places() < 4 || layer_.places() > kPairPlaces || !exchange_pairs(e)) walk(e);
    return true;
  }

  bool swap(const Ends& e) {
    const std::vector<int64_t> load = loads();
    const std::vector<int> item = items();
    int64_t least = e.most + (e.most - e.least);
    int chosen_p = -1, chosen_q = -1;
    for (int k = 0; k < layer_.places(); ++k)
      for (int p = item[e.heaviest * layer_.places() + k], q = 0; q < layer_.slots; ++q) {
        if (size(q) >= size(p) || gpu(q) == e.heaviest) continue;
        const int64_t value =
            std::max(e.most - size(p) + size(q), load[gpu(q)] - size(q) + size(p));
        const bool tabu = until_[p] > now_ || until_[q] > now_;
        if (value >= least || (tabu && value >= best_) || makes_duplicate(p, q)) continue;
        least = value;
        chosen_p = p;
        chosen_q = q;
      }
    if (chosen_p < 0) return false;
    exchange(chosen_p, chosen_q);
    const uint32_t r = next();
    until_[chosen_p] = now_ + 4 + below(r, 8);
    until_[chosen_q] = now_ + 4 + below(r * 0x9E3779B1u, 8);
    log_.push_back({chosen_p, chosen_q});
    ++since_;
    return true;
  }

  bool pair_makes_duplicate(int p1, int p2, int q1, int q2) const {
    const int h = gpu(p1), g = gpu(q1);
    return copies_on(g, expert(p1), {q1, q2}) > 0 || copies_on(g, expert(p2), {q1, q2}) > 0 ||
           copies_on(h, expert(q1), {p1, p2}) > 0 || copies_on(h, expert(q2), {p1, p2}) > 0;
  }

  bool exchange_pairs(const Ends& e) {
    const int places = layer_.places(), rounded = (layer_.gpus + 15) / 16 * 16,
              count = std::min(rounded, 64);
    const int64_t n = places * (places - 1) / 2;
    spent_ += 1 + n * n * count / 4096;
    const int first = count == rounded ? 0 : 16 * below(next(), rounded / 16);
    std::vector<std::pair<int, int>> pairs;
    for (int i = 0; i < places; ++i)
      for (int j = i + 1; j < places; ++j) pairs.push_back({i, j});
    const std::vector<int64_t> load = loads();
    const std::vector<int> item = items();
    int64_t least = 2 * e.most;
    int chosen[4] = {-1};
    for (int block = first; block < first + count; block += 16)
      for (const auto& [i, j] : pairs)
        for (int z = 0; z < 16; ++z) {
          const int g = block % rounded + z;
          if (g >= layer_.gpus || g == e.heaviest) continue;
          const int q1 = item[g * places + i], q2 = item[g * places + j];
          for (const auto& [a, b] : pairs) {
            const int p1 = item[e.heaviest * places + a], p2 = item[e.heaviest * places + b];
            const int64_t d = size(p1) + size(p2) - size(q1) - size(q2);
            const int64_t value = e.most + load[g] + std::abs(2 * d - (e.most - load[g]));
            if (value >= least || pair_makes_duplicate(p1, p2, q1, q2)) continue;
            least = value;
            std::copy_n(std::initializer_list<int>{p1, q1, p2, q2}.begin(), 4, chosen);
          }
        }
    if (chosen[0] < 0) return false;
    exchange(chosen[0], chosen[1]);
    exchange(chosen[2], chosen[3]);
    return true;
  }

  void walk(const Ends& e) {
    ++spent_;
    for (int t = std::clamp(layer_.gpus / 8, 2, 16); t > 0; --t) {
      const int p = below(next(), layer_.slots),
                after = state_.p.first[expert(p)] + state_.p.count[expert(p)];
      if (gpu(p) == e.heaviest) continue;
      const std::vector<int64_t> load = loads();
      for (int q = after; q < std::min(after + 8, layer_.slots); ++q) {
        if (gpu(q) == e.heaviest || gpu(q) == gpu(p)) continue;
        if (load[gpu(q)] + size(p) - size(q) >= e.most || makes_duplicate(p, q)) continue;
        exchange(p, q);
        break;
      }
    }
  }

  bool recount(int h) {
    const std::vector<int64_t> load = loads();
    const std::vector<int> item = items();
    const Counts& c = state_.p.count;
    int64_t least = kNone;
    int chosen = -1, gets = -1;
    for (int t = 0; t < 8; ++t, ++draws_) {
      const uint32_t r = layer_.u(6, chain_, 2 * draws_), r2 = layer_.u(6, chain_, 2 * draws_ + 1);
      const int s = below(r, layer_.slots), a = expert(s), g = gpu(s);
      const int b = r2 % 2 ? expert(item[h * layer_.places() + below(r2, layer_.places())])
                           : expert(below(r2, layer_.slots));
      if (c[a] == 1 || a == b || c[b] >= layer_.most || copies_on(g, b) > 0) continue;
      int64_t x = load[g] - size(s) + layer_.q[b] / (c[b] + 1);
      for (int p = state_.p.first[a]; p < state_.p.first[a] + c[a]; ++p)
        if (p != s) x = std::max(x, load[gpu(p)] + layer_.q[a] / (c[a] - 1) - size(s));
      if (x >= least) continue;
      least = x;
      chosen = s;
      gets = b;
    }
    if (chosen < 0) return false;
    saved_ = state_;
    change_expert(chosen, gets);
    until_.assign(layer_.slots, 0);
    spent_ += layer_.slots / 12;
    recounted_ = true;
    patience_ = std::max(40, layer_.slots / 4);
    log_.clear();
    enough_ = nearly_mean();
    return true;
  }

  // The slot of position s now holds b, as its last copy; other copies keep their order.
  void change_expert(int s, int b) {
    std::vector<std::vector<int>> slots(layer_.experts());  // of an expert's copies
    for (int p = 0; p < layer_.slots; ++p)
      if (p != s) slots[expert(p)].push_back(state_.slot[p]);
    slots[b].push_back(state_.slot[s]);
    Counts counts;
    for (const auto& own : slots) counts.push_back(static_cast<int>(own.size()));
    state_.p = SortedReplicas(layer_, counts);
    for (int e = 0; e < layer_.experts(); ++e)
      std::copy(slots[e].begin(), slots[e].end(), state_.slot.begin() + state_.p.first[e]);
  }

  const Layer& layer_;
  int chain_, fine_;
  State state_;
  std::optional<State> saved_;
  std::vector<int> until_;                // by position: tabu while until > now
  std::vector<std::pair<int, int>> log_;  // swaps since the best state
  int64_t best_ = 0, enough_ = 0, spent_ = 0;
  int now_ = 0, since_ = 0, patience_ = 20, turn_ = 0;
  uint32_t draws_ = 0;
  bool recounted_ = false;
};

}  // namespace eplb::tests::plain
