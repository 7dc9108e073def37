// The best change for a GPU that is above its limit, by one measure: the *excess*, the sum over
// GPUs of what their load is above their limit. See docs/algorithms.md, section 12.3.
#pragma once

#include "solver/search/excess_marks.h"

EPLB_STAGE_BEGIN

// A search for the best change that relieves one GPU, the head. kCapped: is the number of arrivals
// limited?
template <bool kCapped> class ExcessStep {
 public:
  EPLB_FN ExcessStep(const Arrangement& state, const Cluster& cluster,
                     const ExcessWorkspace& workspace, const StepRules& rules, int head)
      : state_(state),
        cluster_(cluster),
        workspace_(workspace),
        rules_(rules),
        head_(head),
        joint_(state, workspace) {}

  // Ties: lowest row of the head; there, changes with other GPUs first, swaps before re-targets, at
  // the lowest place; then re-targets of the row itself, to the lowest expert.
  EPLB_FN Change best(Team auto& team) {
    make_noise(team, state_, workspace_, rules_.salt);
    candidates_ = weigh_copies(team, state_, workspace_);
    mark_head(team, state_, cluster_, workspace_, head_);
    block_experts(team, state_, workspace_, state_.totals[0].empty < state_.most_empty);
    int best_score = 0, best_row = 0;
    bool elsewhere = false;
    for (int row = 0; row < state_.rows; ++row) {
      const int other = best_elsewhere(team, row), own = best_own(team, row);
      if (larger(other, own) <= best_score) continue;
      best_score = larger(other, own);
      best_row = row;
      elsewhere = other == best_score;
    }
    if (best_score == 0) return {};
    return elsewhere ? find_elsewhere(team, best_row, best_score)
                     : find_own(team, best_row, best_score);
  }

 private:
  // A score is worth more the fewer moves it takes.
  struct Score {
    int room, one_move, no_move;

    EPLB_INLINE EPLB_FN auto operator()(auto value, auto change, auto noise) const {
      const auto kept = smaller(larger(value, 0), kMostValue);
      const auto shift = choose(change > 0, larger(one_move + 1 - change, 0), no_move);
      const auto score = kept << shift;
      return choose(change > room, 0, score + (score >> 10) * noise);
    }
  };
  EPLB_FN Score score() const {
    const int room = smaller(rules_.budget - state_.moves(), 2);
    return rules_.counts_moves ? Score{room, 1, 3} : Score{room, 0, 0};
  }

  // What the limit on arrivals forbids: a new pair on a GPU that has as many as it may, unless it
  // takes the place of one.
  struct Caps {
    View<int> arrivals, is_new, arrival;
    int most, here;  // here: kForbidden if the row of the head may not become a new pair

    EPLB_INLINE EPLB_FN auto forbidden_there(auto g, auto pair, auto was_new) const {
      return choose((arrivals[g] >= most) & ((pair & kNewPair) > was_new), kForbidden, 0);
    }
    EPLB_INLINE EPLB_FN auto forbidden_here(auto pair) const { return (pair & kNewPair) * here; }
    EPLB_INLINE EPLB_FN auto forbidden(int at, auto g, auto pair) const {
      const auto was_new = is_new.from(at)[g];
      return forbidden_there(g, pair, was_new) + forbidden_here(arrival.from(at)[g] + was_new);
    }
  };
  EPLB_INLINE EPLB_FN Caps caps_of(int row) const {
    const bool full = state_.arrivals[head_] >= state_.most_arrivals;
    const bool was_new = state_.is_new[row * state_.stride + head_] != 0;
    return {state_.arrivals, state_.is_new, workspace_.arrival, state_.most_arrivals,
            full && !was_new ? kForbidden : 0};
  }

  // What all swaps of a row of the head have in common.
  struct SwapRow {
    View<int> size, arrival, noise;
    int stride, own_excess, own_over, own_size, own_new, byte;
    Score score;
    Caps caps;
  };
  EPLB_INLINE EPLB_FN SwapRow swap_row(int row) const {
    const int place = row * state_.stride + head_;
    return {.size = state_.size,
            .arrival = workspace_.arrival,
            .noise = workspace_.noise,
            .stride = state_.stride,
            .own_excess = state_.excess[head_],
            .own_over = workspace_.over[head_],
            .own_size = state_.size[place],
            .own_new = state_.is_new[place],
            .byte = own_byte(rules_.salt, row, 0),
            .score = score(),
            .caps = caps_of(row)};
  }
  // What a row of the head gives for one of another GPU: f(auto gpu)(int row).
  EPLB_INLINE EPLB_FN auto swaps(int row) const {
    return [common = swap_row(row), excess = state_.excess, over = workspace_.over,
            mark = workspace_.mark](auto g) EPLB_INLINE {
      const auto there = excess[g], before = over[g] + common.own_over, pair = mark[g];
      return [=](int other_row) EPLB_INLINE {
        const int at = other_row * common.stride;
        const auto less = common.own_size - common.size.from(at)[g];
        const auto after = larger(common.own_excess - less, 0) + larger(there + less, 0);
        auto change = pair - common.own_new + common.arrival.from(at)[g];
        if constexpr (kCapped) change = change + common.caps.forbidden(at, g, pair);
        return common.score(before - after, change, common.noise.from(at)[g] ^ common.byte);
      };
    };
  }
  // Candidates elsewhere that become the expert of a row of the head: f(auto candidate).
  EPLB_INLINE EPLB_FN auto retargets(int row) const {
    const int e = state_.expert[row * state_.stride + head_];
    return [=, score = score(), list = workspace_.candidates, mark = workspace_.mark,
            share_more = state_.share_more[e], relief = workspace_.relief[e],
            blocked = workspace_.blocked[e], byte = own_byte(rules_.salt, row, 1),
            caps = caps_of(row)](auto i) EPLB_INLINE {
      const auto gain = list.saved[i] + relief - larger(list.rest[i] + share_more, 0);
      const auto pair = mark[list.gpu[i]];
      auto change = pair + blocked - list.is_new[i];
      if constexpr (kCapped)
        change = change + caps.forbidden_there(list.gpu[i], pair, list.is_new[i]);
      return score(gain, change, list.noise[i] ^ byte);
    };
  }
  EPLB_FN int best_elsewhere(Team auto& team, int row) const {
    const int e = state_.expert[row * state_.stride + head_];
    if (!state_.is_expert(e)) return 0;
    mark_gpus(team, state_, cluster_, workspace_, e);
    joint_.correct_burdens(team, e);
    const int swap = team.max_in_columns(state_.stride, state_.rows, swaps(row));
    const int retarget = team.max(0, candidates_, retargets(row));
    joint_.restore_burdens(team);
    return larger(swap, retarget);
  }
  EPLB_FN Change find_elsewhere(Team auto& team, int row, int score) const {
    const int place = row * state_.stride + head_, e = state_.expert[place];
    mark_gpus(team, state_, cluster_, workspace_, e);
    const int other = find_place(team, swaps(row), score);
    if (other < state_.places) return {Change::kSwap, place, other};
    joint_.correct_burdens(team, e);
    const auto candidates = retargets(row);
    const View<int> places = workspace_.candidates.place;
    const int first = team.min(
        0, candidates_, [=](auto i) { return choose(candidates(i) == score, places[i], kNever); });
    joint_.restore_burdens(team);
    return {Change::kRetarget, first, e};
  }
  EPLB_FN int find_place(Team auto& team, const auto& candidates, int score) const {
    for (int row = 0; row < state_.rows; ++row) {
      const int g =
          team.find(0, state_.stride, [=](auto gpu) { return candidates(gpu)(row) == score; });
      if (g < state_.stride) return row * state_.stride + g;
    }
    return state_.places;
  }

  // The row of the head becomes another expert: f(auto expert).
  EPLB_INLINE EPLB_FN auto own(int row) const {
    const int place = row * state_.stride + head_;
    return [=, score = score(), mark = workspace_.head_mark, relief = workspace_.relief,
            blocked = workspace_.blocked, share_more = state_.share_more,
            noise = workspace_.noise.from(state_.places),
            rest = state_.excess[head_] - state_.size[place] +
                   (copies_together(state_, place) - 1) * state_.growth[place],
            gain = workspace_.over[head_] - state_.burden[place], own_new = state_.is_new[place],
            byte = own_byte(rules_.salt, row, 2), caps = caps_of(row)](auto e) EPLB_INLINE {
      const auto value = gain + relief[e] - larger(rest + share_more[e], 0);
      auto change = mark[e] + blocked[e] - own_new;
      if constexpr (kCapped) change = change + caps.forbidden_here(mark[e]);
      return score(value, change, noise[e] ^ byte);
    };
  }
  EPLB_FN bool may_change(int row) const {
    const int e = state_.expert[row * state_.stride + head_];
    return e == state_.void_expert() || (state_.is_expert(e) && state_.copies[e] > 1);
  }
  EPLB_FN int best_own(Team auto& team, int row) const {
    if (!may_change(row)) return 0;
    const int place = row * state_.stride + head_;
    joint_.correct_reliefs(team, place, 1);
    const int best = team.max(0, state_.kinds(), own(row));
    joint_.correct_reliefs(team, place, -1);
    return best;
  }
  EPLB_FN Change find_own(Team auto& team, int row, int score) const {
    const int place = row * state_.stride + head_;
    joint_.correct_reliefs(team, place, 1);
    const auto candidates = own(row);
    const int e =
        team.find(0, state_.kinds(), [=](auto expert) { return candidates(expert) == score; });
    joint_.correct_reliefs(team, place, -1);
    return {Change::kRetarget, place, e};
  }

  const Arrangement& state_;
  const Cluster& cluster_;
  const ExcessWorkspace& workspace_;
  const StepRules& rules_;
  int head_;
  int candidates_ = 0;
  JointHosts joint_;
};

EPLB_STAGE_END
