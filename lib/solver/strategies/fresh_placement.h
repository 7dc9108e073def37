// A fresh placement by BEST, for a search by excess that begins with it or may end with it.
#pragma once

#include "solver/search/relabel.h"
#include "solver/strategies/best.h"
#include "solver/strategies/unequal_best.h"

EPLB_STAGE_BEGIN

// Equal GPUs are numbered as the current placement needs fewest moves.
template <class Best> struct FreshPlacement {
  Best method;
  LayerAnswer answer{};
  Maps maps{};
  RelabelWorkspace labels{};

  EPLB_FN explicit FreshPlacement(const Problem& parts) : method(parts) {}
  EPLB_FN void lay_out(Arena& arena) {
    const Problem& parts = method.problem;
    method.lay_out(arena);
    answer.lay_out(arena, parts);
    arena.take(parts.cluster.slots, maps.physical_to_logical, maps.replica_slots, maps.rank);
    maps.replica_count = arena.take<int>(parts.experts);
    labels.lay_out(arena, parts.cluster.gpus, parts.partition.nodes);
  }
  // Replaces what a state holds.
  EPLB_FN void place(Team auto& team, View<int> weight, const Arrangement& state) {
    team.for_each(state.experts, [&](int e) { method.weight[e] = weight[e]; });
    solve_weights(team, method, answer, maps);
    team.single([&] {
      number_gpus(state);
      for (int slot = 0; slot < state.rows * state.gpus; ++slot) {
        const int gpu = labels.gpu_label[slot / state.rows], row = slot % state.rows;
        const int e = maps.physical_to_logical[slot];
        state.expert[row * state.stride + gpu] = e >= 0 ? e : state.wall();
      }
      derive_all(state);
    });
  }

 private:
  EPLB_FN void number_gpus(const Arrangement& state) const {
    const Problem& parts = method.problem;
    if (!is_unequal(parts.cluster))
      return relabel({state, maps.physical_to_logical, parts.partition.nodes}, labels);
    for (int gpu = 0; gpu < state.gpus; ++gpu) labels.gpu_label[gpu] = gpu;
  }
};
EPLB_FN void with_fresh_placement(const Problem& parts, auto use) {
  if (is_unequal(parts.cluster))
    use(FreshPlacement<UnequalBestMethod>(parts));
  else
    use(FreshPlacement<BestMethod>(parts));
}
EPLB_ONCE void place_fresh_over(Team auto& team, const Problem& parts, View<char> memory,
                                View<int> weight, const Arrangement& state) {
  with_fresh_placement(parts, [&](auto fresh) EPLB_INLINE {
    Arena arena(memory.data);
    fresh.lay_out(arena);
    fresh.place(team, weight, state);
  });
}

EPLB_STAGE_END
