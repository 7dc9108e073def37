// The best change for a GPU that is above its limit, by one measure: the *excess*, the sum over
// GPUs of what their load is above their limit. See docs/algorithms.md, section 12.
#pragma once

#include "solver/search/arrangement.h"

EPLB_STAGE_BEGIN

// Changes of the number of moves are added up with bits above them that forbid: a pair that exists
// already, or may not. Sums of them stay above every budget.
inline constexpr int kNewPair = 1, kForbidden = 256;
inline constexpr int kMostValue = 1 << 27;  // shifted by 3 and with noise, a score fits 31 bits

// How candidates are compared.
struct StepRules {
  int budget;         // new pairs
  bool counts_moves;  // are changes without a move worth more?
  uint32_t salt;      // of the noise on scores; 0: none
};

// What may become another expert: replicas whose expert has others, and empty slots. Those of an
// expert are neighbours.
struct RetargetList {
  View<int> place, gpu;
  View<int> is_new;
  View<int> rest;   // what the GPU is above its limit once the replica is gone; negative below it
  View<int> saved;  // excess there now, less the burden
  View<int> noise;
  View<int> first;  // by expert: its first one

  EPLB_FN void lay_out(Arena& arena, const Arrangement& state) {
    arena.take(state.rows * state.gpus + kRow, place, gpu, is_new, rest, saved, noise);
    first = arena.take<int>(state.kinds());
  }
};

// Candidates at which more is saved than their list says.
struct Correction {
  int from, to, saving;
};

struct ExcessWorkspace {
  View<int> over;       // by GPU: what is above the limit
  View<int> mark;       // by GPU: what an expert of the head would change there
  View<int> head_mark;  // by expert: what it would change at the head
  View<int> relief;     // by expert: how much excess one more copy takes away
  View<int> blocked;    // by expert: kForbidden if it can have no more copies
  View<int> arrival;    // by place: change of moves if the expert comes to the head instead
  View<int> noise;      // by place, then by expert
  View<uint32_t> salt;  // that `noise` was made with
  RetargetList candidates;
  View<Correction> corrections;

  EPLB_FN void lay_out(Arena& arena, const Arrangement& state) {
    arena.take(state.stride, over, mark);
    arena.take(state.kinds(), head_mark, relief, blocked);
    arrival = arena.take<int>(state.places);
    noise = arena.take<int>(state.places + state.kinds());
    salt = arena.take<uint32_t>(1);
    candidates.lay_out(arena, state);
    corrections = arena.take<Correction>(state.rows * state.gpus + 1);
  }
};

// A hash of eight bits for each place or expert.
EPLB_FN auto noise_byte(auto index, int salt) {
  return (scrambled(value_of(index), salt) >> 24) & 255;
}
EPLB_FN int own_byte(uint32_t salt, int row, int kind) {
  return salt == 0 ? 0 : noise_byte(3 * row + kind, static_cast<int>(~salt));
}

EPLB_FN void begin_steps(Team auto& team, const Arrangement& state,
                         const ExcessWorkspace& workspace) {
  team.sweep(state.places + state.kinds(), [=](auto i) { workspace.noise.set(i, 0); });
  team.single([&] { workspace.salt[0] = 0; });
}
EPLB_FN void make_noise(Team auto& team, const Arrangement& state, const ExcessWorkspace& workspace,
                        uint32_t salt) {
  if (workspace.salt[0] == salt) return;
  team.barrier();
  if (salt == 0) return begin_steps(team, state, workspace);
  const View<int> noise = workspace.noise;
  const int seed = scrambled(static_cast<int>(salt), 0);
  team.sweep(state.places + state.kinds(), [=](auto i) { noise.set(i, noise_byte(i, seed)); });
  team.single([&] { workspace.salt[0] = salt; });
}

EPLB_FN void weigh_relief(Team auto& team, const Arrangement& state,
                          const ExcessWorkspace& workspace) {
  const View<int> over = workspace.over, excess = state.excess, relief = workspace.relief;
  team.sweep(state.stride, [=](auto g) { over.set(g, larger(excess[g], 0)); });
  team.sweep(state.kinds(), [=](auto e) { relief.set(e, 0); });
  team.single([&] {
    for (int g = 0; g < state.gpus; ++g) {
      if (over[g] == 0) continue;
      for (int place = g; place < state.places; place += state.stride) {
        const int e = state.expert[place];
        const int less = copies_together(state, place) * (state.share[e] - state.share_more[e]);
        if (is_lowest(state, place)) relief[e] += smaller(over[g], less);
      }
    }
    relief[state.void_expert()] = 0;
  });
}

// Writes candidate i but for the burden, of which it notes what is at its own GPU. Returns that.
EPLB_FN int write_candidate(const Arrangement& state, const ExcessWorkspace& workspace, int i,
                            int place) {
  const RetargetList& list = workspace.candidates;
  const int g = state.gpu[place], excess = state.excess[g], own_growth = state.growth[place];
  const int growth = copies_together(state, place) * own_growth;
  const int burden = larger(excess + growth, 0) - workspace.over[g];
  list.place[i] = place;
  list.gpu[i] = g;
  list.is_new[i] = state.is_new[place];
  list.rest[i] = excess - state.size[place] + growth - own_growth;
  list.saved[i] = workspace.over[g] + burden;
  list.noise[i] = workspace.noise[place];
  return is_lowest(state, place) ? burden : 0;
}
// The candidates of an expert, from number `first` on.
EPLB_FN void list_candidates(const Arrangement& state, const ExcessWorkspace& workspace, int e,
                             int first) {
  const RetargetList& list = workspace.candidates;
  list.first[e] = first;
  int sum = 0, i = first;
  for_each_place(state, e,
                 [&](int place) { sum += write_candidate(state, workspace, i++, place); });
  for (int j = first; j < i; ++j) {
    state.burden[list.place[j]] = sum - (list.saved[j] - workspace.over[list.gpu[j]]);
    list.saved[j] -= sum;
  }
}

// Relief and burden count GPU by GPU, as if none held both the expert that gains a copy and the one
// that loses it. What that is too little is added by JointHosts. Returns the number of candidates.
EPLB_FN int weigh_copies(Team auto& team, const Arrangement& state,
                         const ExcessWorkspace& workspace) {
  weigh_relief(team, state, workspace);
  const int replicated = state.totals[0].replicated, empty = state.totals[0].empty;
  auto expert_of = [&](int i) {
    return i < replicated ? state.replicated[i] : state.void_expert();
  };
  const int count = team.scan(
      replicated + 1, [&](int i) { return i < replicated ? state.copies[expert_of(i)] : empty; },
      [&](int i, int before) { list_candidates(state, workspace, expert_of(i), before); });
  // The last vector of candidates asks for the GPUs of these, too.
  const View<int> gpu = workspace.candidates.gpu.from(count);
  team.for_each(kRow, [&](int i) { gpu[i] = 0; });
  return count;
}

// What each place would change at the head if its expert came there.
EPLB_FN void mark_arrivals(Team auto& team, const Arrangement& state,
                           const ExcessWorkspace& workspace, int head) {
  const View<int> mark = workspace.head_mark, arrival = workspace.arrival;
  const View<int> expert = state.expert, is_new = state.is_new;
  team.sweep(state.places,
             [=](auto place) { arrival.set(place, mark[expert[place]] - is_new[place]); });
  team.for_each(state.rows, [&](int row) { arrival[row * state.stride + head] = kForbidden; });
}

// What experts would change at the head.
EPLB_FN void mark_head(Team auto& team, const Arrangement& state, const Cluster& cluster,
                       const ExcessWorkspace& workspace, int head) {
  const View<int> mark = workspace.head_mark, home = state.home;
  const int node = node_of(cluster, head);
  team.sweep(state.kinds(), [=](auto e) {
    mark.set(e, choose((home[e] < 0) | (home[e] == node), kNewPair, kNewPair + kForbidden));
  });
  team.single([&] {
    const View<int> was = state.was_on(head);
    for (int row = 0; row < state.rows; ++row)
      if (was[row] >= 0) mark[was[row]] &= ~kNewPair;
    for (int place = head; place < state.places; place += state.stride)
      mark[state.expert[place]] |= kForbidden;
    mark[state.void_expert()] = 0;
    mark[state.wall()] = kForbidden;
  });
  mark_arrivals(team, state, workspace, head);
}

EPLB_FN void block_experts(Team auto& team, const Arrangement& state,
                           const ExcessWorkspace& workspace, bool may_empty) {
  const View<int> blocked = workspace.blocked, copies = state.copies;
  const int most = state.most_copies;
  team.sweep(state.kinds(),
             [=](auto e) { blocked.set(e, choose(copies[e] < most, 0, kForbidden)); });
  team.single([&] {
    for (int e = state.wall(); e < state.kinds(); ++e) blocked[e] = kForbidden;
    blocked[state.void_expert()] = may_empty ? 0 : kForbidden;
  });
}

// What expert e would change on each GPU.
EPLB_FN void mark_gpus(Team auto& team, const Arrangement& state, const Cluster& cluster,
                       const ExcessWorkspace& workspace, int e) {
  const View<int> mark = workspace.mark;
  const int home = state.home[e];
  if (home < 0)
    team.sweep(state.stride, [=](auto g) { mark.set(g, kNewPair); });
  else
    team.for_each(state.stride, [&](int g) {
      mark[g] = g < state.gpus && node_of(cluster, g) == home ? kNewPair : kNewPair + kForbidden;
    });
  team.single([&] {
    for (int i = state.first_was[e]; i < state.first_was[e + 1]; ++i)
      mark[state.held[i]] &= ~kNewPair;
    for_each_place(state, e, [&](int place) { mark[state.gpu[place]] |= kForbidden; });
  });
}

// A GPU that holds both, the expert that gains a copy and the one that loses it: by how much less
// its excess grows than relief and burden say.
EPLB_FN int joint_saving(int excess, int less, int more) {
  return larger(excess - less, 0) + larger(excess + more, 0) - larger(excess, 0) -
         larger(excess - less + more, 0);
}

// Corrects burden and relief for one expert while its candidates are looked at, and puts them back.
class JointHosts {
 public:
  EPLB_FN JointHosts(const Arrangement& state, const ExcessWorkspace& workspace)
      : state_(state), workspace_(workspace) {}

  // Expert e gains a copy: what is saved at candidates whose expert is on its GPUs too.
  EPLB_FN void correct_burdens(Team auto& team, int e) const {
    const View<Correction> list = workspace_.corrections;
    team.single([&] {
      int listed = 0;
      for_each_neighbor(e, -1, [&](int host, int place) {
        const int saving = saving_of(host, place);
        if (saving == 0) return;
        const int f = state_.expert[place], first = workspace_.candidates.first[f];
        list[listed++] = {first, first + state_.copies[f], saving};
      });
      list[listed] = {0, 0, 0};
      add_corrections(1);
    });
  }
  EPLB_FN void restore_burdens(Team auto& team) const {
    team.single([&] { add_corrections(-1); });
  }
  // The replica in a place goes: the relief of experts on its expert's other GPUs. sign: 1, or -1
  // to put it back.
  EPLB_FN void correct_reliefs(Team auto& team, int place, int sign) const {
    if (!state_.is_expert(state_.expert[place])) return;
    team.single([&] {
      for_each_neighbor(state_.expert[place], state_.gpu[place], [&](int host, int other) {
        workspace_.relief[state_.expert[other]] += sign * saving_of(other, host);
      });
    });
  }

 private:
  // Calls f(host, place) for the places of an expert, but on one GPU, and what is next to each.
  EPLB_FN void for_each_neighbor(int e, int but_on, auto f) const {
    for_each_place(state_, e, [&](int host) {
      const int g = state_.gpu[host];
      if (g == but_on || !is_lowest(state_, host)) return;
      for (int place = g; place < state_.places; place += state_.stride)
        if (place != host) f(host, place);
    });
  }
  // On the GPU of both places the first's expert gains a copy and the second's loses one.
  EPLB_FN int saving_of(int gains, int loses) const {
    const int excess = state_.excess[state_.gpu[loses]];
    const int more = copies_together(state_, loses) * state_.growth[loses];
    if (more == 0 || excess + more <= 0) return 0;
    if (!is_lowest(state_, gains) || !is_lowest(state_, loses)) return 0;
    const int e = state_.expert[gains];
    const int less = copies_together(state_, gains) * (state_.share[e] - state_.share_more[e]);
    return joint_saving(excess, less, more);
  }
  EPLB_FN void add_corrections(int sign) const {
    const View<int> saved = workspace_.candidates.saved;
    for (int k = 0; workspace_.corrections[k].saving > 0; ++k) {
      const Correction& correction = workspace_.corrections[k];
      for (int i = correction.from; i < correction.to; ++i) saved[i] += sign * correction.saving;
    }
  }

  const Arrangement& state_;
  const ExcessWorkspace& workspace_;
};

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
