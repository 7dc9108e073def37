// Changes a placement by few moves until its tokens can be split such that no GPU is above a goal:
// see docs/algorithms.md, section 19. A step replaces a replica of an expert that has others, or
// exchanges two; the one that takes most tokens above the goal away for each move is made.
#pragma once

#include "solver/split/split.h"

EPLB_STAGE_BEGIN

// What placements there may be, and how much work finding one may be.
struct SplitMoveLimits {
  int64_t goal;       // tokens of a GPU with pace kFastest
  int moves;          // in all
  int arrivals;       // of a GPU
  int most_replicas;  // of an expert
  int nodes;          // that experts stay on
  int tries;          // of a step, if one of them helped
  int64_t looks;      // at edges and slots
};

// Slots to be exchanged, or a slot and the expert that it is to hold.
struct SplitChange {
  int64_t score;  // what it could take away, or has, for each move; more is better
  int room;       // below the goal, where it leads
  int slot, other;
  bool is_exchange;

  EPLB_FN bool is_before(const SplitChange& that) const {
    if (score != that.score) return score > that.score;
    if (room != that.room) return room > that.room;
    if (is_exchange != that.is_exchange) return that.is_exchange;
    return slot != that.slot ? slot < that.slot : other < that.other;
  }
};

struct SplitMovesMemory {
  static constexpr int kMostChanges = 128;

  SplitGraph graph;
  GraphWorkspace making;
  SplitWorkspace split;
  View<int> count, inside, home;  // by expert: slots; is it on closed GPUs only; its node
  View<int> mark;                 // by expert: of one GPU at a time
  View<int> closed, room;         // by GPU: can its tokens not get to one with room; room itself
  View<int> arrivals, changed;    // by GPU; was one of its slots changed?
  View<SplitChange> change;       // the best ones, in order

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    graph.lay_out(arena, problem);
    making.lay_out(arena, problem);
    split.lay_out(arena, problem);
    arena.take(problem.experts, count, inside, home, mark);
    arena.take(problem.cluster.gpus, closed, room, arrivals, changed);
    change = arena.take<SplitChange>(kMostChanges + 1);
  }
};

// By a team of one lane.
class SplitMoves {
 public:
  // was[slot]: the current placement, row[slot]: one that is to be changed; -1: no expert.
  EPLB_FN SplitMoves(const Problem& problem, const SplitMoveLimits& limits, View<int> tokens,
                     const int* was, View<int> row, const SplitMovesMemory& memory)
      : problem_(problem),
        cluster_(problem.cluster),
        limits_(limits),
        tokens_(tokens),
        was_(was),
        row_(row),
        at_(memory),
        each_(slots_per_gpu(problem.cluster)),
        looks_(limits.looks) {}

  EPLB_FN void run(Team auto& team) {
    count_all();
    above_ = tokens_above(team);
    while (above_ > 0 && looks_ > 0 && !team.stopped()) {
      look_at_gpus();
      const SplitChange change = best_change(team);
      if (change.score == 0) break;
      moves_ += moves_of(change);
      note(change);
      make(change);
      at_.changed[gpu_of(change.slot)] = 1;
      if (change.is_exchange) at_.changed[gpu_of(change.other)] = 1;
      above_ = tokens_above(team);
    }
    put_back();
  }

 private:
  EPLB_FN int gpu_of(int slot) const { return slot / each_; }
  EPLB_FN bool holds(int gpu, int e) const { return is_in(row_.data, gpu, e); }
  EPLB_FN bool held(int gpu, int e) const { return is_in(was_, gpu, e); }
  EPLB_FN bool is_in(const int* row, int gpu, int e) const {
    for (int k = 0; k < each_; ++k)
      if (row[gpu * each_ + k] == e) return true;
    return false;
  }

  EPLB_FN void count_all() {
    for (int e = 0; e < problem_.experts; ++e) at_.count[e] = 0;
    for (int g = 0; g < cluster_.gpus; ++g) {
      at_.changed[g] = 0;
      at_.arrivals[g] = count_arrivals(g);
      moves_ += at_.arrivals[g];
    }
    for (int slot = 0; slot < cluster_.slots; ++slot) {
      if (row_[slot] < 0) continue;
      ++at_.count[row_[slot]];
      at_.home[row_[slot]] = home_of(gpu_of(slot));
    }
  }
  // Experts of a GPU that it did not have.
  EPLB_FN int count_arrivals(int g) const {
    for_each_slot(g, [&](int slot) {
      if (row_[slot] >= 0) at_.mark[row_[slot]] = 1;
    });
    for_each_slot(g, [&](int slot) {
      if (was_[slot] >= 0) at_.mark[was_[slot]] = 0;
    });
    int arrivals = 0;
    for_each_slot(g, [&](int slot) {
      if (row_[slot] < 0) return;
      arrivals += at_.mark[row_[slot]];
      at_.mark[row_[slot]] = 0;
    });
    return arrivals;
  }
  EPLB_FN void for_each_slot(int g, auto f) const {
    for (int slot = g * each_; slot < (g + 1) * each_; ++slot) f(slot);
  }
  // The node that an expert on a GPU cannot leave.
  EPLB_FN int home_of(int gpu) const { return limits_.nodes == 1 ? 0 : node_of(cluster_, gpu); }

  EPLB_FN int64_t tokens_above(Team auto& team) {
    make_graph(team, problem_, row_.data, at_.making, at_.graph);
    const Splitter splitter(cluster_, at_.graph, tokens_, 0, at_.split);
    const auto [tokens, work] = splitter.split_to(team, {limits_.goal, kFastest}, looks_);
    looks_ -= work + cluster_.slots;
    return tokens;
  }
  // After a split.
  EPLB_FN void look_at_gpus() {
    for (int e = 0; e < problem_.experts; ++e) at_.inside[e] = 1;
    for (int g = 0; g < cluster_.gpus; ++g) {
      at_.closed[g] = at_.split.steps[g] == kNever;
      at_.room[g] = larger(0, at_.split.most[g] - at_.split.load[g]);
      for (int slot = g * each_; slot < (g + 1) * each_ && !at_.closed[g]; ++slot)
        if (row_[slot] >= 0) at_.inside[row_[slot]] = 0;
    }
  }

  // ----------------------------------------------------------------------------------- the choice

  // Of score 0 if none helps.
  EPLB_FN SplitChange best_change(Team auto& team) {
    constexpr int kMostRounds = 64;
    SplitChange best{}, last{kNever64, 0, 0, 0, false};
    for (int round = 0; round < kMostRounds; ++round) {
      const int found = list_changes(last);
      for (int i = 0; i < found; ++i) {
        const SplitChange& change = at_.change[i];
        if (change.score <= best.score || looks_ <= 0 || team.stopped()) return best;
        const int64_t score = try_out(team, change);
        if (score > best.score) {
          best = change;
          best.score = score;
        }
        if (best.score > 0 && round * kMost + i + 1 >= limits_.tries) return best;
      }
      if (found < kMost) return best;
      last = at_.change[kMost - 1];
    }
    return best;
  }
  EPLB_FN int64_t try_out(Team auto& team, const SplitChange& change) {
    const int slot = change.slot, before = row_[slot];
    make(change);
    const int64_t less = above_ - tokens_above(team);
    if (change.is_exchange)
      make(change);
    else
      row_[slot] = before;
    return less <= 0 ? 0 : score_of(less, moves_of(change));
  }
  EPLB_FN void make(const SplitChange& change) const {
    const int slot = change.slot, before = row_[slot];
    row_[slot] = change.is_exchange ? row_[change.other] : change.other;
    if (change.is_exchange) row_[change.other] = before;
  }
  // Without moves it is worth more than anything with one.
  EPLB_FN static int64_t score_of(int64_t less, int moves) {
    return moves <= 0 ? 8 * less : moves == 1 ? 2 * less : less;
  }
  // What a GPU gets counts unless it had that before.
  EPLB_FN int moves_of(const SplitChange& change) const {
    const int slot = change.slot, e = row_[slot];
    const int f = change.is_exchange ? row_[change.other] : change.other;
    int moves = arrivals_of(gpu_of(slot), e, f);
    if (change.is_exchange) moves += arrivals_of(gpu_of(change.other), f, e);
    return moves;
  }
  EPLB_FN int arrivals_of(int gpu, int leaves, int comes) const {
    const bool is_known = leaves < 0 || held(gpu, leaves);
    return !held(gpu, comes) - !is_known;
  }
  EPLB_FN void note(const SplitChange& change) const {
    const int slot = change.slot, e = row_[slot];
    const int f = change.is_exchange ? row_[change.other] : change.other;
    at_.arrivals[gpu_of(slot)] += arrivals_of(gpu_of(slot), e, f);
    if (change.is_exchange) {
      at_.arrivals[gpu_of(change.other)] += arrivals_of(gpu_of(change.other), f, e);
      return;
    }
    if (e >= 0) --at_.count[e];
    ++at_.count[f];
  }

  // The first kMost that are possible and come after `last`. Returns how many.
  EPLB_FN int list_changes(const SplitChange& last) {
    int found = 0;
    for (int slot = 0; slot < cluster_.slots && looks_ > 0; ++slot) {
      const int g = gpu_of(slot), e = row_[slot];
      if (!at_.closed[g]) {
        if (is_open(cluster_, slot) && (e < 0 || at_.count[e] > 1))
          found = list_replacements(slot, last, found);
      } else if (e >= 0 && at_.inside[e] && at_.count[e] == 1) {
        found = list_exchanges(slot, last, found);
      }
    }
    return found;
  }
  EPLB_FN int list_replacements(int slot, const SplitChange& last, int found) {
    const int g = gpu_of(slot);
    looks_ -= problem_.experts;
    for (int e = 0; e < problem_.experts; ++e) {
      if (!at_.inside[e] || !is_heavy(e) || at_.count[e] >= limits_.most_replicas) continue;
      if (at_.home[e] != home_of(g) || holds(g, e)) continue;
      looks_ -= 3 * each_;
      const SplitChange change{0, at_.room[g], slot, e, false};
      found = list(change, tokens_[e], last, found);
    }
    return found;
  }
  EPLB_FN int list_exchanges(int slot, const SplitChange& last, int found) {
    const int g = gpu_of(slot), e = row_[slot];
    looks_ -= cluster_.slots;
    for (int other = 0; other < cluster_.slots; ++other) {
      const int h = gpu_of(other), f = row_[other];
      if (f < 0 || at_.closed[h] || at_.home[e] != home_of(h) || at_.home[f] != home_of(g))
        continue;
      // Only what is larger leaves room.
      if (int64_t{tokens_[e]} * at_.count[f] <= tokens_[f] || holds(g, f) || holds(h, e)) continue;
      looks_ -= 6 * each_;
      const int less = tokens_[e] - (at_.count[f] == 1 ? tokens_[f] : 0);
      const SplitChange change{0, at_.room[h], slot, other, true};
      found = list(change, less, last, found);
    }
    return found;
  }
  // Could it matter? A GPU's load is many times as much.
  EPLB_FN bool is_heavy(int e) const {
    constexpr int kParts = 64;
    return int64_t{tokens_[e]} * kParts > limits_.goal;
  }
  EPLB_FN int list(SplitChange change, int most, const SplitChange& last, int found) const {
    const int moves = moves_of(change);
    change.score = score_of(most < above_ ? most : above_, moves);
    if (!last.is_before(change) || !keeps_limits(change, moves)) return found;
    if (found == kMost && !change.is_before(at_.change[kMost - 1])) return found;
    int place = found < kMost ? found : kMost - 1;
    for (; place > 0 && change.is_before(at_.change[place - 1]); --place)
      at_.change[place] = at_.change[place - 1];
    at_.change[place] = change;
    return smaller(found + 1, kMost);
  }
  EPLB_FN bool keeps_limits(const SplitChange& change, int moves) const {
    if (moves_ + moves > limits_.moves) return false;
    const int slot = change.slot, e = row_[slot];
    const int f = change.is_exchange ? row_[change.other] : change.other;
    return keeps_arrivals(gpu_of(slot), e, f) &&
           (!change.is_exchange || keeps_arrivals(gpu_of(change.other), f, e));
  }
  EPLB_FN bool keeps_arrivals(int gpu, int leaves, int comes) const {
    return at_.arrivals[gpu] + arrivals_of(gpu, leaves, comes) <= limits_.arrivals;
  }

  // -------------------------------------------------------------------------------------- the end

  // What is on a GPU that had it returns to its slot. Where nothing was changed, it is there.
  EPLB_FN void put_back() const {
    for (int g = 0; g < cluster_.gpus; ++g)
      if (at_.changed[g]) put_back(g);
  }
  EPLB_FN void put_back(int g) const {
    const int open = g * each_ + open_slots(cluster_, g);
    for_each_slot(g, [&](int slot) {
      if (row_[slot] >= 0) at_.mark[row_[slot]] = g * each_;
    });
    for (int slot = g * each_; slot < open; ++slot)
      while (row_[slot] >= 0 && was_[slot] != row_[slot]) {
        const int home = next_home(row_[slot], open);
        if (home == open) break;
        const int e = row_[slot];
        row_[slot] = row_[home];
        row_[home] = e;
      }
  }
  // From where it was looked for last, a slot that had an expert and does not hold it; or `end`.
  EPLB_FN int next_home(int e, int end) const {
    int home = at_.mark[e];
    while (home < end && (was_[home] != e || row_[home] == e)) ++home;
    at_.mark[e] = home;
    return home;
  }

  static constexpr int kMost = SplitMovesMemory::kMostChanges;

  const Problem& problem_;
  const Cluster& cluster_;
  const SplitMoveLimits limits_;
  const View<int> tokens_;
  const int* was_;
  const View<int> row_;
  const SplitMovesMemory& at_;
  const int each_;
  int64_t looks_, above_ = 0;
  int moves_ = 0;
};

EPLB_STAGE_END
