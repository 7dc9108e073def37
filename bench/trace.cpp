#include "trace.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>
#include <stdexcept>

namespace bench {
namespace {

int append_row(const std::string& line, const std::string& where, std::vector<float>& weights) {
  const char* text = line.c_str();
  for (int columns = 1;; columns++) {
    char* end = nullptr;
    weights.push_back(std::strtof(text, &end));
    if (end == text)
      throw std::runtime_error(where + ": column " + std::to_string(columns) + " is no number");
    if (*end != ',') {
      if (*end != '\0' && *end != '\r')
        throw std::runtime_error(where + ": something follows the last number");
      return columns;
    }
    text = end + 1;
  }
}

}  // namespace

Trace read_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read");
  const auto slash = path.find_last_of('/');
  Trace trace{.name = slash == std::string::npos ? path : path.substr(slash + 1)};
  for (std::string line; std::getline(file, line);) {
    const std::string where = path + ", line " + std::to_string(++trace.layers);
    const int columns = append_row(line, where, trace.weights);
    if (trace.layers == 1) trace.experts = columns;
    if (columns != trace.experts)
      throw std::runtime_error(where + ": not as many columns as in line 1");
  }
  if (trace.layers == 0) throw std::runtime_error(path + " is empty");
  return trace;
}

Trace make_trace(int layers, int experts, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> body(0, 0.6);
  std::uniform_real_distribution<double> heat(4, 13);
  std::uniform_int_distribution<int> outliers(1, 3), any_expert(0, experts - 1);
  Trace trace{.name = "made up, seed " + std::to_string(seed),
              .layers = layers,
              .experts = experts,
              .weights = {}};
  const double mean = std::exp(0.6 * 0.6 / 2);
  for (int l = 0; l < layers; l++) {
    std::vector<double> layer(experts);
    for (double& weight : layer) weight = body(random);
    for (int n = outliers(random); n > 0; n--) layer[any_expert(random)] = heat(random) * mean;
    // Whole tokens: measured weights are counts.
    for (double weight : layer) trace.weights.push_back(float(std::floor(weight * 10000)));
  }
  return trace;
}

}  // namespace bench
