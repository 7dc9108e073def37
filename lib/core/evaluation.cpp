#include "core/evaluation.h"

#include <algorithm>

namespace eplb {
namespace {

// Means are sums at first, of layers that have load.
void add_layer(const LayerFigures& layer, int64_t number, eplb_report& report) {
  const double gap = layer.bound > 0 ? layer.largest_load / layer.bound - 1 : 0;
  if (layer.largest_load > 0) {
    report.imbalance_mean += layer.imbalance;
    report.gap_mean += gap;
    report.bound_mean += layer.mean_load > 0 ? layer.bound / layer.mean_load : 1;
  } else {
    ++report.num_empty_layers;
  }
  if (layer.imbalance > report.imbalance_worst) {
    report.imbalance_worst = layer.imbalance;
    report.worst_layer = number;
  }
  report.gap_worst = std::max(report.gap_worst, gap);
  report.duplicates += layer.duplicates;
  report.duplicates_unavoidable += layer.unavoidable_duplicates;
  report.experts_on_one_gpu = std::max(report.experts_on_one_gpu, layer.most_lost);
  report.off_home_mean += layer.off_home;
  report.off_home_worst = std::max(report.off_home_worst, layer.off_home);
  report.off_home_bound_mean += layer.off_home_bound;
}

eplb_bound_kind bound_kind_of(const Problem& problem, bool nodes_proven) {
  if (problem.partition.nodes > 1 && nodes_proven) return EPLB_BOUND_NODE;
  const Cluster& cluster = problem.cluster;
  return cluster.slots == 2 * cluster.gpus && cluster.gpu_speed == nullptr
             ? problem.options.bound_kind
             : EPLB_BOUND_SIMPLE;
}

}  // namespace

void fill_report(const Evaluation& evaluation, const Problem& problem, eplb_report& report) {
  report.imbalance_mean = report.imbalance_worst = report.gap_mean = report.gap_worst = 0;
  report.bound_mean = report.off_home_mean = report.off_home_worst = report.off_home_bound_mean = 0;
  report.duplicates = report.duplicates_unavoidable = report.experts_on_one_gpu = 0;
  report.num_empty_layers = 0;
  int64_t number = 0;
  bool nodes_proven = true;
  for (const LayerFigures& layer : evaluation.layers) {
    add_layer(layer, number++, report);
    nodes_proven &= layer.nodes_proven;
  }
  if (const int64_t loaded = number - report.num_empty_layers; loaded > 0) {
    for (double* sum : {&report.imbalance_mean, &report.bound_mean, &report.gap_mean,
                        &report.off_home_mean, &report.off_home_bound_mean})
      *sum /= static_cast<double>(loaded);
  } else {
    report.imbalance_mean = report.bound_mean = 1;
  }
  report.policy = problem.limits.policy;
  report.policy_reason = problem.limits.reason;
  report.bound_kind = bound_kind_of(problem, nodes_proven);
}

void fill_report(const WindowFigures& figures, eplb_report& report) {
  const int64_t windows = figures.windows;
  if (windows == 0) return;
  const auto layers = static_cast<int64_t>(figures.layers.size()) / windows;
  double sum = 0;
  int64_t loaded = 0;
  report.num_windows = windows;
  report.windows_worst = 1;
  for (int64_t window = 0; window < windows; ++window) {
    const int64_t loaded_before = loaded;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const LayerFigures& figure = figures.at(window, layer);
      if (figure.largest_load == 0) continue;
      ++loaded;
      sum += figure.imbalance;
      if (figure.imbalance <= report.windows_worst) continue;
      report.windows_worst = figure.imbalance;
      report.worst_window = window;
      report.worst_window_layer = layer;
    }
    if (loaded == loaded_before) ++report.num_empty_windows;
  }
  report.windows_mean = loaded > 0 ? sum / static_cast<double>(loaded) : 1;
}

}  // namespace eplb
