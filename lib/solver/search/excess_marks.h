// What the candidates of a step are compared by: for each GPU, place and expert, what a change is
// worth there and what it does to the number of moves. See docs/algorithms.md, section 12.3.
#pragma once

#include "solver/search/excess_prices.h"
#include "solver/search/whole_arrangement.h"

EPLB_STAGE_BEGIN

// Changes of the number of moves are added up with bits above them that forbid: a pair that exists
// already, or may not. What has one is more than any change may add.
inline constexpr int kNewPair = 1, kForbidden = 256;
inline constexpr int kMostValue = 1 << 27;  // shifted by 3 and with noise, a score fits 31 bits
inline constexpr int kMostGain = 1 << 25;   // times the urgency, it fits 31 bits

// How candidates are compared.
struct StepRules {
  int budget;         // new pairs
  bool counts_moves;  // are changes without a move worth more?
  uint32_t salt;      // of the noise on scores; 0: none
  int urgency;        // what excess costs where load has a price: at most kMostUrgency
};
inline constexpr int kMostUrgency = 20;

// What may become another expert: replicas whose expert has others, and empty slots. Those of an
// expert are neighbours.
struct RetargetList {
  View<int> place, gpu;
  View<int> is_new;
  View<int> rest;   // by window: what the GPU is above its limit once the replica is gone;
                    // negative below it
  View<int> saved;  // excess there now, less the burden
  View<int> noise;
  View<int> cost;   // that comes if the replica goes, where load has a price
  View<int> first;  // by expert: its first one
  int most;         // of them

  EPLB_FN void lay_out(Arena& arena, const Arrangement& state) {
    most = Arrangement::padded(state.rows * state.gpus) + kRow;
    arena.take(most, place, gpu, is_new, saved, noise);
    cost = arena.take<int>(state.priced ? most : 0);
    rest = arena.take<int>(state.windows * most);
    first = arena.take<int>(state.kinds());
  }
};

struct ExcessWorkspace {
  View<int> over;       // by window and GPU: what is above the limit
  View<int> mark;       // by GPU: what an expert of the head would change there
  View<int> head_mark;  // by expert: what it would change at the head
  View<int> relief;     // by expert: how much excess one more copy takes away
  View<int> rest;       // by window: what the head is above its limit without one of its rows
  View<int> blocked;    // by expert: kForbidden if it can have no more copies
  View<int> arrival;    // by place: change of moves if the expert comes to the head instead
  View<int> noise;      // by place, then by expert
  View<uint32_t> salt;  // that `noise` was made with
  RetargetList candidates;
  View<int> corrected;  // experts, see JointHosts; then -1
  View<int> saving;     // by expert: 0 but for those
  PriceMarks costs;

  EPLB_FN void lay_out(Arena& arena, const Arrangement& state) {
    over = arena.take<int>(state.windows * state.stride);
    mark = arena.take<int>(state.stride);
    rest = arena.take<int>(state.windows);
    arena.take(state.kinds(), head_mark, relief, blocked);
    arrival = arena.take<int>(state.places);
    noise = arena.take<int>(state.places + state.kinds());
    salt = arena.take<uint32_t>(1);
    candidates.lay_out(arena, state);
    arena.take(state.kinds(), corrected, saving);
    costs.lay_out(arena, state);
  }
};

// A hash of eight bits for each place or expert.
EPLB_FN auto noise_byte(auto index, int salt) {
  return (scrambled(value_of(index), salt) >> 24) & 255;
}
EPLB_FN int own_byte(uint32_t salt, int row, int kind) {
  return salt == 0 ? 0 : noise_byte(3 * row + kind, static_cast<int>(~salt));
}

EPLB_FN void silence(Team auto& team, const Arrangement& state, const ExcessWorkspace& workspace) {
  team.sweep(state.places + state.kinds(), [=](auto i) { workspace.noise.set(i, 0); });
  team.single([&] { workspace.salt[0] = 0; });
}
EPLB_FN void begin_steps(Team auto& team, const Arrangement& state,
                         const ExcessWorkspace& workspace) {
  team.sweep(state.kinds(), [=](auto e) { workspace.saving.set(e, 0); });
  silence(team, state, workspace);
}
EPLB_FN void make_noise(Team auto& team, const Arrangement& state, const ExcessWorkspace& workspace,
                        uint32_t salt) {
  if (workspace.salt[0] == salt) return;
  team.barrier();
  if (salt == 0) return silence(team, state, workspace);
  const View<int> noise = workspace.noise;
  const int seed = scrambled(static_cast<int>(salt), 0);
  team.sweep(state.places + state.kinds(), [=](auto i) { noise.set(i, noise_byte(i, seed)); });
  team.single([&] { workspace.salt[0] = salt; });
}

// How many of an expert are on each GPU, as long as there are several on some. lowest: by expert,
// scratch.
EPLB_FN void count_together(Team auto& team, const Arrangement& state, View<int> lowest) {
  if (!state.totals[0].together) return;
  const View<int> together = state.together, expert = state.expert;
  team.sweep(state.kinds(), [=](auto e) { lowest.set(e, -1); });
  team.single([&] {
    for (int g = 0; g < state.gpus; ++g) {
      for (int place = g; place < state.places; place += state.stride) {
        int& first = lowest[expert[place]];
        const bool is_first = first < 0 || state.gpu[first] != g;
        if (is_first) first = place;
        together[place] = 0;
        ++together[first];
      }
      for (int place = g; place < state.places; place += state.stride) {
        const int first = lowest[expert[place]];
        if (place != first) together[place] = -together[first];
      }
    }
  });
}

// By how much a GPU's load falls in a window if the expert of a place, of which it has `together`
// copies, gets one more elsewhere.
EPLB_FN int relieved(const Arrangement& state, int t, int place, int together) {
  const int kind = t * state.kinds() + state.expert[place];
  return together * (state.share[kind] - state.share_more[kind]);
}
// By how much it grows if one of its expert's others goes.
EPLB_FN int grown(const Arrangement& state, int t, int place, int together) {
  return together * state.growth[t * state.places + place];
}

// kMany: are there several windows? One has no loops over them.
template <bool kMany> EPLB_FN int windows_of(const Arrangement& state) {
  return kMany ? state.windows : 1;
}

EPLB_FN void add_relief(const Arrangement& state, const ExcessWorkspace& workspace, int t, int g) {
  const int most = workspace.over[t * state.stride + g];
  if (most == 0) return;
  for (int place = g; place < state.places; place += state.stride) {
    const int together = copies_together(state, place);
    const int less = smaller(most, relieved(state, t, place, together));
    if (is_lowest(state, place)) workspace.relief[state.expert[place]] += less;
  }
}
template <bool kMany, bool kPriced>
EPLB_FN void weigh_relief(Team auto& team, const Arrangement& state,
                          const ExcessWorkspace& workspace) {
  const View<int> over = workspace.over, excess = state.excess, relief = workspace.relief;
  const int windows = windows_of<kMany>(state);
  team.sweep(windows * state.stride, [=](auto i) { over.set(i, larger(excess[i], 0)); });
  if constexpr (kPriced)
    team.sweep(state.kinds(), [=, split = state.prices.split](auto e) { relief.set(e, split[e]); });
  else
    team.sweep(state.kinds(), [=](auto e) { relief.set(e, 0); });
  team.single([&] {
    for (int t = 0; t < windows; ++t)
      for (int g = 0; g < state.gpus; ++g) add_relief(state, workspace, t, g);
    relief[state.void_expert()] = 0;
  });
}

// What is above a GPU's limits, over all windows.
template <bool kMany>
EPLB_FN int over_of(const Arrangement& state, const ExcessWorkspace& workspace, int g) {
  int sum = 0;
  for (int t = 0; t < windows_of<kMany>(state); ++t) sum += workspace.over[t * state.stride + g];
  return sum;
}
// Writes candidate i but for the burden, of which it notes what is at its own GPU. Returns that.
template <bool kMany>
EPLB_FN int write_candidate(const Arrangement& state, const ExcessWorkspace& workspace, int i,
                            int place) {
  const RetargetList& list = workspace.candidates;
  const int g = state.gpu[place], over = over_of<kMany>(state, workspace, g);
  const int together = copies_together(state, place);
  int burden = -over;
  for (int t = 0; t < windows_of<kMany>(state); ++t) {
    const int at = t * state.places + place, excess = state.excess[t * state.stride + g];
    const int growth = grown(state, t, place, together);
    burden += larger(excess + growth, 0);
    list.rest[t * list.most + i] = excess - state.size[at] + growth - state.growth[at];
  }
  list.place[i] = place;
  list.gpu[i] = g;
  list.is_new[i] = state.is_new[place];
  list.saved[i] = over + burden;
  list.noise[i] = workspace.noise[place];
  return is_lowest(state, place) ? burden : 0;
}
// The candidates of an expert, from number `first` on.
template <bool kMany, bool kPriced>
EPLB_FN void list_candidates(const Arrangement& state, const ExcessWorkspace& workspace, int e,
                             int first) {
  const RetargetList& list = workspace.candidates;
  list.first[e] = first;
  int sum = 0, i = first;
  if constexpr (kPriced) sum = state.prices.merged[e];
  for_each_place(state, e,
                 [&](int place) { sum += write_candidate<kMany>(state, workspace, i++, place); });
  for (int j = first; j < i; ++j) {
    state.burden[list.place[j]] =
        sum - (list.saved[j] - over_of<kMany>(state, workspace, list.gpu[j]));
    list.saved[j] -= sum;
    if constexpr (kPriced) list.cost[j] = cost_of_leaving(state, list.place[j]);
  }
}

// Relief and burden count GPU by GPU, as if none held both the expert that gains a copy and the one
// that loses it. What that is too little is added by JointHosts. Returns the number of candidates.
template <bool kMany, bool kPriced>
EPLB_FN int weigh_copies(Team auto& team, const Arrangement& state,
                         const ExcessWorkspace& workspace) {
  count_together(team, state, workspace.corrected);
  weigh_relief<kMany, kPriced>(team, state, workspace);
  const int replicated = state.totals[0].replicated, empty = state.totals[0].empty;
  auto expert_of = [&](int i) {
    return i < replicated ? state.replicated[i] : state.void_expert();
  };
  const int count = team.scan(
      replicated + 1, [&](int i) { return i < replicated ? state.copies[expert_of(i)] : empty; },
      [&](int i, int before) {
        list_candidates<kMany, kPriced>(state, workspace, expert_of(i), before);
      });
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
  const int without = larger(excess, 0) - larger(excess - less, 0);
  const int with = larger(excess + more, 0) - larger(excess - less + more, 0);
  return with - without;
}

// Corrects burden and relief for one expert while its candidates are looked at, and puts them back:
// of candidates at which more is saved than their list says, of experts whose copies relieve more.
template <bool kMany> class JointHosts {
 public:
  EPLB_FN JointHosts(const Arrangement& state, const ExcessWorkspace& workspace)
      : state_(state), workspace_(workspace) {}

  // Expert e gains a copy: what is saved at candidates whose expert is on its GPUs too.
  EPLB_FN void correct_burdens(Team auto& team, int e) const {
    team.single([&] {
      int listed = 0;
      for_each_neighbor(e, -1, [&](int host, int place) {
        add(state_.expert[place], saving_of(host, place), listed);
      });
      workspace_.corrected[listed] = -1;
      add_to_candidates(1);
    });
  }
  EPLB_FN void restore_burdens(Team auto& team) const {
    team.single([&] {
      add_to_candidates(-1);
      forget();
    });
  }
  // The replica in a place goes: the relief of experts on its expert's other GPUs.
  EPLB_FN void correct_reliefs(Team auto& team, int place) const {
    team.single([&] {
      int listed = 0;
      if (state_.is_expert(state_.expert[place]))
        for_each_neighbor(state_.expert[place], state_.gpu[place], [&](int host, int other) {
          add(state_.expert[other], saving_of(other, host), listed);
        });
      workspace_.corrected[listed] = -1;
      add_to_reliefs(1);
    });
  }
  EPLB_FN void restore_reliefs(Team auto& team) const {
    team.single([&] {
      add_to_reliefs(-1);
      forget();
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
    const int f = state_.expert[loses];
    if (!state_.is_expert(f) || state_.copies[f] <= 1) return 0;
    if (!is_lowest(state_, gains) || !is_lowest(state_, loses)) return 0;
    const int g = state_.gpu[loses];
    const int gaining = copies_together(state_, gains), losing = copies_together(state_, loses);
    int saving = 0;
    for (int t = 0; t < windows_of<kMany>(state_); ++t) {
      const int excess = state_.excess[t * state_.stride + g];
      const int more = grown(state_, t, loses, losing);
      if (excess + more > 0)
        saving += joint_saving(excess, relieved(state_, t, gains, gaining), more);
    }
    return saving;
  }
  EPLB_FN void add(int f, int saving, int& listed) const {
    if (saving == 0) return;
    if (workspace_.saving[f] == 0) workspace_.corrected[listed++] = f;
    workspace_.saving[f] += saving;
  }
  EPLB_FN void for_each_corrected(auto f) const {
    for (int k = 0; workspace_.corrected[k] >= 0; ++k) f(workspace_.corrected[k]);
  }
  EPLB_FN void add_to_candidates(int sign) const {
    const RetargetList& list = workspace_.candidates;
    for_each_corrected([&](int f) {
      const int saving = sign * workspace_.saving[f], end = list.first[f] + state_.copies[f];
      for (int i = list.first[f]; i < end; ++i) list.saved[i] += saving;
    });
  }
  EPLB_FN void add_to_reliefs(int sign) const {
    for_each_corrected([&](int f) { workspace_.relief[f] += sign * workspace_.saving[f]; });
  }
  EPLB_FN void forget() const {
    for_each_corrected([&](int f) { workspace_.saving[f] = 0; });
  }

  const Arrangement& state_;
  const ExcessWorkspace& workspace_;
};

EPLB_STAGE_END
