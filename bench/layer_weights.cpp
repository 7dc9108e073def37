#include "layer_weights.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>

namespace bench {

Trace make_weights(int experts, int layers_of_each_law) {
  Trace trace{.name = "even to steep", .layers = 0, .experts = experts};
  const auto add = [&](auto weight) {
    trace.layers++;
    for (int e = 0; e < experts; e++)
      trace.weights.push_back(float(std::floor(1 + 10000 * weight(e))));
  };
  std::mt19937_64 random{uint64_t(experts)};
  std::vector<int> rank(static_cast<size_t>(experts));
  for (int e = 0; e < experts; e++) rank[size_t(e)] = e;
  for (int i = 0; i < layers_of_each_law; i++) {
    add([](int) { return 1.0; });
    for (double sigma : {0.1, 0.6, 1.5}) {
      std::lognormal_distribution<double> body(0, sigma);
      add([&](int) { return body(random); });
    }
    const Trace hot = make_trace(1, experts, random());
    trace.layers += hot.layers;
    trace.weights.insert(trace.weights.end(), hot.weights.begin(), hot.weights.end());
    std::shuffle(rank.begin(), rank.end(), random);
    add([&](int e) { return 1000.0 / (rank[size_t(e)] + 1); });
  }
  if (trace.layers != kLaws * layers_of_each_law) throw std::logic_error("kLaws is wrong");
  return trace;
}

const char* law_name(int law) {
  constexpr const char* kNames[kLaws] = {"equal",          "lognormal, 0.1", "lognormal, 0.6",
                                         "lognormal, 1.5", "hot experts",    "by rank"};
  return kNames[law];
}

Trace layers_of(const Trace& trace, int first, int count) {
  const auto from = trace.weights.begin() + ptrdiff_t(first) * trace.experts;
  return {.name = trace.name,
          .layers = count,
          .experts = trace.experts,
          .weights = {from, from + ptrdiff_t(count) * trace.experts}};
}

Trace drifted(const Trace& trace, uint64_t seed) {
  std::mt19937_64 random{seed};
  std::lognormal_distribution<double> factor(0, 0.4);
  Trace later = trace;
  for (float& weight : later.weights) weight = float(std::floor(weight * factor(random)));
  return later;
}

std::vector<float> windows_of(const Trace& trace, int windows) {
  std::vector<float> weights = trace.weights;
  for (int t = 1; t < windows; t++) {
    const Trace other = drifted(trace, uint64_t(t));
    weights.insert(weights.end(), other.weights.begin(), other.weights.end());
  }
  return weights;
}

}  // namespace bench
