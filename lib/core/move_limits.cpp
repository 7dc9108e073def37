#include "core/move_limits.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace eplb {
namespace {

int slots_of(const Cluster& cluster, int64_t gpu) {
  return cluster.gpu_slots ? cluster.gpu_slots[gpu] : cluster.slots / cluster.gpus;
}

struct GpuRow {
  const int32_t* slots;
  int64_t count;

  bool holds(int32_t expert) const { return std::find(slots, slots + count, expert) != end(); }
  // Is the expert in a lower slot, too?
  bool repeats(int64_t slot) const {
    return std::find(slots, slots + slot, slots[slot]) != slots + slot;
  }
  const int32_t* end() const { return slots + count; }
};

GpuRow row_of(const Problem& problem, const int32_t* placement, int64_t layer, int64_t gpu) {
  const int64_t each = problem.cluster.slots / problem.cluster.gpus;
  return {placement + layer * problem.cluster.slots + gpu * each, each};
}

// Experts of the plan that the GPU lacked.
int64_t arrivals_of(const Plan& plan, int64_t layer, int64_t gpu) {
  const Problem& problem = plan.problem;
  const GpuRow before = row_of(problem, problem.current.expert, layer, gpu);
  const GpuRow after = row_of(problem, plan.physical_to_logical.data(), layer, gpu);
  int64_t arrivals = 0;
  for (int64_t slot = 0; slot < after.count; ++slot)
    arrivals += after.slots[slot] >= 0 && !after.repeats(slot) && !before.holds(after.slots[slot]);
  return arrivals;
}

// What an expert of the current placement is on: how many GPUs that have slots, and the last one.
struct Holders {
  int64_t count = 0, last = -1;
};

}  // namespace

int64_t forced_moves(const Problem& problem, int64_t layer) {
  const Cluster& cluster = problem.cluster;
  std::vector<Holders> holders(static_cast<size_t>(problem.experts));
  for (int64_t gpu = 0; gpu < cluster.gpus; ++gpu) {
    if (slots_of(cluster, gpu) == 0) continue;
    const GpuRow row = row_of(problem, problem.current.expert, layer, gpu);
    for (int64_t slot = 0; slot < row.count; ++slot) {
      if (row.slots[slot] < 0 || row.repeats(slot)) continue;
      Holders& of = holders[static_cast<size_t>(row.slots[slot])];
      ++of.count;
      of.last = gpu;
    }
  }
  std::vector<int64_t> alone(static_cast<size_t>(cluster.gpus));
  int64_t forced = 0;
  for (const Holders& of : holders) {
    forced += of.count == 0;
    if (of.count == 1) ++alone[static_cast<size_t>(of.last)];
  }
  for (int64_t gpu = 0; gpu < cluster.gpus; ++gpu)
    forced += std::max<int64_t>(0, alone[static_cast<size_t>(gpu)] - slots_of(cluster, gpu));
  return forced;
}

void check_forced_moves(const Problem& problem) {
  int64_t total = 0;
  const MoveLimits& limits = problem.moves;
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    const int64_t forced = forced_moves(problem, layer);
    if (forced > limits.most)
      fail(EPLB_INVALID_ARGUMENT,
           "max_moves is %d, but layer %lld takes %lld: so many of its experts are nowhere they "
           "can stay",
           limits.most, ll(layer), ll(forced));
    total += forced;
  }
  if (limits.most_total >= 0 && total > limits.most_total)
    fail(EPLB_INVALID_ARGUMENT,
         "max_moves_total is %lld, but the layers take %lld: so many experts are nowhere they can "
         "stay",
         ll(limits.most_total), ll(total));
}

void check_move_limits(const Plan& plan) {
  const Problem& problem = plan.problem;
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    int64_t moves = 0, most = 0;
    for (int64_t gpu = 0; gpu < problem.cluster.gpus; ++gpu) {
      const int64_t arrivals = arrivals_of(plan, layer, gpu);
      moves += arrivals;
      most = std::max(most, arrivals);
    }
    const auto counts = plan.replica_count.begin() + layer * problem.experts;
    const bool lacks_one =
        std::find(counts, counts + problem.experts, 0) != counts + problem.experts;
    if (lacks_one || most > problem.moves.most_arrivals)
      fail(EPLB_INVALID_ARGUMENT,
           "max_arrivals is %d, too few for the forced moves of layer %lld: a placement within it "
           "was not found",
           problem.moves.most_arrivals, ll(layer));
    const int limit =
        problem.moves.layer_most ? problem.moves.layer_most[layer] : problem.moves.most;
    if (moves > limit)
      fail(EPLB_INVALID_ARGUMENT,
           "max_moves leaves %d to layer %lld, too few for its forced moves: a placement with less "
           "than %lld was not found",
           limit, ll(layer), ll(moves));
  }
}

}  // namespace eplb
