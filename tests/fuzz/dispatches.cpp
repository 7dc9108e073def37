#include "dispatches.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "failure.h"

namespace eplb::fuzz {
namespace {

constexpr double kRounding = 1e-9;

// A layer of a static dispatch, and what it is of.
struct Layer {
  const KnownWeights& weights;
  const KnownSplit& split;
  const KnownDispatch& dispatch;
  const KnownTables& maps;
  int64_t number;

  Layer(const Known& known, int64_t layer)
      : weights(*known.weights),
        split(*known.split),
        dispatch(*split.dispatch),
        maps(*dispatch.maps),
        number(layer) {}
  const Gpus& gpus() const { return split.gpus; }
  int64_t slots() const { return split.problem.num_slots; }
  size_t at(int64_t slot) const { return static_cast<size_t>(number * slots() + slot); }
  int64_t expert(int64_t slot) const { return maps.placement[at(slot)]; }
  int64_t expert_before(int64_t slot) const { return split.placement[at(slot)]; }
  int64_t slot_of(int64_t rank, int64_t expert) const {
    const int64_t row = number * dispatch.ranks + rank;
    return maps.slot[static_cast<size_t>(row * split.experts + expert)];
  }
  int64_t gpu_of_rank(int64_t rank) const { return rank * gpus().count() / dispatch.ranks; }
};

// Swaps exchange experts, under the hierarchical policy within nodes.
void check_placement(const Layer& layer) {
  const bool within_nodes = is_hierarchical(layer.split.problem);
  std::vector<std::pair<int64_t, int64_t>> before, after;
  for (int64_t slot = 0; slot < layer.slots(); ++slot) {
    const int64_t node = within_nodes ? layer.gpus().node_of(slot) : 0;
    before.emplace_back(node, layer.expert_before(slot));
    after.emplace_back(node, layer.expert(slot));
    REQUIRE(layer.dispatch.swaps != 0 || before.back() == after.back());
    REQUIRE(layer.expert(slot) < 0 || layer.gpus().is_open(slot));
  }
  std::sort(before.begin(), before.end());
  std::sort(after.begin(), after.end());
  REQUIRE(before == after);
}

// Of a GPU's units of an expert, as many ranks as can be are its own.
void check_ranks(const Layer& layer, int64_t expert, std::vector<int64_t>& used) {
  const auto gpus = static_cast<size_t>(layer.gpus().count());
  std::vector<int64_t> own(gpus), ranks(gpus), units(gpus);
  for (int64_t rank = 0; rank < layer.dispatch.ranks; ++rank) {
    const int64_t slot = layer.slot_of(rank, expert), gpu = layer.gpu_of_rank(rank);
    REQUIRE(slot >= 0 && slot < layer.slots() && layer.expert(slot) == expert);
    ++used[static_cast<size_t>(slot)];
    ++ranks[static_cast<size_t>(gpu)];
    ++units[static_cast<size_t>(layer.gpus().of(slot))];
    own[static_cast<size_t>(gpu)] += layer.gpus().of(slot) == gpu;
  }
  for (size_t gpu = 0; gpu < gpus; ++gpu) REQUIRE(own[gpu] == std::min(ranks[gpu], units[gpu]));
}

void check_table(const Layer& layer) {
  std::vector<int64_t> used(static_cast<size_t>(layer.slots()));
  for (int64_t expert = 0; expert < layer.split.experts; ++expert) check_ranks(layer, expert, used);
  for (int64_t slot = 0; slot < layer.slots(); ++slot)
    REQUIRE(layer.maps.ranks[layer.at(slot)] == used[static_cast<size_t>(slot)]);
}

void check_loads(const Layer& layer) {
  const Gpus& gpus = layer.gpus();
  const double* const row = layer.weights.row(layer.number);
  const double total = std::accumulate(row, row + layer.weights.experts, 0.0);
  double largest = 0;
  for (int64_t gpu = 0; gpu < gpus.count(); ++gpu) {
    const double load = layer.maps.load[static_cast<size_t>(layer.number * gpus.count() + gpu)];
    double sum = 0;
    for (int64_t slot = gpu * gpus.places; slot < (gpu + 1) * gpus.places; ++slot)
      if (layer.expert(slot) >= 0)
        sum += row[layer.expert(slot)] * static_cast<double>(layer.maps.ranks[layer.at(slot)]) /
               static_cast<double>(layer.dispatch.ranks);
    REQUIRE(layer.weights.is_tiny || load == sum, "load %.17g of %.17g", load, sum);
    const double speed = gpus.speed.empty() ? 1 : gpus.speed[static_cast<size_t>(gpu)];
    if (gpus.open[static_cast<size_t>(gpu)] > 0) largest = std::max(largest, load / speed);
  }
  const double imbalance = layer.maps.imbalance[static_cast<size_t>(layer.number)];
  const double bound = layer.maps.bound[static_cast<size_t>(layer.number)];
  REQUIRE(imbalance >= 1 && (total > 0 || imbalance == 1));
  if (layer.weights.is_tiny) return;
  REQUIRE(imbalance == imbalance_of(total, largest, static_cast<double>(gpus.open_gpus)));
  REQUIRE(bound >= 0 && bound <= largest * (1 + kRounding), "bound %.17g of %.17g", bound, largest);
}

KnownTables fetch_maps(Subject& subject, const KnownSplit& split) {
  const auto whole = [&](eplb_map map) {
    return subject.fetch_whole(map, dispatch_dims_of(map, split).elements());
  };
  const auto real = [&](eplb_map map) {
    return subject.fetch_real(map, dispatch_dims_of(map, split).elements());
  };
  return {whole(EPLB_MAP_DISPATCH_SLOT),     whole(EPLB_MAP_DISPATCH_PLACEMENT),
          whole(EPLB_MAP_DISPATCH_RANKS),    real(EPLB_MAP_DISPATCH_LOAD),
          real(EPLB_MAP_DISPATCH_IMBALANCE), real(EPLB_MAP_DISPATCH_BOUND)};
}

}  // namespace

Dims dispatch_dims_of(eplb_map map, const KnownSplit& split) {
  switch (map) {
    case EPLB_MAP_DISPATCH_SLOT:
      return {3, {split.layers, split.dispatch->ranks, split.experts, 1}};
    case EPLB_MAP_DISPATCH_PLACEMENT:
    case EPLB_MAP_DISPATCH_RANKS: return {2, {split.layers, split.problem.num_slots, 1, 1}};
    case EPLB_MAP_DISPATCH_LOAD: return {2, {split.layers, split.problem.num_gpus, 1, 1}};
    default: return {1, {split.layers, 1, 1, 1}};
  }
}

void check_dispatch(Subject& subject) {
  std::optional<KnownSplit>& split = subject.known.split;
  if (!split || !split->dispatch) return;
  if (dispatch_dims_of(EPLB_MAP_DISPATCH_SLOT, *split).elements() > kMostElements) return;
  std::optional<KnownTables>& known = split->dispatch->maps;
  const KnownTables maps = fetch_maps(subject, *split);
  REQUIRE(!known || *known == maps);
  if (known) return;
  known = maps;
  for (int64_t layer = 0; layer < split->layers; ++layer) {
    const Layer own(subject.known, layer);
    check_placement(own);
    check_table(own);
    check_loads(own);
  }
}

}  // namespace eplb::fuzz
