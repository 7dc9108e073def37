// The state of a search: a placement, slot by slot, and what follows from it.
#pragma once

#include "solver/counts/sorted_replicas.h"

EPLB_STAGE_BEGIN

struct State {
  // The placement. Slot gpu * slots_per_gpu + row is the slot `row` of its GPU.
  View<int> expert;  // by slot
  View<int> load;    // by GPU

  // BEST's own extra: the replicas sorted by size, with the copies of each expert, and where they
  // are. The best partner for a swap is found by size this way.
  SortedReplicas sorted;
  View<int> replica;    // by slot
  View<int> gpu, row;   // by replica
  View<int> rest;       // by replica: the load of its GPU without it
  View<int> size_rows;  // sizes by row, then GPU: size_rows[row * stride + gpu]
  int stride;

  EPLB_FN void lay_out(Arena& arena, int experts, int slots, int gpus) {
    sorted.lay_out(arena, experts, slots);
    arena.take(slots, gpu, row, rest, replica, expert);
    stride = (gpus + kRow - 1) / kRow * kRow;
    size_rows = arena.take<int>(int64_t{slots} / gpus * stride);
    load = arena.take<int>(gpus);
  }
  EPLB_FN int slots_per_gpu() const { return sorted.slots_per_gpu; }
  EPLB_FN View<int> experts_on(int g) const { return expert.from(g * sorted.slots_per_gpu); }
  EPLB_FN View<int> sizes_in(int row_index) const { return size_rows.from(row_index * stride); }
  EPLB_FN View<int> replicas_on(int g) const { return replica.from(g * sorted.slots_per_gpu); }
};

// Behind the last replica: more than any load, so that nothing there is worth a swap.
inline constexpr int kNoRest = 1 << 30;

struct LoadRange {
  int heaviest;     // the lowest GPU with the largest load
  int most, least;  // largest and least load
};
EPLB_FN LoadRange load_range(Team auto& team, const State& state) {
  const MinMax loads = team.min_max(state.sorted.gpus, [=](auto g) { return state.load[g]; });
  return {loads.first_max, loads.max, loads.min};
}

// Sums up the loads, and the rests of replicas.
EPLB_FN void sum_loads(Team auto& team, const State& state) {
  const SortedReplicas& sorted = state.sorted;
  team.for_each(sorted.gpus, [&](int g) {
    int sum = 0;
    for (int row = 0; row < sorted.slots_per_gpu; ++row)
      sum += state.size_rows[row * state.stride + g];
    state.load[g] = sum;
  });
  team.for_each(sorted.slots,
                [&](int i) { state.rest[i] = state.load[state.gpu[i]] - sorted.size[i]; });
  team.for_each(kAhead, [&](int i) { state.rest[sorted.slots + i] = kNoRest; });
}

// Derives everything else from where the replicas are: gpu and row.
EPLB_FN void derive(Team auto& team, const State& state) {
  const SortedReplicas& sorted = state.sorted;
  team.for_each(sorted.slots, [&](int i) {
    const int g = state.gpu[i], row = state.row[i], slot = g * state.slots_per_gpu() + row;
    state.replica[slot] = i;
    state.expert[slot] = sorted.expert[i];
    state.size_rows[row * state.stride + g] = sorted.size[i];
  });
  sum_loads(team, state);
}

// Does GPU g hold expert e?
EPLB_FN bool holds(Team auto& team, const State& state, int g, int e) {
  const View<int> expert = state.experts_on(g);
  const int per_gpu = state.slots_per_gpu();
  return team.find(0, per_gpu, [=](auto row) { return expert[row] == e; }) < per_gpu;
}

// The same by one lane, for bodies of int.
EPLB_FN bool holds(const State& state, int g, int e) {
  const View<int> expert = state.experts_on(g);
  for (int row = 0; row < state.slots_per_gpu(); ++row)
    if (expert[row] == e) return true;
  return false;
}

// Does GPU g hold every expert?
EPLB_APART bool holds_each(Team auto& team, const State& state, int g) {
  int e = 0;
  while (e < state.sorted.experts && holds(team, state, g, e)) ++e;
  return e == state.sorted.experts;
}
EPLB_FN bool holds_all(Team auto& team, const State& state, int g) {
  return EPLB_RARELY(state.sorted.experts <= state.slots_per_gpu()) && holds_each(team, state, g);
}

// How many copies of expert e are in the first `rows` rows of GPU g: by one lane. Looks at the
// copies or at the rows, whichever are fewer, so no other lane may move replicas meanwhile.
EPLB_FN int copies_on(const State& state, int g, int e, int rows) {
  const int first = state.sorted.first[e], copies = state.sorted.copies[e];
  int found = 0;
  if (copies < rows) {
    for (int replica = first; replica < first + copies; ++replica)
      found += state.gpu[replica] == g && state.row[replica] < rows ? 1 : 0;
  } else {
    const View<int> expert = state.experts_on(g);
    for (int row = 0; row < rows; ++row) found += expert[row] == e ? 1 : 0;
  }
  return found;
}
EPLB_FN int copies_on(const State& state, int g, int e) {
  return copies_on(state, g, e, state.slots_per_gpu());
}

// Does a lower slot of the GPU hold the same expert?
EPLB_FN bool is_duplicate(const State& state, int slot) {
  const int e = state.expert[slot], per_gpu = state.slots_per_gpu();
  return state.sorted.copies[e] > 1 && copies_on(state, slot / per_gpu, e, slot % per_gpu) > 0;
}

EPLB_STAGE_END
