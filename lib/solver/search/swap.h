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

// The first replica in from .. to that is smaller than `given`; `to` if there is none.
EPLB_FN int first_smaller(View<int> size, int from, int to, int given) {
  while (from < to) {
    const int middle = from + (to - from) / 2;
    if (size[middle] < given)
      to = middle;
    else
      from = middle + 1;
  }
  return to;
}

// Where partners of `give` are looked for. A swap's cost is at least size[give] - size[take] plus
// the load of take's GPU, so a cost below `limit` needs a size above the floor.
struct Partners {
  int from;   // replicas from here on are smaller than `give`
  int floor;  // sizes must be larger than this
  int limit;  // costs must be less than this
};
EPLB_FN Partners partners_of(const TabuSearch& search, const LoadRange& loads, int give,
                             int limit) {
  const SortedReplicas& sorted = search.state.sorted;
  const int given = sorted.size[give];
  const int cap = is_tabu(search, give) ? smaller(limit, search.best) : limit;
  int from = sorted.end_of(sorted.expert[give]);
  if (EPLB_RARELY(sorted.size[from] == given))
    from = first_smaller(sorted.size, from, sorted.slots, given);
  return {.from = from, .floor = given - (cap - loads.least), .limit = cap};
}

// The swap of a replica on the heaviest GPU with a strictly smaller one elsewhere that costs
// least; ties: lowest slot of the heaviest GPU, then lowest replica. The load may get worse, but
// the cost is below most + (most - least). Duplicates are not looked at.
template <class Team>
EPLB_FN FoundSwap least_swap(Team& team, const TabuSearch& search, const LoadRange& loads) {
  const SortedReplicas& sorted = search.state.sorted;
  const View<int> replica = search.state.replicas_on(loads.heaviest);
  const int limit = loads.most + (loads.most - loads.least);
  const Found found = team.max_in_stretches(sorted.slots_per_gpu, -limit, [&](int row) {
    const Partners partners = partners_of(search, loads, replica[row], limit);
    return stretch_of(
        partners.from, sorted.slots,
        [size = sorted.size, floor = partners.floor](int take) { return size[take] > floor; },
        value_of_swap(search, loads, replica[row]));
  });
  if (found.value == -limit) return {kNever, {0, 0}};
  return {-found.value, {replica[found.stretch], found.index}};
}

// As value_of_swap, by one lane and without swaps that make a duplicate.
EPLB_FN int value_of_clean_swap(const TabuSearch& search, const LoadRange& loads, Swap swap,
                                int limit) {
  const State& state = search.state;
  const int given = state.sorted.size[swap.give], taken = state.sorted.size[swap.take];
  const int cost = cost_of_swap<Peak>(loads.most - given, given, state.rest[swap.take], taken);
  if (state.gpu[swap.take] == loads.heaviest || cost >= limit) return -kNever;
  if (is_tabu(search, swap.take) && cost >= search.best) return -kNever;
  return makes_duplicate(state, swap) ? -kNever : -cost;
}

// The least swap of one replica that makes no duplicate, if it costs less than `limit`.
template <class Team>
EPLB_FN FoundSwap least_clean_swap_of(Team& team, const TabuSearch& search, const LoadRange& loads,
                                      int give, int limit) {
  const SortedReplicas& sorted = search.state.sorted;
  const Partners partners = partners_of(search, loads, give, limit);
  const int to = team.find(
      partners.from, sorted.slots,
      [size = sorted.size, floor = partners.floor](auto take) { return size[take] <= floor; });
  auto value_of = [&](int i) {
    return value_of_clean_swap(search, loads, Swap{give, partners.from + i}, partners.limit);
  };
  const int count = to - partners.from, value = team.max_of(count, value_of);
  if (value == -kNever) return {kNever, {0, 0}};
  const int first = team.find_of(count, [&](int i) { return value_of(i) == value; });
  return {-value, {give, partners.from + first}};
}

// The least swap that makes no duplicate. Called where the least of all makes one, which is rare.
template <class Team>
EPLB_FN FoundSwap least_clean_swap(Team& team, const TabuSearch& search, const LoadRange& loads) {
  FoundSwap least{kNever, {0, 0}};
  int limit = loads.most + (loads.most - loads.least);
  for (int row = 0; row < search.state.slots_per_gpu(); ++row) {
    const int give = search.state.replicas_on(loads.heaviest)[row];
    const FoundSwap found = least_clean_swap_of(team, search, loads, give, limit);
    if (found.cost == kNever) continue;
    least = found;
    limit = found.cost;
  }
  return least;
}

// Relieves the heaviest GPU by the best swap; false if there is none.
template <class Team> EPLB_FN bool relieve(Team& team, TabuSearch& search, const LoadRange& loads) {
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
