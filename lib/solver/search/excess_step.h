// The best change for a GPU that is above its limit, by one measure: the *excess*, the sum over
// GPUs of what their load is above their limit. See docs/algorithms.md, section 12.3.
#pragma once

#include "solver/search/excess_marks.h"

EPLB_STAGE_BEGIN

// A search for the best change that relieves one GPU, the head. kCapped: is the number of arrivals
// limited? kMany: are there several windows? kPriced: has load a price?
template <bool kCapped, bool kMany, bool kPriced> class ExcessStep {
 public:
  EPLB_FN ExcessStep(const Arrangement& state, const Cluster& cluster,
                     const ExcessWorkspace& workspace, const StepRules& rules)
      : state_(state),
        cluster_(cluster),
        workspace_(workspace),
        rules_(rules),
        joint_(state, workspace) {}

  // What is the same for all heads while the state stays as it is. Returns how many candidates
  // there are.
  EPLB_FN int weigh(Team auto& team) const {
    make_noise(team, state_, workspace_, rules_.salt);
    block_experts(team, state_, workspace_, state_.totals[0].empty < state_.most_empty);
    return weigh_copies<kMany, kPriced>(team, state_, workspace_);
  }
  // Ties: lowest row of the head; there, changes with other GPUs first, swaps before re-targets, at
  // the lowest place; then re-targets of the row itself, to the lowest expert.
  EPLB_FN Change best(Team auto& team, int candidates, int head) {
    candidates_ = candidates;
    head_ = head;
    mark_head(team, state_, cluster_, workspace_, head_);
    if constexpr (kPriced) price_head(team, state_, workspace_.costs, head_);
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
    int room, one_move, no_move, urgency;

    // What a gain is worth that costs cost().
    EPLB_INLINE EPLB_FN auto worth(auto gain, auto cost) const {
      if constexpr (kPriced)
        return smaller(larger(gain, -kMostGain), kMostGain) * urgency - cost();
      else
        return gain;
    }
    EPLB_INLINE EPLB_FN auto operator()(auto value, auto change, auto noise) const {
      const auto kept = smaller(larger(value, 0), kMostValue);
      const auto shift = choose(change > 0, larger(one_move + 1 - change, 0), no_move);
      const auto score = kept << shift;
      return choose(change > room, 0, score + (score >> 10) * noise);
    }
  };
  EPLB_FN Score score() const {
    const int room = smaller(rules_.budget - state_.moves(), 2);
    return rules_.counts_moves ? Score{room, 1, 3, rules_.urgency}
                               : Score{room, 0, 0, rules_.urgency};
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

  EPLB_INLINE EPLB_FN int head_excess(int t) const {
    return state_.excess[t * state_.stride + head_];
  }
  EPLB_INLINE EPLB_FN int head_size(int t, int row) const {
    return state_.size[t * state_.places + row * state_.stride + head_];
  }
  EPLB_FN int head_over() const { return over_of<kMany>(state_, workspace_, head_); }

  // What all swaps of a row of the head have in common.
  struct SwapRow {
    View<int> arrival, noise;
    int own_over, own_new, byte;
    Score score;
    Caps caps;
    PriceMarks costs;

    EPLB_INLINE EPLB_FN auto scored(auto gain, int at, auto g, auto change) const {
      auto cost = [&]() EPLB_INLINE {
        return costs.swap_to_head.from(at)[g] + costs.swap_from_head[g];
      };
      return score(score.worth(gain, cost), change, noise.from(at)[g] ^ byte);
    }
  };
  EPLB_INLINE EPLB_FN SwapRow swap_row(int row) const {
    return {.arrival = workspace_.arrival,
            .noise = workspace_.noise,
            .own_over = head_over(),
            .own_new = state_.is_new[row * state_.stride + head_],
            .byte = own_byte(rules_.salt, row, 0),
            .score = score(),
            .caps = caps_of(row),
            .costs = workspace_.costs};
  }
  // What a row of the head gives for one of another GPU: f(auto gpu)(int row). left(gpu)(int at) is
  // what is above the limits of both after a swap with that row, from place `at` on.
  EPLB_INLINE EPLB_FN auto scored_swaps(int row, auto left) const {
    return [common = swap_row(row), left, stride = state_.stride, windows = state_.windows,
            over = workspace_.over, mark = workspace_.mark](auto g) EPLB_INLINE {
      const auto pair = mark[g];
      auto before = over[g] + common.own_over;
      for (int t = 1; kMany && t < windows; ++t) before = before + over.from(t * stride)[g];
      return [=, left_there = left(g)](int other_row) EPLB_INLINE {
        const int at = other_row * stride;
        auto change = pair - common.own_new + common.arrival.from(at)[g];
        if constexpr (kCapped) change = change + common.caps.forbidden(at, g, pair);
        return common.scored(before - left_there(at), at, g, change);
      };
    };
  }
  EPLB_INLINE EPLB_FN auto swaps(int row) const {
    if constexpr (kMany)
      return scored_swaps(row, left_in_all(row));
    else
      return scored_swaps(row, left_in_one(row));
  }
  EPLB_INLINE EPLB_FN auto left_in_one(int row) const {
    return [size = state_.size, excess = state_.excess, own_excess = head_excess(0),
            own_size = head_size(0, row)](auto g) EPLB_INLINE {
      return [=, there = excess[g]](int at) EPLB_INLINE {
        const auto less = own_size - size.from(at)[g];
        return larger(own_excess - less, 0) + larger(there + less, 0);
      };
    };
  }
  EPLB_INLINE EPLB_FN auto left_in_all(int row) const {
    return [size = state_.size, excess = state_.excess, stride = state_.stride,
            places = state_.places, windows = state_.windows, head = head_,
            own_place = row * state_.stride + head_](auto g) EPLB_INLINE {
      return [=](int at) EPLB_INLINE {
        auto left_in = [=](int t) EPLB_INLINE {
          const View<int> sizes = size.from(t * places), excesses = excess.from(t * stride);
          const auto less = sizes[own_place] - sizes.from(at)[g];
          return larger(excesses[head] - less, 0) + larger(excesses[g] + less, 0);
        };
        auto left = left_in(0);
        for (int t = 1; t < windows; ++t) left = left + left_in(t);
        return left;
      };
    };
  }
  // What is above the limits of a candidate's GPU once it has become expert e: f(auto candidate).
  EPLB_INLINE EPLB_FN auto left_elsewhere(int e) const {
    return [list = workspace_.candidates, share_more = state_.share_more.from(e),
            kinds = state_.kinds(), windows = state_.windows](auto i) EPLB_INLINE {
      auto left = larger(list.rest[i] + share_more[0], 0);
      for (int t = 1; kMany && t < windows; ++t)
        left = left + larger(list.rest.from(t * list.most)[i] + share_more[t * kinds], 0);
      return left;
    };
  }
  // Candidates elsewhere that become the expert of a row of the head: f(auto candidate).
  EPLB_INLINE EPLB_FN auto retargets(int row) const {
    const int e = state_.expert[row * state_.stride + head_];
    return [=, score = score(), list = workspace_.candidates, mark = workspace_.mark,
            left = left_elsewhere(e), relief = workspace_.relief[e],
            blocked = workspace_.blocked[e], byte = own_byte(rules_.salt, row, 1),
            caps = caps_of(row), copy_there = workspace_.costs.copy_there](auto i) EPLB_INLINE {
      const auto pair = mark[list.gpu[i]];
      auto change = pair + blocked - list.is_new[i];
      if constexpr (kCapped)
        change = change + caps.forbidden_there(list.gpu[i], pair, list.is_new[i]);
      auto cost = [&]() EPLB_INLINE { return list.cost[i] + copy_there[list.gpu[i]]; };
      return score(score.worth(list.saved[i] + relief - left(i), cost), change,
                   list.noise[i] ^ byte);
    };
  }
  EPLB_FN void mark_elsewhere(Team auto& team, int e) const {
    mark_gpus(team, state_, cluster_, workspace_, e);
    if constexpr (kPriced) price_gpus(team, state_, workspace_.costs, head_, e);
  }
  EPLB_FN int best_elsewhere(Team auto& team, int row) const {
    const int e = state_.expert[row * state_.stride + head_];
    if (!state_.is_expert(e)) return 0;
    mark_elsewhere(team, e);
    joint_.correct_burdens(team, e);
    const int swap = team.max_in_columns(state_.stride, state_.rows, swaps(row));
    const int retarget = team.max(0, candidates_, retargets(row));
    joint_.restore_burdens(team);
    return larger(swap, retarget);
  }
  EPLB_FN Change find_elsewhere(Team auto& team, int row, int score) const {
    const int place = row * state_.stride + head_, e = state_.expert[place];
    mark_elsewhere(team, e);
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

  // What the head is above its limits without a row, in every window.
  EPLB_FN void weigh_rest(Team auto& team, int row) const {
    const int place = row * state_.stride + head_;
    const int others = copies_together(state_, place) - 1;
    team.for_each(state_.windows, [&](int t) {
      workspace_.rest[t] = head_excess(t) - head_size(t, row) + grown(state_, t, place, others);
    });
  }
  // What is above the head's limits once that row has become another expert: f(auto expert).
  EPLB_INLINE EPLB_FN auto left_at_head() const {
    return [rest = workspace_.rest, share_more = state_.share_more, kinds = state_.kinds(),
            windows = state_.windows](auto e) EPLB_INLINE {
      auto left = larger(share_more[e] + rest[0], 0);
      for (int t = 1; kMany && t < windows; ++t)
        left = left + larger(share_more.from(t * kinds)[e] + rest[t], 0);
      return left;
    };
  }
  // The row of the head becomes another expert: f(auto expert).
  EPLB_INLINE EPLB_FN auto own(int row) const {
    const int place = row * state_.stride + head_;
    return [=, score = score(), mark = workspace_.head_mark, relief = workspace_.relief,
            blocked = workspace_.blocked, noise = workspace_.noise.from(state_.places),
            left = left_at_head(), gain = head_over() - state_.burden[place],
            own_new = state_.is_new[place], byte = own_byte(rules_.salt, row, 2),
            caps = caps_of(row), copy_at_head = workspace_.costs.copy_at_head,
            leaving = own_cost(place)](auto e) EPLB_INLINE {
      auto change = mark[e] + blocked[e] - own_new;
      if constexpr (kCapped) change = change + caps.forbidden_here(mark[e]);
      auto cost = [&]() EPLB_INLINE { return copy_at_head[e] + leaving; };
      return score(score.worth(gain + relief[e] - left(e), cost), change, noise[e] ^ byte);
    };
  }
  EPLB_FN int own_cost(int place) const { return kPriced ? cost_of_leaving(state_, place) : 0; }
  EPLB_FN bool may_change(int row) const {
    const int e = state_.expert[row * state_.stride + head_];
    return e == state_.void_expert() || (state_.is_expert(e) && state_.copies[e] > 1);
  }
  EPLB_FN int best_own(Team auto& team, int row) const {
    if (!may_change(row)) return 0;
    const int place = row * state_.stride + head_;
    weigh_rest(team, row);
    joint_.correct_reliefs(team, place);
    const int best = team.max(0, state_.kinds(), own(row));
    joint_.restore_reliefs(team);
    return best;
  }
  EPLB_FN Change find_own(Team auto& team, int row, int score) const {
    const int place = row * state_.stride + head_;
    weigh_rest(team, row);
    joint_.correct_reliefs(team, place);
    const auto candidates = own(row);
    const int e =
        team.find(0, state_.kinds(), [=](auto expert) { return candidates(expert) == score; });
    joint_.restore_reliefs(team);
    return {Change::kRetarget, place, e};
  }

  const Arrangement& state_;
  const Cluster& cluster_;
  const ExcessWorkspace& workspace_;
  const StepRules& rules_;
  int head_ = 0, candidates_ = 0;
  JointHosts<kMany> joint_;
};

EPLB_STAGE_END
