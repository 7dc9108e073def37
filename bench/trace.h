// Expert weights that the benchmark solves: measured ones from a file, else made-up ones of a
// stated law.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

struct Trace {
  std::string name;
  int layers = 0;
  int experts = 0;
  std::vector<float> weights{};  // [layers, experts]
};

// A CSV without header, one row per layer. Throws std::runtime_error naming file and line.
Trace read_trace(const std::string& path);

// The shape of the DeepSeek-V3 traces: in every layer a lognormal body (sigma 0.6) and one to three
// hot experts of 4 to 13 times the mean. Over 58 such layers the hottest expert has 4 to 13 times
// the mean, like the measured ones.
Trace make_trace(int layers, int experts, uint64_t seed);

}  // namespace bench
