// A fresh placement's GPUs are interchangeable within nodes, and so are its nodes. Labelled so that
// they keep much of what the current placement has, they need fewer moves.
#pragma once

#include "solver/search/whole_arrangement.h"

EPLB_STAGE_BEGIN

struct RelabelWorkspace {
  View<int> overlap, taken;  // by GPU
  View<int> gpu_label, node_label;

  EPLB_FN void lay_out(Arena& arena, int gpus, int nodes) {
    arena.take(gpus, overlap, taken, gpu_label);
    node_label = arena.take<int>(nodes);
  }
};

// Labels `units` by overlap: the pair with the largest first; ties: lowest unit, then lowest label.
// visit(unit, f) calls f(label) once for each thing that the unit has and the label had. A unit
// that overlaps nothing takes the first free label from first_label(unit) on.
class Labelling {
 public:
  EPLB_FN Labelling(const RelabelWorkspace& memory, View<int> label, int units)
      : memory_(memory), label_(label), units_(units) {}

  // With far more GPUs than models have, labels end up as they come once this number of overlaps
  // was looked at. A pass looks at all of them: `overlaps`.
  static constexpr int64_t kMostOverlaps = int64_t{1} << 29;

  EPLB_FN void run(auto visit, auto first_label, int64_t overlaps) const {
    for (int unit = 0; unit < units_; ++unit) {
      label_[unit] = -1;
      memory_.taken[unit] = memory_.overlap[unit] = 0;
    }
    int64_t looks = 4 * overlaps;
    for (int left = units_; left > 0 && looks <= kMostOverlaps; looks += 4 * overlaps) {
      const int most = label_with(visit, kNever, left);
      if (most == 0) break;
      label_with(visit, most, left);
    }
    for (int unit = 0, first = -1, free = 0; unit < units_; ++unit) {
      if (first_label(unit) != first) first = free = first_label(unit);
      if (label_[unit] >= 0) continue;
      while (memory_.taken[free]) ++free;
      take(unit, free);
    }
  }

 private:
  EPLB_FN void take(int unit, int label) const {
    label_[unit] = label;
    memory_.taken[label] = 1;
  }
  // Labels the units that overlap a free label so much. Returns the largest overlap there is.
  EPLB_FN int label_with(auto visit, int wanted, int& left) const {
    int most = 0;
    for (int unit = 0; unit < units_; ++unit) {
      if (label_[unit] >= 0) continue;
      int largest = 0, best = units_;
      visit(unit, [&](int label) {
        const int overlap = memory_.taken[label] ? 0 : ++memory_.overlap[label];
        const bool better = overlap > largest || (overlap == largest && label < best);
        if (overlap == 0 || !better) return;
        largest = overlap;
        best = label;
      });
      visit(unit, [&](int label) { memory_.overlap[label] = 0; });
      most = larger(most, largest);
      if (largest != wanted) continue;
      take(unit, best);
      --left;
    }
    return most;
  }

  RelabelWorkspace memory_;
  View<int> label_;
  int units_;
};

// A fresh placement, fresh[slot], of equal nodes with consecutive GPUs.
struct FreshNodes {
  const Arrangement& state;
  View<int> fresh;
  int nodes;

  EPLB_FN int gpus_each() const { return state.gpus / nodes; }
  // Calls f(g) for every slot of GPUs and every GPU that had its expert.
  EPLB_FN void visit_holders(int from, int to, auto f) const {
    for (int slot = from * state.rows; slot < to * state.rows; ++slot)
      for (int i = state.first_was[fresh[slot]]; i < state.first_was[fresh[slot] + 1]; ++i)
        f(state.held[i]);
  }
  // How often a visit of all GPUs does that, and the slots themselves.
  EPLB_FN int64_t overlaps() const {
    int64_t sum = state.rows * state.gpus;
    for (int slot = 0; slot < state.rows * state.gpus; ++slot)
      sum += state.first_was[fresh[slot] + 1] - state.first_was[fresh[slot]];
    return sum;
  }
};

// Leaves gpu_label[gpu]: which GPU it becomes. By one lane.
EPLB_FN void relabel(const FreshNodes& of, const RelabelWorkspace& memory) {
  const int each = of.gpus_each();
  const int64_t overlaps = of.overlaps();
  auto holders_of_node = [&](int node, auto f) {
    of.visit_holders(node * each, (node + 1) * each, [&](int g) { f(g / each); });
  };
  const Labelling nodes(memory, memory.node_label, of.nodes);
  nodes.run(
      holders_of_node, [](int) { return 0; }, overlaps);
  auto node_of = [&](int gpu) { return memory.node_label[gpu / each]; };
  auto holders_of_gpu = [&](int gpu, auto f) {
    of.visit_holders(gpu, gpu + 1, [&](int g) {
      if (g / each == node_of(gpu)) f(g);
    });
  };
  const Labelling gpus(memory, memory.gpu_label, of.state.gpus);
  gpus.run(
      holders_of_gpu, [&](int gpu) { return node_of(gpu) * each; }, overlaps);
}

EPLB_STAGE_END
