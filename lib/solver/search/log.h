// The moves since the best state, so that they can be taken back.
#pragma once

#include "solver/search/move.h"

EPLB_STAGE_BEGIN

struct Log {
  static constexpr int kSwap = -1;  // instead of a rank: the entry is a swap
  struct Entry {
    int one, other, rank;
  };

  View<Entry> entry;
  int length;

  EPLB_FN void lay_out(Arena& arena, int most_moves) { entry = arena.take<Entry>(most_moves); }
  // Written by one lane at the end of the log, which the caller then makes longer.
  EPLB_FN void write(Swap swap) const { entry[length] = {swap.give, swap.take, kSwap}; }
  EPLB_FN void write(Retarget move) const {
    entry[length] = {move.replica, move.expert, move.rank};
  }
};

// Applies a swap and logs it. `also` as in apply.
EPLB_FN void apply_logged(Team auto& team, const State& state, Log& log, Swap swap,
                          const auto& also) {
  apply(team, state, swap, [&] {
    log.write(swap);
    also();
  });
  ++log.length;
}
EPLB_FN void apply_logged(Team auto& team, const State& state, Log& log,
                          const RetargetScratch& scratch, Retarget move) {
  const Retarget back = apply(team, state, scratch, move);
  team.single([&] { log.write(back); });
  ++log.length;
}

// Takes all moves of the log back, the last one first. True if replicas have new numbers.
EPLB_FN bool undo(Team auto& team, const State& state, Log& log, const RetargetScratch& scratch) {
  bool renumbered = false;
  while (log.length > 0) {
    const Log::Entry last = log.entry[--log.length];
    if (last.rank == Log::kSwap) {
      apply(team, state, Swap{last.one, last.other});
    } else {
      apply(team, state, scratch, Retarget{last.one, last.other, last.rank});
      renumbered = true;
    }
  }
  return renumbered;
}

EPLB_STAGE_END
