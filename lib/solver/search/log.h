// The moves since the best state, so that they can be taken back.
#pragma once

#include "solver/search/renumber.h"

EPLB_STAGE_BEGIN

struct Log {
  static constexpr int kFields = 3;
  static constexpr int kSwap = -1;  // instead of a rank: the entry is a swap

  View<int> entry;  // kFields numbers for each move
  int length;

  EPLB_FN void lay_out(Arena& arena, int most_moves) {
    entry = arena.take<int>(kFields * int64_t{most_moves});
  }
  // Written by one lane at the end of the log, which the caller then makes longer.
  EPLB_FN void write(Swap swap) const { write(swap.give, swap.take, kSwap); }
  EPLB_FN void write(Retarget move) const { write(move.replica, move.expert, move.rank); }

 private:
  EPLB_FN void write(int one, int other, int rank) const {
    entry[kFields * length] = one;
    entry[kFields * length + 1] = other;
    entry[kFields * length + 2] = rank;
  }
};

// Applies a swap and logs it. `also` as in apply.
template <class Team, class Also>
EPLB_FN void apply_logged(Team& team, const State& state, Log& log, Swap swap, const Also& also) {
  apply(team, state, swap, [&] {
    log.write(swap);
    also();
  });
  ++log.length;
}
template <class Team>
EPLB_FN void apply_logged(Team& team, const State& state, Log& log, const RetargetScratch& scratch,
                          Retarget move) {
  const Retarget back = apply(team, state, scratch, move);
  team.single([&] { log.write(back); });
  ++log.length;
}

// Takes all moves of the log back, the last one first. True if replicas have new numbers.
template <class Team>
EPLB_FN bool undo(Team& team, const State& state, Log& log, const RetargetScratch& scratch) {
  bool renumbered = false;
  while (log.length > 0) {
    const View<int> last = log.entry.from(Log::kFields * --log.length);
    if (last[2] == Log::kSwap) {
      apply(team, state, Swap{last[0], last[1]});
    } else {
      apply(team, state, scratch, Retarget{last[0], last[1], last[2]});
      renumbered = true;
    }
  }
  return renumbered;
}

EPLB_STAGE_END
