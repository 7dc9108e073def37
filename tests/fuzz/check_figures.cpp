#include <algorithm>
#include <cmath>

#include "failure.h"
#include "figures.h"

extern "C" {
#include "tests/contract/c/off_home.h"
}

namespace eplb::fuzz {
namespace {

// A bound of one layer, or of one window of it.
void check_bound(const Judged& judged, const Loads& loads, double bound) {
  REQUIRE(bound >= 0 && bound <= loads.largest, "bound %.17g, largest load %.17g", bound,
          loads.largest);
  // It is at least the mean, but for what it gives up for rounding.
  const bool close = judged.weights().is_tiny || bound >= loads.mean * (1 - 1e-9);
  REQUIRE(close, "bound %.17g, mean load %.17g", bound, loads.mean);
}

// The harness's words for the same thing. It wants weights for itself: sums, as one window.
struct Harness {
  input in{};
  cluster gpus{};
  std::vector<double> sum, prices;

  explicit Harness(const Judged& judged) : sum(judged.weights().sum) {
    // It adds a layer's weights up before it divides.
    for (auto row = sum.begin(); row < sum.end(); row += judged.weights().experts) {
      const auto end = row + judged.weights().experts;
      const double scale = *std::max_element(row, end) > 1e250 ? 0x1p-200 : 1;
      std::transform(row, end, row, [&](double weight) { return weight * scale; });
    }
    in.dtype = EPLB_FLOAT64;
    in.windows = 1;
    in.layers = judged.weights().layers;
    in.experts = judged.weights().experts;
    in.weights = sum.data();
    in.problem = judged.problem;
    in.problem.off_home_target = judged.home_target;
    take_prices(judged.known.prices);
    const KnownCluster& cluster = judged.known.cluster;
    gpus = {cluster.slots.empty() ? nullptr : cluster.slots.data(),
            cluster.speeds.empty() ? nullptr : cluster.speeds.data(), judged.gpus.node.data()};
  }

 private:
  // Only their ratios matter, and the harness knows no prices near the end of the range.
  void take_prices(const std::optional<KnownPrices>& known) {
    if (!known) return;
    const double highest = *std::max_element(known->prices.begin(), known->prices.end());
    for (const double price : known->prices) prices.push_back(price / highest);
    in.prices = prices.data();
    in.price_columns = known->columns;
  }
};

bool has_load(const Loads& loads) { return loads.largest > 0; }

// Sums of layers that have load, for means.
struct Sums {
  double imbalance = 0, bound = 0, gap = 0, gap_worst = 0, worst = 0;
  int64_t worst_layer = 0, loaded = 0, duplicates = 0, unavoidable = 0, lost = 0;

  void add(const Loads& loads, double layer_bound) {
    const double own_gap = layer_bound > 0 ? loads.largest / layer_bound - 1 : 0;
    gap_worst = std::max(gap_worst, own_gap);
    if (!has_load(loads)) return;
    ++loaded;
    imbalance += loads.imbalance;
    gap += own_gap;
    bound += loads.mean > 0 ? layer_bound / loads.mean : 1;
  }
  void add(const Places& places) {
    duplicates += places.duplicates;
    unavoidable += places.unavoidable;
    lost = std::max(lost, places.lost);
  }
};

double mean_of(double sum, int64_t count, double of_none) {
  return count > 0 ? sum / static_cast<double>(count) : of_none;
}

Sums sums_of(const AllLayers& layers, const std::vector<double>& bound) {
  Sums sums;
  for (size_t layer = 0; layer < layers.loads.size(); ++layer) {
    sums.add(layers.loads[layer], bound.empty() ? 0 : bound[layer]);
    sums.add(layers.places[layer]);
    if (layers.loads[layer].imbalance <= sums.worst) continue;
    sums.worst = layers.loads[layer].imbalance;
    sums.worst_layer = static_cast<int64_t>(layer);
  }
  return sums;
}

void check_names(const Judged& judged, const eplb_report& report) {
  const eplb_problem& problem = judged.problem;
  const eplb_policy policy = policy_of(problem);
  const bool automatic = problem.policy == EPLB_POLICY_AUTO;
  const bool divides = policy == EPLB_POLICY_HIERARCHICAL;
  REQUIRE(report.policy == policy);
  REQUIRE(report.policy_reason == (!automatic ? EPLB_POLICY_REASON_ASKED
                                   : divides  ? EPLB_POLICY_REASON_GROUPS_DIVIDE
                                              : EPLB_POLICY_REASON_GROUPS_DO_NOT));
  const bool two = judged.slots() == 2 * judged.gpus.count() && judged.gpus.speed.empty();
  const bool by_node = divides && problem.num_nodes > 1 && report.bound_kind == EPLB_BOUND_NODE;
  REQUIRE(by_node || report.bound_kind == (two ? problem.bound_kind : EPLB_BOUND_SIMPLE));
}

struct Windows {
  double sum = 0, worst = 1;
  int64_t loaded = 0, empty = 0, worst_window = 0, worst_layer = 0;
};

Windows windows_of(const Judged& judged) {
  const KnownWeights& weights = judged.weights();
  Windows all;
  for (int64_t window = 0; window < weights.kept(); ++window) {
    const int64_t before = all.loaded;
    for (int64_t layer = 0; layer < weights.layers; ++layer) {
      const Loads loads =
          loads_of(judged, layer, weights.row(window, layer), counts_of(judged, layer));
      if (!has_load(loads)) continue;
      ++all.loaded;
      all.sum += loads.imbalance;
      if (loads.imbalance <= all.worst) continue;
      all.worst = loads.imbalance;
      all.worst_window = window;
      all.worst_layer = layer;
    }
    all.empty += all.loaded == before;
  }
  return all;
}

void check_windows(const Judged& judged, const eplb_report& report) {
  const int64_t windows = judged.weights().kept();
  const Windows all = windows_of(judged);
  REQUIRE(report.num_windows == windows && report.num_empty_windows == all.empty);
  REQUIRE(report.windows_mean == mean_of(all.sum, all.loaded, windows > 0 ? 1 : 0));
  REQUIRE(report.windows_worst == (windows > 0 ? all.worst : 0));
  REQUIRE(report.worst_window == all.worst_window);
  REQUIRE(report.worst_window_layer == all.worst_layer);
}

}  // namespace

void check_bounds(const Judged& judged, const AllLayers& layers, const std::vector<double>& bound) {
  for (size_t layer = 0; layer < layers.loads.size(); ++layer)
    check_bound(judged, layers.loads[layer], bound[layer]);
}

void check_window_figures(const Judged& judged, const std::vector<double>& imbalance,
                          const std::vector<double>& bound) {
  const KnownWeights& weights = judged.weights();
  for (int64_t layer = 0; layer < weights.layers; ++layer) {
    const std::vector<int64_t> count = counts_of(judged, layer);
    for (int64_t window = 0; window < weights.kept(); ++window) {
      const Loads loads = loads_of(judged, layer, weights.row(window, layer), count);
      const auto at = static_cast<size_t>(layer * weights.kept() + window);
      REQUIRE(imbalance.empty() || imbalance[at] == loads.imbalance);
      if (!bound.empty()) check_bound(judged, loads, bound[at]);
    }
  }
}

void check_off_home(const Judged& judged, const std::vector<double>& share,
                    const std::vector<double>& bound) {
  constexpr int64_t kMostPairs = 100000;  // of groups and nodes, which the definition has arrays of
  const eplb_problem& problem = judged.problem;
  if (judged.weights().is_tiny || problem.num_nodes > kMostPairs ||
      groups_of(problem) > kMostPairs / problem.num_nodes)
    return;
  const Harness harness(judged);
  for (int64_t layer = 0; layer < judged.weights().layers; ++layer) {
    const auto at = static_cast<size_t>(layer);
    const off_home own = off_home_of(&harness.in, &harness.gpus, layer, judged.row(layer), nullptr);
    // What is not known is taken from the definition, which may round above 1.
    const double its_share = share.empty() ? std::min(own.share, 1.0) : share[at];
    const double its_bound = bound.empty() ? std::min(own.bound, 1.0) : bound[at];
    REQUIRE(off_home_agrees(own, its_share, its_bound),
            "share %.17g is %.17g, bound %.17g is %.17g", own.share, its_share, own.bound,
            its_bound);
  }
}

void check_report(const Judged& judged, const AllLayers& layers, const std::vector<double>& bound,
                  const eplb_report& report) {
  const Sums sums = sums_of(layers, bound);
  REQUIRE(report.imbalance_mean == mean_of(sums.imbalance, sums.loaded, 1));
  REQUIRE(report.imbalance_worst == sums.worst && report.worst_layer == sums.worst_layer);
  if (!bound.empty()) {
    REQUIRE(report.bound_mean == mean_of(sums.bound, sums.loaded, 1));
    REQUIRE(report.gap_mean == mean_of(sums.gap, sums.loaded, 0));
    REQUIRE(report.gap_worst == sums.gap_worst);
  }
  REQUIRE(report.duplicates == sums.duplicates);
  REQUIRE(report.duplicates_unavoidable == sums.unavoidable);
  REQUIRE(report.duplicates_unavoidable <= report.duplicates);
  REQUIRE(report.experts_on_one_gpu == sums.lost);
  REQUIRE(report.num_empty_layers == judged.weights().layers - sums.loaded);
  REQUIRE(report.microseconds >= 0 && report.context_bytes >= 0);
  REQUIRE(report.off_home_mean >= 0 && report.off_home_worst <= 1);
  check_names(judged, report);
  check_windows(judged, report);
}

}  // namespace eplb::fuzz
