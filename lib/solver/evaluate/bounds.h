// Lower bounds on a layer's largest GPU load: what no placement can beat, ones with duplicates on a GPU included. In doubles
// from the original weights, in an order that does not depend on the team, made smaller by 2^-40 so that no rounding lifts
// them above the optimum.
#pragma once

#include "solver/layer/group_assignment.h"
#include "solver/layer/solve_layer.h"

EPLB_STAGE_BEGIN

struct BoundRoom {
  View<double> weight, descending;  // by expert, and largest first
  View<int64_t> key;                // by expert: its share as a key of team.serve
  View<int> copies, order;          // by expert
  View<double> slope;               // what threshold_bound gains, two for each expert; only there if it is asked for
  View<int> steps, picked, sorted;
  View<double> group_weight;  // under a hierarchical policy
  View<int> group_size, walked;
  GroupSearch groups;

  EPLB_FN void lay_out(Arena& arena, const Shape& shape, bool threshold) {
    const int gains = threshold ? 2 * shape.experts : 0, groups_there = shape.nodes > 1 ? shape.groups : 0;
    weight = arena.take<double>(shape.experts);
    descending = arena.take<double>(shape.experts);
    key = arena.take<int64_t>(shape.experts);
    copies = arena.take<int>(shape.experts);
    order = arena.take<int>(shape.experts);
    slope = arena.take<double>(gains);
    steps = arena.take<int>(gains);
    picked = arena.take<int>(gains);
    sorted = arena.take<int>(gains);
    group_weight = arena.take<double>(groups_there);
    group_size = arena.take<int>(groups_there);
    walked = arena.take<int>(2);
    groups.lay_out(arena, groups_there, shape.nodes);
  }
};

EPLB_FN double larger(double a, double b) { return a < b ? b : a; }
EPLB_FN double smaller(double a, double b) { return b < a ? b : a; }

EPLB_FN uint64_t largest_first(double value) { return ~static_cast<uint64_t>(bits_of(value)); }

// In the order of their indices: the same sum whoever adds.
EPLB_FN double sum_in_order(View<double> values, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += values[i];
  return sum;
}

// The largest replica of the counts that make it least: every extra to the largest weight per replica (Jefferson, D'Hondt).
template <class Team> EPLB_FN double largest_replica(Team& team, const Shape& shape, const BoundRoom& r) {
  auto key_of = [](double share) { return kNever64 - 1 - bits_of(share); };
  team.for_each(shape.experts, [&](int e) {
    r.key[e] = key_of(r.weight[e]);
    r.copies[e] = 1;
  });
  team.serve(shape.experts, r.key, shape.slots - shape.experts,
             [&](int, int e, int64_t) { return key_of(r.weight[e] / ++r.copies[e]); });
  return of_bits(kNever64 - 1 + team.max_of(shape.experts, [&](int e) { return -r.key[e]; }));
}

// Could every GPU stay at or below a load? For each j < K: if more than j * G replicas exceed x, some GPU holds j + 1 of
// them beside K - 1 - j others. Of the experts above x all but j * G must be cut into pieces of at most x. Extras that this
// does not use may cut the others smaller: with `spare` of them no expert of at most x has more than 1 + spare copies.
struct Pigeonhole {
  View<double> descending;
  int experts, extras, gpus, per_gpu;

  template <class Team> EPLB_FN bool reachable(Team& team, double load, int j) const {
    const int others = per_gpu - 1 - j, ways = others == 0 ? 1 : extras + 1;
    return team.find_of(ways, [&](int spare) {
      const double x = largest_allowed(load, j, others, spare);
      return x > 0 && cuts(x, int64_t{j} * gpus, extras - spare);
    }) < ways;
  }

 private:
  // The least that `others` replicas on a GPU can weigh if pieces of larger experts weigh at least x / 2.
  EPLB_FN double filling(double x, int others, int spare) const {
    double sum = 0;
    for (int i = 0; i < others; ++i) {
      const int expert = smaller(i / (1 + spare), experts - 1);
      sum += smaller(descending[experts - 1 - expert], x / 2) / (1 + spare);
    }
    return sum;
  }
  // An x with (j + 1) x + filling(x) >= load, close to equality; larger ones only make the test weaker. filling grows with x:
  // from an x below the solution one step leads above it, and from there below again.
  EPLB_FN double largest_allowed(double load, int j, int others, int spare) const {
    auto step = [&](double x) { return (load - filling(larger(x, 0.0), others, spare)) / (j + 1); };
    const double above = step(step(load));  // step(load) is below: no filling is larger than that of x = load
    return smaller(above, step(step(above)));
  }
  // Do `most` extras suffice to cut all experts above x, but the `whole` that need most, into pieces of at most x?
  EPLB_FN bool cuts(double x, int64_t whole, int most) const {
    int64_t needed = 0;
    for (int64_t i = whole; i < experts && descending[static_cast<int>(i)] > x; ++i) {
      const double pieces =
          descending[static_cast<int>(i)] / x - 1e-12;  // rounded up below; the last place is given away
      if (pieces > 1e9) return false;
      const int64_t whole_pieces = static_cast<int64_t>(pieces);
      needed += whole_pieces - (static_cast<double>(whole_pieces) == pieces);
      if (needed > most) return false;
    }
    return true;
  }
};

// No redundancy: the m heaviest experts are on m GPUs, which hold (K-1) m others too, or two of them share one.
EPLB_FN double heaviest_together(View<double> descending, int n, int gpus, int per_gpu) {
  double smallest = 0;  // the K - 2 smallest
  for (int k = 0; k + 2 < per_gpu; ++k) smallest += descending[n - 1 - k];
  double top = descending[0], rest = 0, best = 0;
  int next = n - 1;
  for (int k = 0; k < per_gpu - 1; ++k) rest += descending[next--];
  for (int m = 2; m <= gpus; ++m) {
    top += descending[m - 1];
    for (int k = 0; k < per_gpu - 1; ++k) rest += descending[next--];
    best = larger(best, smaller((top + rest) / m, descending[m - 1] + descending[m - 2] + smallest));
  }
  return best;
}

// The largest of the mean load, the largest replica, and pigeonhole arguments about large replicas that must meet on a GPU.
template <class Team> EPLB_FN double simple_bound(Team& team, const Shape& shape, const BoundRoom& r) {
  const int per_gpu = shape.slots / shape.gpus, extras = shape.slots - shape.experts;
  const double total = sum_in_order(r.weight, shape.experts);
  if (!(total > 0)) return 0;
  double bound = larger(total / shape.gpus, largest_replica(team, shape, r));
  team.order(shape.experts, r.order, [&](int e) { return largest_first(r.weight[e]); });
  team.for_each(shape.experts, [&](int i) { r.descending[i] = r.weight[r.order[i]]; });
  const Pigeonhole pigeonhole{r.descending, shape.experts, extras, shape.gpus, per_gpu};
  constexpr int kDepth = 64;  // beyond, so many replicas on a GPU even out, and looking costs K for each j
  for (int j = 0; j < smaller(per_gpu, kDepth); ++j) {
    if (pigeonhole.reachable(team, bound * (1 - 1e-12), j)) continue;
    double low = bound, high = 1.5 * bound;
    while (!pigeonhole.reachable(team, high, j)) {
      low = high;
      high = 1.5 * low;
    }
    for (int i = 0; i < 50; ++i) {
      const double middle = low + (high - low) / 2;
      (pigeonhole.reachable(team, middle, j) ? high : low) = middle;
    }
    bound = larger(bound, low);
  }
  if (extras == 0 && per_gpu > 1)
    bound = larger(bound, heaviest_together(r.descending, shape.experts, shape.gpus, per_gpu));
  return bound * (1 - 0x1p-40);
}

// Under a hierarchical policy: whole groups on nodes, as many on each, whatever the placement. No way to do that makes the
// heaviest node's mean load less than this. 0 if the ways are too many to be gone through.
template <class Team> EPLB_FN double node_bound(Team& team, const Shape& shape, const BoundRoom& r) {
  const int each = shape.experts / shape.groups;
  team.for_each(shape.groups, [&](int g) { r.group_weight[g] = sum_in_order(r.weight.from(g * each), each); });
  const double total = sum_in_order(r.group_weight, shape.groups);
  if (!(total > 0)) return 0;
  // In units that are rounded down: the heaviest node of the best way can only get lighter by that.
  const double unit = total / (1 << 30);
  team.for_each(shape.groups,
                [&](int g) { r.group_size[g] = static_cast<int>(r.group_weight[g] / unit * (1 - 0x1p-40)); });
  team.single([&] {
    GroupWalk walk(r.groups, r.group_size, shape.groups, shape.nodes,
                   spread_groups(r.groups, r.group_size, shape.groups, shape.nodes));
    walk.run();
    r.walked[0] = walk.best();
    r.walked[1] = walk.proven();
  });
  if (!r.walked[1]) return 0;
  return r.walked[0] * unit * (1 - 0x1p-40) / shape.node_gpus();
}

EPLB_STAGE_END
