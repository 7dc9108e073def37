// Tokens of experts over their replicas: a placement that is prepared for that, what a split of
// weights over it is, and what it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

// Memory that starts on a vector's boundary; zero at first, so that padding holds no surprises.
struct alignas(64) Line {
  std::byte bytes[64];
};
using Lines = std::vector<Line>;
inline int64_t lines_for(int64_t bytes) {
  return (bytes + int64_t{sizeof(Line)} - 1) / int64_t{sizeof(Line)};
}
inline int64_t bytes_of(const Lines& lines) {
  return static_cast<int64_t>(lines.capacity() * sizeof(Line));
}

// A placement, and what follows from it for any weights.
struct SplitPlacement {
  Problem problem{};
  std::vector<int32_t> expert;  // [L,S]
  int64_t lines_per_layer = 0;
  Lines graphs;  // [L, lines_per_layer], as the machine lays them out

  void reserve(const SplitPlacement& other) {  // memory for as much, keeping what is there
    expert.reserve(other.expert.size());
    graphs.reserve(other.graphs.size());
  }
  void* graph_of(int64_t layer) { return &graphs[layer * lines_per_layer]; }
  int64_t bytes() const {
    return static_cast<int64_t>(expert.capacity() * sizeof(int32_t)) + bytes_of(graphs);
  }
};

// What the solver answers, see solver::SplitMaps.
struct Split {
  std::vector<int32_t> quota, tight;  // [L,S], [L,G]

  void resize(const Problem& problem) {
    quota.resize(static_cast<size_t>(problem.layers * problem.cluster.slots));
    tight.resize(static_cast<size_t>(problem.layers * problem.cluster.gpus));
  }
  void reserve(const Split& other) {
    quota.reserve(other.quota.size());
    tight.reserve(other.tight.size());
  }
  int64_t bytes() const {
    return static_cast<int64_t>((quota.capacity() + tight.capacity()) * sizeof(int32_t));
  }
};

// What of its figures is wanted, or known, as bits.
using SplitParts = unsigned;
inline constexpr SplitParts kSplitShares = 1, kSplitLoads = 2;
inline constexpr SplitParts kSplitItself = 4;  // known with the split

struct SplitEvaluation {
  SplitParts known = 0;
  std::vector<int32_t> share;        // [L,S]
  std::vector<double> quota, load;   // [L,S], [L,G]
  std::vector<SplitFigures> layers;  // [L]

  void resize(const Problem& problem) {
    share.resize(static_cast<size_t>(problem.layers * problem.cluster.slots));
    quota.resize(share.size());
    load.resize(static_cast<size_t>(problem.layers * problem.cluster.gpus));
    layers.resize(static_cast<size_t>(problem.layers));
  }
  // Where parts of a layer go, which begins at this slot and this GPU.
  SplitOutputs of_layer(int64_t layer, int64_t slot, int64_t gpu, SplitParts parts) {
    SplitOutputs out{};
    if (parts & kSplitShares) out.share = &share[slot];
    if ((parts & kSplitLoads) == 0) return out;
    out.quota = &quota[slot];
    out.load = &load[gpu];
    out.figures = &layers[layer];
    return out;
  }
  int64_t bytes() const {
    return static_cast<int64_t>(share.capacity() * sizeof(int32_t) +
                                (quota.capacity() + load.capacity()) * sizeof(double) +
                                layers.capacity() * sizeof(SplitFigures));
  }
};

// A tolerance in units of the solver. Throws InvalidArgument unless it is from 0 to 1.
int read_tolerance(double tolerance);

// Are its experts those of its problem, or -1?
bool has_experts_alone(const SplitPlacement& over);

// Throws InvalidState unless weights of this shape can be split over the placement.
void check_shape(const SplitPlacement& over, int64_t layers, int64_t experts);

}  // namespace eplb
