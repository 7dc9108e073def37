// The step of BEST's search: the best swap of the heaviest GPU.
#pragma once

#include "solver/search/tabu_state.h"

EPLB_STAGE_BEGIN

// Steps that a swapped replica is tabu: 4 to 11.
inline constexpr int kTenure = 4, kTenureSpread = 8;

struct FoundSwap {
  int cost;  // kNever: there is none
  Swap swap;
};

EPLB_FN bool is_tabu(const TabuSearch& search, int replica) {
  return search.tabu_until[replica] > search.step;
}

// What a swap of `give`, on the heaviest GPU, with a replica costs, negated, for the largest value
// is looked for. While one of the two is tabu only a cost below the best load counts.
EPLB_FN auto value_of_swap(const TabuSearch& search, const LoadRange& loads, int give) {
  const State& state = search.state;
  const View<int> size = state.sorted.size, rest = state.rest, gpu = state.gpu;
  const View<int> tabu_until = search.tabu_until;
  const int given = size[give], giver_rest = loads.most - given, giver = loads.heaviest;
  const int best = search.best;
  const int free_until = is_tabu(search, give) ? -1 : search.step;  // -1: as if all were tabu
  return [=](auto take) {
    const auto cost = cost_of_swap<Peak>(giver_rest, given, rest[take], size[take]);
    const auto excluded = (gpu[take] == giver) | ((tabu_until[take] > free_until) & (cost >= best));
    return choose(excluded, -kNever, 0 - cost);
  };
}

// Does every GPU hold the expert? Looked at only where that is likely: GPUs are few.
inline constexpr int kFewGpus = 16;
EPLB_FN bool may_be_everywhere(const SortedReplicas& sorted, int e) {
  return sorted.gpus <= kFewGpus && sorted.copies[e] >= sorted.gpus;
}
EPLB_FN bool is_everywhere(const State& state, int e) {
  const SortedReplicas& sorted = state.sorted;
  if (!may_be_everywhere(sorted, e)) return false;
  uint32_t absent = (uint32_t{1} << sorted.gpus) - 1;
  for (int copy = sorted.first[e]; copy < sorted.end_of(e) && absent != 0; ++copy)
    absent &= ~(uint32_t{1} << state.gpu[copy]);
  return absent == 0;
}

// Does a row above have a replica of the same size that may be swapped wherever this one may? Then
// a swap of this one is no better, and the row above comes first. Only some rows are looked at.
inline constexpr int kRowsAbove = 64;
EPLB_FN bool is_repeated(const TabuSearch& search, int give) {
  const SortedReplicas& sorted = search.state.sorted;
  const int row = search.state.row[give], e = sorted.expert[give];
  const View<int> replica = search.state.replicas_on(search.state.gpu[give]);
  for (int i = row - 1; i >= larger(0, row - kRowsAbove); --i) {
    const int other = replica[i], of = sorted.expert[other];
    if (sorted.size[other] != sorted.size[give]) continue;
    if (is_tabu(search, other) && !is_tabu(search, give)) continue;
    if (of == e || !may_be_everywhere(sorted, of)) return true;
  }
  return false;
}

// The first partner of a replica, where that may not be the one after the copies of its expert:
// those of the same size come first. There is none if the expert is everywhere, or if a row above
// is as good and all rows are looked at.
EPLB_APART int first_partner(const TabuSearch& search, int give, bool all_rows) {
  const SortedReplicas& sorted = search.state.sorted;
  const int e = sorted.expert[give], given = sorted.size[give], from = sorted.end_of(e);
  if (from == sorted.slots || is_everywhere(search.state, e)) return sorted.slots;
  if (sorted.size[from] == given && all_rows && is_repeated(search, give)) return sorted.slots;
  return first_not(from, sorted.slots - from, [&](int i) { return sorted.size[i] == given; });
}

// Where partners of `give` are looked for, the largest value being wanted: among smaller replicas,
// but nowhere if all would make a duplicate. A swap's cost is at least size[give] - size[take] plus
// the load of take's GPU, so a cost below `limit` needs a size above a floor. all_rows: of the rows
// of the heaviest GPU the least costly is wanted, whatever duplicates it makes.
EPLB_FN auto partners_of(const TabuSearch& search, const LoadRange& loads, int give, int limit,
                         bool all_rows, auto value) {
  const SortedReplicas& sorted = search.state.sorted;
  const View<int> size = sorted.size;
  const int given = size[give], cap = is_tabu(search, give) ? smaller(limit, search.best) : limit;
  const int expert = sorted.expert[give], copies = sorted.copies[expert];
  int from = sorted.first[expert] + copies;
  if (EPLB_RARELY((copies >= sorted.gpus) | (size[from] == given)))
    from = first_partner(search, give, all_rows);
  const int floor = given - (cap - loads.least);
  return stretch_of(
      from, sorted.slots, [=](int take) { return size[take] > floor; }, value);
}

// The swap of a replica on the heaviest GPU with a strictly smaller one elsewhere that costs
// least; ties: lowest slot of the heaviest GPU, then lowest replica. The load may get worse, but
// the cost is below most + (most - least). Not all that make a duplicate are left out.
EPLB_FN FoundSwap least_swap(Team auto& team, const TabuSearch& search, const LoadRange& loads) {
  const SortedReplicas& sorted = search.state.sorted;
  const View<int> replica = search.state.replicas_on(loads.heaviest);
  const int limit = loads.most + (loads.most - loads.least);
  const Found found = team.max_in_stretches(sorted.slots_per_gpu, -limit, [&](int row) {
    const int give = replica[row];
    return partners_of(search, loads, give, limit, true, value_of_swap(search, loads, give));
  });
  if (found.value == -limit) return {kNever, {0, 0}};
  return {-found.value, {replica[found.stretch], found.index}};
}

// Marks partners that would make a duplicate: until[replica] is above a row of the heaviest GPU if
// no swap with the replica in that row is possible. That is kNever where the heaviest GPU holds the
// expert, and the row plus one where the GPU of the replica holds the expert of the row. So marks
// of a row need not be cleared for the next one. First, all replicas of the experts that the
// heaviest GPU holds are marked, and so all that it holds.
EPLB_FN void mark_experts_of(Team auto& team, const State& state, View<int> until, int heaviest) {
  const SortedReplicas& sorted = state.sorted;
  const View<int> expert = state.experts_on(heaviest);
  team.for_each(sorted.slots + kAhead, [&](int i) { until[i] = 0; });
  for (int row = 0; row < sorted.slots_per_gpu; ++row) {
    const View<int> copies = until.from(sorted.first[expert[row]]);
    if (copies[0] > 0) continue;  // the expert is on this GPU twice
    team.barrier();
    team.for_each(sorted.copies[expert[row]], [&](int i) { copies[i] = kNever; });
  }
}

// Marks, for a row of the heaviest GPU, all replicas on GPUs that hold the expert of the row.
EPLB_FN void mark_gpus_of(Team auto& team, const State& state, View<int> until, int row, int e) {
  const SortedReplicas& sorted = state.sorted;
  for (int copy = sorted.first[e]; copy < sorted.end_of(e); ++copy) {
    const View<int> replica = state.replicas_on(state.gpu[copy]);
    team.for_each(sorted.slots_per_gpu,
                  [&](int i) { until[replica[i]] = larger(until[replica[i]], row + 1); });
  }
}

// The swap of the replica in one row of the heaviest GPU that costs least, without those that are
// marked, if it costs less than `limit`.
EPLB_FN FoundSwap least_unmarked_swap(Team auto& team, const TabuSearch& search,
                                      const LoadRange& loads, View<int> until, int row, int limit) {
  const int give = search.state.replicas_on(loads.heaviest)[row];
  const Found found = team.max_in_stretches(1, -limit, [&](int) {
    const auto value = value_of_swap(search, loads, give);
    return partners_of(search, loads, give, limit, false,
                       [=](auto take) { return choose(until[take] > row, -kNever, value(take)); });
  });
  if (found.value == -limit) return {kNever, {0, 0}};
  return {-found.value, {give, found.index}};
}

// A replica for whose size no better swap is left, whatever GPUs hold its expert.
struct ClosedSize {
  int size = -1;
  bool is_tabu = false;
};

// The least swap of one replica that makes no duplicate, if it costs less than `limit`. The GPUs
// that hold its expert are marked only where the first choice is on one of them. If it is not, the
// choice is that of all rows of this size, unless the expert may be everywhere.
EPLB_FN FoundSwap least_clean_swap_of(Team auto& team, const TabuSearch& search,
                                      const LoadRange& loads, View<int> until, int row, int limit,
                                      ClosedSize& closed) {
  const State& state = search.state;
  const SortedReplicas& sorted = state.sorted;
  const int give = state.replicas_on(loads.heaviest)[row], e = sorted.expert[give];
  const bool tabu = is_tabu(search, give);
  if (sorted.size[give] == closed.size && (tabu || !closed.is_tabu)) return {kNever, {0, 0}};
  const FoundSwap found = least_unmarked_swap(team, search, loads, until, row, limit);
  if (found.cost == kNever || !makes_duplicate(team, state, found.swap)) {
    if (!may_be_everywhere(sorted, e)) closed = {sorted.size[give], tabu};
    return found;
  }
  mark_gpus_of(team, state, until, row, e);
  return least_unmarked_swap(team, search, loads, until, row, limit);
}

// The least swap that makes no duplicate, where the least of all makes one.
EPLB_APART FoundSwap least_clean_swap(Team auto& team, const TabuSearch& search,
                                      const LoadRange& loads) {
  const View<int> until = search.state.sorted.size_before;  // which the search does not use
  mark_experts_of(team, search.state, until, loads.heaviest);
  FoundSwap least{kNever, {0, 0}};
  ClosedSize closed;
  int limit = loads.most + (loads.most - loads.least);
  for (int row = 0; row < search.state.slots_per_gpu(); ++row) {
    const FoundSwap found = least_clean_swap_of(team, search, loads, until, row, limit, closed);
    if (found.cost == kNever) continue;
    least = found;
    limit = found.cost;
  }
  return least;
}

// Relieves the heaviest GPU by the best swap; false if there is none, as if it holds all experts.
EPLB_FN bool relieve(Team auto& team, TabuSearch& search, const LoadRange& loads) {
  if (holds_all(team, search.state, loads.heaviest)) return false;
  FoundSwap found = least_swap(team, search, loads);
  if (found.cost != kNever && makes_duplicate(team, search.state, found.swap))
    found = least_clean_swap(team, search, loads);
  if (found.cost == kNever) return false;
  const uint32_t random = search.draws(team, search.drawn++);
  const Swap swap = found.swap;
  apply_logged(team, search.state, search.log, swap, [&] {
    const int from = search.step + kTenure;
    search.tabu_until[swap.give] = from + below(random, kTenureSpread);
    search.tabu_until[swap.take] = from + below(random * 0x9E3779B1u, kTenureSpread);
  });
  ++search.since_best;
  return true;
}

EPLB_STAGE_END
