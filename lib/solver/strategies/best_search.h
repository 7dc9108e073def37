// EPLB_STRATEGY_BEST on one node: chains with different counts, each searched by a number of steps,
// and the best of them.
#pragma once

#include "solver/layer/solve_layer.h"
#include "solver/packing/pack.h"
#include "solver/search/level.h"
#include "solver/search/start.h"
#include "solver/search/tabu.h"
#include "solver/search/two_slots.h"
#include "solver/strategies/best_counts.h"
#include "solver/strategies/best_effort.h"

EPLB_STAGE_BEGIN

struct BestWorkspace {
  TabuSearch search;
  CountScratch counting;
  TwoSlotSearch two_slots;
  FillScratch start;
  Packing packing;        // by presets, in few slots without redundancy
  View<int> place;        // of that, by expert
  View<int> level_order;  // scratch of level
  View<int> partner;      // by pair
  CountList counts;

  EPLB_FN void lay_out(Arena& arena, int experts, int slots, int gpus) {
    search.lay_out(arena, experts, slots, gpus);
    Arena before = arena;  // counts are chosen before the search begins
    counting.lay_out(before, experts);
    search.lay_out_later(arena, slots);
    arena.continue_after(before);
    if (slots == 2 * gpus) two_slots.lay_out(arena, experts, slots);
    start.lay_out(arena, gpus);
    arena.take(gpus, level_order, partner);
    if (slots <= kTiny) counts.lay_out(arena, experts);
    if (slots != experts || slots > kFewSlots) return;
    packing.lay_out(arena, slots, gpus);
    place = arena.take<int>(slots);
  }
  EPLB_FN View<int> weight() const { return search.state.sorted.weight; }
};

// The best placement so far.
struct BestAnswer {
  View<int> expert;  // by slot
  int load;          // the largest
  int64_t spent;     // rounds of chains
};

// Is the answer so near to the lower bound that no more chains are tried?
EPLB_FN bool ends_choice(const CountChoice& choice, const Effort& effort, int load) {
  return load <= choice.lower + choice.lower / effort.slack;
}

// Keeps the state that the search has left, if it is better than the answer.
EPLB_FN void improve(Team auto& team, BestAnswer& answer, const TabuSearch& search) {
  answer.spent += search.spent;
  if (search.best >= answer.load) return;
  answer.load = search.best;
  const State& state = search.state;
  team.for_each(state.sorted.slots, [&](int slot) { answer.expert[slot] = state.expert[slot]; });
}

// Keeps the packing of a preset's chain, if it is better than the answer.
EPLB_FN void try_preset(Team auto& team, const BestWorkspace& workspace, const PresetChain& at,
                        const Chance& chance, BestAnswer& answer) {
  const SortedReplicas& sorted = workspace.search.state.sorted;
  const int load =
      pack<Integer>(team, at.preset, workspace.packing, sorted.slots, sorted.gpus, sorted.weight,
                    chance.at(kReplicaKeys), {at.chain, at.chain + 1}, workspace.place);
  if (load >= answer.load) return;
  answer.load = load;
  team.for_each(sorted.experts, [&](int e) { answer.expert[workspace.place[e]] = e; });
}

// Pairs the replicas, and keeps the pairs if they are better than the answer. Replicas of one
// expert are kept apart here, which may cost something that the search for counts does not see.
EPLB_FN void improve(Team auto& team, BestAnswer& answer, View<int> size, View<int> expert,
                     View<int> partner, int pairs) {
  auto largest_with = [&](auto partner_of) {
    return team.max_of(pairs, [&](int i) { return size[i] + size[partner_of(i)]; });
  };
  if (largest_with([&](int i) { return 2 * pairs - 1 - i; }) >= answer.load) return;
  pair_up(team, expert, pairs, partner);
  const int largest = largest_with([&](int i) { return partner[i]; });
  if (largest >= answer.load) return;
  answer.load = largest;
  team.for_each(pairs, [&](int i) {
    answer.expert[2 * i] = expert[i];
    answer.expert[2 * i + 1] = expert[partner[i]];
  });
}

EPLB_FN void search_chain(Team auto& team, BestWorkspace& workspace, const Effort& effort,
                          CountChoice& choice, int first_bound, const Chance& chance,
                          BestAnswer& answer) {
  TabuSearch& search = workspace.search;
  const int bound = choose_counts(team, choice, first_bound, chance);
  start<Integer>(team, search.state, workspace.start);
  level(team, search.state, workspace.level_order);
  begin(team, search, chance, choice.limits, bound, effort.tolerance_shift);
  run(team, search, steps_of(effort, choice.sorted.slots, choice.sorted.gpus));
  improve(team, answer, search);
}

EPLB_FN void search_chains(Team auto& team, BestWorkspace& workspace, const Effort& effort,
                           CountChoice& choice, Chance chance, Chains chains, BestAnswer& answer) {
  const int first_bound = begin_choice(team, choice, chance);
  const int all = most_chains(effort, choice.sorted.experts, choice.sorted.slots);
  for (int chain = chains.from; chain < smaller(chains.to, all); ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    if (chain < effort.chains)
      search_chain(team, workspace, effort, choice, first_bound, chance, answer);
    else
      try_preset(team, workspace, preset_chain(chain - effort.chains), chance, answer);
    if (team.stopped() || ends_choice(choice, effort, answer.load)) break;
  }
}

EPLB_FN void search_two_slot_chains(Team auto& team, BestWorkspace& workspace, const Effort& effort,
                                    const CountChoice& choice, Chance chance, Chains chains,
                                    BestAnswer& answer) {
  TwoSlotSearch& search = workspace.two_slots;
  const int proposals = proposals_of(effort, choice.sorted.slots);
  for (int chain = chains.from; chain < smaller(chains.to, effort.two_slot_chains); ++chain) {
    chance.chain = static_cast<uint32_t>(chain);
    search_two_slots(team, search, choice.sorted, chance, choice.limits.most_copies, proposals);
    improve(team, answer, search.kept.size, search.kept.expert, workspace.partner, search.pairs);
  }
}

// What trying counts costs: to look at some, and again to start a search from them, takes as long
// as 4 rounds of a chain; most searches end after few steps.
inline constexpr int kCountRounds = 4, kCountSteps = 20;

// Tries the counts of the other rules on two slots per GPU, the last rule first.
EPLB_FN void try_rules(Team auto& team, const BestWorkspace& workspace, const CountChoice& choice,
                       const Chance& chance, BestAnswer& answer, int64_t& left) {
  const SortedReplicas& sorted = choice.sorted;
  for (int rule = kCountRules - 1; rule > 0 && left > 0; --rule) {
    left -= kCountRounds;
    const int bound = try_rule(team, choice, rule, 0, chance);
    if (bound >= 0 && bound < answer.load)
      improve(team, answer, sorted.size, sorted.expert, workspace.partner, sorted.gpus);
  }
}

// Tries the counts that are in `choice.sorted`.
EPLB_FN void try_these_counts(Team auto& team, BestWorkspace& workspace, const Effort& effort,
                              const CountChoice& choice, const Chance& chance, BestAnswer& answer,
                              int64_t& left) {
  TabuSearch& search = workspace.search;
  const SortedReplicas& sorted = choice.sorted;
  sort_replicas(team, sorted);
  if (sorted.slots_per_gpu == 2)
    return improve(team, answer, sorted.size, sorted.expert, workspace.partner, sorted.gpus);
  const int bound = bound_of_counts(team, sorted);
  if (bound >= answer.load) return;
  left -= kCountRounds;
  start<Integer>(team, search.state, workspace.start);
  begin(team, search, chance, choice.limits, bound, effort.tolerance_shift);
  run(team, search, left < kCountSteps ? left : kCountSteps);
  left -= search.spent;
  improve(team, answer, search);
}

// Where the problem is tiny: tries all counts that may lead below the answer, one after the other,
// while rounds are left.
EPLB_FN void try_counts(Team auto& team, BestWorkspace& workspace, const Effort& effort,
                        const CountChoice& choice, const Chance& chance, BestAnswer& answer) {
  const SortedReplicas& sorted = choice.sorted;
  const CountList& list = workspace.counts;
  int64_t left = int64_t{effort.rounds} * sorted.slots / 4 - answer.spent;
  if (sorted.slots_per_gpu == 2) try_rules(team, workspace, choice, chance, answer, left);
  if (left <= 0 || answer.load == 0) return;
  for (bool any = first_counts(team, list, sorted, answer.load); any && left > 0 && !team.stopped();
       any = next_counts(team, list, sorted.experts)) {
    left -= kCountRounds;
    if (take_counts(team, list, sorted, choice.limits.most_copies, answer.load))
      try_these_counts(team, workspace, effort, choice, chance, answer, left);
  }
}

// How many chains may be run apart. A tiny problem's are not: they are short, and what they find is
// where trying counts begins.
EPLB_FN int best_chains(const Problem& node) {
  const int slots = node.cluster.slots, gpus = node.cluster.gpus;
  const Effort effort = effort_of(node.options.effort, slots);
  if (slots <= kTiny || slots <= gpus) return 1;
  if (slots > 2 * gpus) return most_chains(effort, node.experts, slots);
  return slots > node.experts ? effort.two_slot_chains : 1;
}

EPLB_FN void set_dhondt_counts(Team auto& team, const CountChoice& choice) {
  const SortedReplicas& sorted = choice.sorted;
  count_by_rule(team, sorted, sorted.weight, choice.scratch, count_rule(0), choice.limits);
  sort_replicas(team, sorted);
}

// One slot per GPU, where D'Hondt's counts are optimal; or two without replication, where pairing
// the largest with the smallest is. The score is 0, for no other chain can be better.
EPLB_FN int place_sorted(Team auto& team, const SortedReplicas& sorted, View<int> expert) {
  const int per_gpu = sorted.slots_per_gpu;
  team.for_each(sorted.slots, [&](int slot) {
    const int g = slot / per_gpu;
    expert[slot] = sorted.expert[slot % per_gpu == 0 ? g : sorted.slots - 1 - g];
  });
  return 0;
}

// `workspace` has the weights and the shape. An expert with more copies than GPUs has duplicates,
// which is allowed only where there are too few experts for the slots.
EPLB_FN CountChoice choice_of(Team auto& team, const BestWorkspace& workspace, int most_replicas) {
  CountChoice choice;
  choice.sorted = workspace.search.state.sorted;
  choice.scratch = workspace.counting;
  const SortedReplicas& sorted = choice.sorted;
  const int round = (sorted.slots + sorted.experts - 1) / sorted.experts;
  const int64_t sum = team.sum_of(sorted.experts, [&](int e) { return int64_t{sorted.weight[e]}; });
  choice.limits.mean = static_cast<int>(sum / sorted.gpus);
  choice.limits.most_copies = larger(smaller(sorted.gpus, most_replicas), round);
  return choice;
}

// expert[slot] of a node from the best of these chains, and its score.
EPLB_FN int solve_best(Team auto& team, BestWorkspace& workspace, const Problem& node,
                       const Chance& chance, Chains chains, View<int> expert) {
  const int experts = node.experts, slots = node.cluster.slots, gpus = node.cluster.gpus;
  const Effort effort = effort_of(node.options.effort, slots);
  workspace.search.state.sorted.shape(experts, slots, gpus);
  CountChoice choice = choice_of(team, workspace, node.limits.most_replicas);
  BestAnswer answer{.expert = expert, .load = kNever, .spent = 0};
  if (slots > 2 * gpus) {
    search_chains(team, workspace, effort, choice, chance, chains, answer);
  } else {
    set_dhondt_counts(team, choice);
    if (slots == gpus || slots == experts) return place_sorted(team, choice.sorted, expert);
    search_two_slot_chains(team, workspace, effort, choice, chance, chains, answer);
  }
  if (slots <= kTiny && slots > experts && answer.load > 0)
    try_counts(team, workspace, effort, choice, chance, answer);
  return ends_choice(choice, effort, answer.load) ? 0 : answer.load;
}

EPLB_STAGE_END
