// Large replicas must meet on a GPU if there are more of them than GPUs: could every GPU stay at or
// below a load?
#pragma once

#include "solver/evaluate/bound_workspace.h"

EPLB_STAGE_BEGIN

// For each j < K: if more than j * G replicas exceed x, some GPU holds j + 1 of them together with
// K - 1 - j others. Of the experts above x all but j * G must be cut into pieces of at most x.
// Where GPUs differ in slots, what they can hold with j at most on each replaces j * G, and one
// that holds j + 1 may hold no others, as where slots may be empty. Extras that this does not use
// may cut the others smaller: with `spare` of them no expert of at most x has more than 1 + spare
// copies, nor more than it can have at all.
struct Pigeonhole {
  View<double> descending;  // weights of the experts, largest first
  int experts, extras, per_gpu;
  int most_copies;  // of an expert
  bool filled;      // do all GPUs hold per_gpu replicas?
  int64_t together = 0;
  // Replicas that all ways of a layer may look at, or about as many. Beyond, every load counts as
  // reachable. Only what is far larger than models are today needs more.
  int64_t looks = int64_t{1} << 28;

  EPLB_FN bool reachable(Team auto& team, double load, int j) {
    const Case at{load, j, filled ? per_gpu - 1 - j : 0};
    const double ceiling = load / (j + 1);  // no largest allowed x is above
    if (looks <= 0) return true;
    const int needed = extras_for(ceiling, extras);
    looks -= needed;
    if (at.others == 0) return ceiling > 0 && needed <= extras;
    const int ways = extras + 1 - needed;  // a smaller x needs no fewer, so no more can be spared
    const int64_t looks_each = at.others + extras + 1, most_ways = looks / looks_each + 1;
    const int tried = most_ways < ways ? static_cast<int>(most_ways) : ways;
    const int found = team.find_of(tried, [&](int spare) { return reachable_with(at, spare); });
    looks -= found * looks_each;
    return found < ways;
  }

 private:
  struct Case {
    double load;
    int j, others;
  };

  // The least that the others on a GPU can weigh if pieces of larger experts weigh at least x / 2.
  EPLB_FN double filling(const Case& at, double x, int spare) const {
    const int pieces = smaller(1 + spare, most_copies);
    double sum = 0;
    for (int i = 0, expert = experts - 1; i < at.others; expert = larger(expert - 1, 0)) {
      const double piece = smaller(descending[expert], x / 2) / pieces;
      for (const int end = smaller(at.others, i + pieces); i < end; ++i) sum += piece;
    }
    return sum;
  }
  EPLB_FN double step(const Case& at, double x, int spare) const {
    return (at.load - filling(at, larger(x, 0.0), spare)) / (at.j + 1);
  }
  EPLB_FN bool cuts(double x, int spare) const {
    return x > 0 && extras_for(x, extras - spare) <= extras - spare;
  }
  // The test wants an x with (j + 1) x + filling(x) >= load, close to equality; larger ones only
  // make it weaker. filling grows with x: from an x below the solution one step leads above it, and
  // from there below again. The x that is tested is the lesser of the second step's and the
  // fourth's, the first step's is not above it, and if an x can be cut so can larger ones (every
  // operation rounds monotonically): most answers are known after one or two steps.
  EPLB_FN bool reachable_with(const Case& at, int spare) const {
    const double below = step(at, at.load, spare);  // no filling is larger than that of x = load
    if (cuts(below, spare)) return true;
    const double above = step(at, below, spare);
    if (!cuts(above, spare)) return false;
    return cuts(smaller(above, step(at, step(at, above, spare), spare)), spare);
  }
  // Extras that cut all experts above x, but the ones together that need most, into pieces of at
  // most x; `most` + 1 if those do not suffice, or an expert cannot have as many copies.
  EPLB_FN int extras_for(double x, int most) const {
    int needed = 0;
    for (int64_t i = together; i < experts && descending[static_cast<int>(i)] > x; ++i) {
      // Rounded up below; the last place is given away.
      const double pieces = descending[static_cast<int>(i)] / x - 1e-12;
      if (!(pieces <= most + 1.0 && pieces <= most_copies)) return most + 1;
      const int whole_pieces = static_cast<int>(pieces);
      needed += whole_pieces - (static_cast<double>(whole_pieces) == pieces);
      if (needed > most) return most + 1;
    }
    return needed;
  }
};

EPLB_STAGE_END
