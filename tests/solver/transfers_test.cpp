// Transfer plans, carried out by a simulator that knows only what the header promises of the maps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "machines/cpu/cpu_machine.h"
#include "solver/transfers/plan_transfers.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

struct Change {
  Problem problem;
  std::vector<int> current, placement;
  std::vector<int32_t> gpu_node;  // of a cluster that does not have its GPUs by node
};

struct Planned {
  std::vector<int> source, round, group;
  LayerMoves moves;
};

Planned plan(const Change& change, eplb_transfer_order order, uint32_t seed = 3) {
  const size_t slots = change.current.size();
  Planned planned{std::vector<int>(slots), std::vector<int>(slots), std::vector<int>(slots), {}};
  solver::TransferWorkspace workspace;
  solver::Arena count(nullptr);
  workspace.lay_out(count, change.problem);
  std::vector<std::byte> memory(static_cast<size_t>(count.used()) + 64, std::byte{0x5a});
  void* start = memory.data();
  size_t space = memory.size();
  std::align(64, static_cast<size_t>(count.used()), start, space);
  solver::Arena arena(start);
  workspace.lay_out(arena, change.problem);
  ShuffledTeam team(seed);
  Problem problem = change.problem;
  problem.options.transfer_order = order;
  planned.moves = solver::plan_transfers(
      team, problem, {change.current.data(), change.placement.data()}, workspace,
      {{planned.source.data()}, {planned.round.data()}, {planned.group.data()}});
  return planned;
}

// Carries a plan out round by round, and says what is wrong with it.
class Simulator {
 public:
  Simulator(const Change& change, const Planned& planned, eplb_transfer_order order)
      : change_(change),
        planned_(planned),
        order_(order),
        per_gpu_(change.problem.cluster.slots / change.problem.cluster.gpus),
        now_(change.current) {}

  std::string run() {
    const int last = *std::max_element(planned_.round.begin(), planned_.round.end());
    for (int round = 0; round <= last; ++round) {
      std::string wrong = carry_out(round);
      if (!wrong.empty()) return "round " + std::to_string(round) + ": " + wrong;
    }
    for (size_t s = 0; s < now_.size(); ++s)
      if (planned_.source[s] == solver::kNoSource) now_[s] = -1;
    if (now_ != change_.placement) return "the new placement does not come out";
    return "";
  }

 private:
  int gpu(int slot) const { return slot / per_gpu_; }
  // What a slot that is read holds: as it was at the beginning if there are buffers for a layer.
  bool read(int slot, int from, int& expert) {
    if (order_ != EPLB_TRANSFER_IN_PLACE || written_.count(from) == 0) {
      expert = order_ == EPLB_TRANSFER_IN_PLACE ? now_[from] : change_.current[from];
      return true;
    }
    const auto saved = buffer_.find(planned_.group[slot]);
    if (planned_.group[slot] < 0 || saved == buffer_.end() || saved->second.first != from)
      return false;
    expert = saved->second.second;
    buffer_.erase(saved);
    return true;
  }
  std::string carry_out(int round) {
    std::set<int> sending, receiving, reading;
    std::vector<std::pair<int, int>> arrived;
    for (int s = 0; s < static_cast<int>(now_.size()); ++s) {
      if (planned_.round[s] != round) continue;
      int expert = change_.placement[s];
      const int from = planned_.source[s];
      if (from >= 0) {
        if (!read(s, from, expert)) return "slot " + std::to_string(from) + " is gone";
        if (written_.count(from) == 0) reading.insert(from);
        if (gpu(from) != gpu(s)) {
          if (round == 0) return "a transfer between GPUs without a round";
          if (!sending.insert(gpu(from)).second) return "a GPU sends twice";
          if (!receiving.insert(gpu(s)).second) return "a GPU receives twice";
        }
      } else if (from != solver::kReload) {
        return "a slot without a source has a round";
      }
      arrived.emplace_back(s, expert);
    }
    for (const int one : sending)
      if (order_ == EPLB_TRANSFER_EXCLUSIVE && receiving.count(one)) return "a GPU does both";
    for (const auto& [slot, expert] : arrived) {
      if (order_ == EPLB_TRANSFER_IN_PLACE && reading.count(slot)) return "read while written";
      const int group = planned_.group[slot];
      if (group >= 0 && begun_.insert(group).second) buffer_[group] = {slot, now_[slot]};
      now_[slot] = expert;
      written_.insert(slot);
    }
    return "";
  }

  const Change& change_;
  const Planned& planned_;
  eplb_transfer_order order_;
  int per_gpu_;
  std::vector<int> now_;
  std::set<int> written_, begun_;
  std::map<int, std::pair<int, int>> buffer_;  // by group: which slot, and what it held
};

// The largest number of transfers that a GPU sends, receives, and both together.
struct Degrees {
  int sent = 0, received = 0, both = 0;
};
Degrees degrees_of(const Change& change, const Planned& planned) {
  const int gpus = change.problem.cluster.gpus, per_gpu = change.problem.cluster.slots / gpus;
  std::vector<int> sent(gpus), received(gpus);
  for (int s = 0; s < change.problem.cluster.slots; ++s) {
    const int from = planned.source[s];
    if (from < 0 || from / per_gpu == s / per_gpu) continue;
    ++sent[from / per_gpu];
    ++received[s / per_gpu];
  }
  Degrees degrees;
  for (int g = 0; g < gpus; ++g) {
    degrees.sent = std::max(degrees.sent, sent[g]);
    degrees.received = std::max(degrees.received, received[g]);
    degrees.both = std::max(degrees.both, sent[g] + received[g]);
  }
  return degrees;
}

Planned plan_on(const cpu::InstructionSet& instruction_set, const Change& change,
                eplb_transfer_order order) {
  Problem problem = change.problem;
  problem.layers = 1;
  problem.options.transfer_order = order;
  problem.current.expert = change.current.data();
  Transfers transfers;
  transfers.resize(problem);
  cpu::CpuMachine(1, instruction_set).plan_transfers(problem, change.placement.data(), transfers);
  return {transfers.source, transfers.round, transfers.group, transfers.layers[0]};
}

void expect_same(const Planned& want, const Planned& got) {
  EXPECT_EQ(want.source, got.source);
  EXPECT_EQ(want.round, got.round);
  EXPECT_EQ(want.group, got.group);
  EXPECT_EQ(want.moves.moves, got.moves.moves);
  EXPECT_EQ(want.moves.between_nodes, got.moves.between_nodes);
  EXPECT_EQ(want.moves.reloads, got.moves.reloads);
  EXPECT_EQ(want.moves.rounds, got.moves.rounds);
  EXPECT_EQ(want.moves.most_sent, got.moves.most_sent);
  EXPECT_EQ(want.moves.most_received, got.moves.most_received);
  EXPECT_EQ(want.moves.changed, got.moves.changed);
}

void expect_good(const Change& change, eplb_transfer_order order) {
  const Planned planned = plan(change, order);
  EXPECT_EQ(Simulator(change, planned, order).run(), "");
  const Degrees degrees = degrees_of(change, planned);
  EXPECT_EQ(planned.moves.most_sent, degrees.sent);
  EXPECT_EQ(planned.moves.most_received, degrees.received);
  if (order == EPLB_TRANSFER_BUFFERED) {
    EXPECT_EQ(planned.moves.rounds, std::max(degrees.sent, degrees.received));
  }
  if (order == EPLB_TRANSFER_EXCLUSIVE) {
    EXPECT_LE(planned.moves.rounds, degrees.both * 3 / 2);
    EXPECT_GE(planned.moves.rounds, degrees.both);
  }
  expect_same(planned, plan(change, order, 91));
  for (const cpu::InstructionSet* instruction_set : cpu::instruction_sets())
    if (instruction_set->supported())
      expect_same(planned, plan_on(*instruction_set, change, order));
}

std::vector<int> random_placement(std::mt19937& random, const Problem& problem, double holes) {
  std::vector<int> placement(problem.cluster.slots);
  for (size_t s = 0; s < placement.size(); ++s)
    placement[s] = static_cast<int>(s < static_cast<size_t>(problem.experts)
                                        ? s
                                        : random() % static_cast<unsigned>(problem.experts));
  std::shuffle(placement.begin(), placement.end(), random);
  for (int& expert : placement)
    if (std::uniform_real_distribution<>()(random) < holes) expert = -1;
  return placement;
}

Change random_change(std::mt19937& random) {
  Change change;
  const int gpus = 1 + static_cast<int>(random() % 12),
            per_gpu = 1 + static_cast<int>(random() % 6);
  const int slots = gpus * per_gpu;
  change.problem.experts = 1 + static_cast<int>(random() % static_cast<unsigned>(slots));
  change.problem.cluster = {slots, gpus, 1 + static_cast<int>(random() % 4)};
  const double holes = random() % 2 ? 0 : 0.2;
  change.current = random_placement(random, change.problem, holes);
  change.placement = random_placement(random, change.problem, holes / 2);
  const double kept = std::uniform_real_distribution<>()(random);
  for (int s = 0; s < slots; ++s)  // most real changes keep most slots
    if (std::uniform_real_distribution<>()(random) < kept) change.placement[s] = change.current[s];
  return change;
}

int distance(const Problem& problem, int slot, int other) {
  const int per_gpu = solver::slots_per_gpu(problem.cluster);
  const int gpu = slot / per_gpu, other_gpu = other / per_gpu;
  if (gpu == other_gpu) return 0;
  return solver::node_of(problem.cluster, gpu) == solver::node_of(problem.cluster, other_gpu) ? 1
                                                                                              : 2;
}

// No slot that holds the expert is nearer than the source.
void expect_nearest(const Change& change, const Planned& planned) {
  for (int s = 0; s < change.problem.cluster.slots; ++s)
    for (int other = 0; planned.source[s] >= 0 && other < change.problem.cluster.slots; ++other) {
      if (change.current[other] != change.placement[s]) continue;
      EXPECT_LE(distance(change.problem, s, planned.source[s]), distance(change.problem, s, other));
    }
}

TEST(Transfers, NodesMayHaveAnyGpus) {
  std::mt19937 random(8);
  for (int i = 0; i < 400; ++i) {
    Change change = random_change(random);
    for (int gpu = 0; gpu < change.problem.cluster.gpus; ++gpu)
      change.gpu_node.push_back(
          static_cast<int>(random() % static_cast<unsigned>(change.problem.cluster.nodes)));
    change.problem.cluster.gpu_node = change.gpu_node.data();
    SCOPED_TRACE(i);
    for (const eplb_transfer_order order :
         {EPLB_TRANSFER_BUFFERED, EPLB_TRANSFER_IN_PLACE, EPLB_TRANSFER_EXCLUSIVE}) {
      expect_good(change, order);
      expect_nearest(change, plan(change, order));
    }
    if (HasFailure()) return;
  }
}

// A chain of transfers that wait for each other is as long as it must be: of two replicas, the one
// that is overwritten soonest, or never, is read.
TEST(Transfers, ChainsAreShort) {
  Change change;
  change.problem.experts = 6;
  change.problem.cluster = {8, 8, 1};
  change.current = {0, 1, 2, 3, 4, 5, 0, 5};
  change.placement = {1, 2, 3, 4,
                      5, 0, 0, 5};  // a circle of six, but 0 and 5 can be read elsewhere
  const Planned planned = plan(change, EPLB_TRANSFER_IN_PLACE);
  EXPECT_EQ(planned.source, (std::vector<int>{1, 2, 3, 4, 7, 6, 6, 7}));
  EXPECT_EQ(planned.moves.rounds, 5);
  EXPECT_EQ(planned.group, std::vector<int>(8, -1));
}

TEST(Transfers, RandomChangesAreCarriedOutInEveryOrder) {
  std::mt19937 random(5);
  for (int i = 0; i < 1500; ++i) {
    const Change change = random_change(random);
    SCOPED_TRACE(i);
    for (const eplb_transfer_order order :
         {EPLB_TRANSFER_BUFFERED, EPLB_TRANSFER_IN_PLACE, EPLB_TRANSFER_EXCLUSIVE})
      expect_good(change, order);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace eplb::tests
