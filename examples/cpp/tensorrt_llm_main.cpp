// Runs the planner as TensorRT-LLM does, on measured loads, and checks all that the engine needs.
//
//     ./a.out RANKS SLOTS_PER_RANK WINDOW.csv WINDOW.csv ...
//
// Each rank has a thread, which plans all layers alone; all must come to the same placement. The
// program prints, for each window, the imbalance before and after, and how many slots are written.
#include <cmath>
#include <new>
#include <stdexcept>
#include <thread>

#include "checks.h"
#include "tensorrt_llm_declarations.h"

// In an engine's loop a planner allocates nothing after its first call.
static thread_local long allocations = 0;

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace {

using checks::check;
using tensorrt_llm::kernels::MoeLoadBalanceMetaInfo;
using tensorrt_llm::runtime::doPlacement;
using tensorrt_llm::runtime::doReplication;
using tensorrt_llm::runtime::MoePlacementCpuInfo;
using Loads = std::vector<std::vector<double>>;

std::vector<int> flat(const std::vector<std::vector<int>>& ranks) {
  std::vector<int> slots;
  for (const auto& rank : ranks) slots.insert(slots.end(), rank.begin(), rank.end());
  return slots;
}

// One rank's view of a model: what the engine's SingleLayerMoeLoadBalancer does with each layer.
struct Rank {
  MoeLoadBalanceMetaInfo meta;
  std::vector<MoePlacementCpuInfo> layers;
  double before = 0, after = 0;
  int written = 0;

  void place_one_after_the_other() {
    for (MoePlacementCpuInfo& layer : layers) {
      layer.oldRankExpertIds.assign(static_cast<size_t>(meta.epSize), {});
      int slot = 0;
      for (auto& rank : layer.oldRankExpertIds)
        for (int place = 0; place < meta.slotCountPerRank; ++place)
          rank.push_back(slot++ % meta.expertCount);
      layer.rankExpertIds.assign(static_cast<size_t>(meta.epSize),
                                 std::vector<int>(static_cast<size_t>(meta.slotCountPerRank), -1));
    }
  }
  void check_layer(const MoePlacementCpuInfo& layer, const std::vector<int>& counts) const {
    const std::vector<int> slots = flat(layer.rankExpertIds);
    check(slots.size() == static_cast<size_t>(meta.epSize * meta.slotCountPerRank), "sizes differ");
    checks::check_placement(slots, static_cast<size_t>(meta.expertCount));
    check(counts == layer.expertReplicaCount, "doPlacement has other counts than doReplication");
    for (int expert = 0; expert < meta.expertCount; ++expert)
      check(std::count(slots.begin(), slots.end(), expert) == counts[static_cast<size_t>(expert)],
            "expert " + std::to_string(expert) + " is not in as many slots as it has replicas");
  }
  void update(MoePlacementCpuInfo& layer, const std::vector<double>& loads) {
    std::vector<float> factors(loads.begin(), loads.end());
    const long allocations_before = allocations;
    doReplication(meta, factors.data(), &layer);
    const long of_replication = allocations - allocations_before;
    const std::vector<int> counts = layer.expertReplicaCount;
    const long allocations_between = allocations;
    doPlacement(meta, factors.data(), &layer);
    const long of_placement = allocations - allocations_between;
    check_layer(layer, counts);
    const auto in_service = flat(layer.oldRankExpertIds), planned = flat(layer.rankExpertIds);
    before += checks::imbalance(in_service, loads, static_cast<size_t>(meta.epSize));
    after += checks::imbalance(planned, loads, static_cast<size_t>(meta.epSize));
    written += checks::check_slots(in_service, planned, static_cast<size_t>(meta.slotCountPerRank));
    check(!is_warm || of_replication + of_placement == 0, "a planner that is warm has allocated");
    // As the engine does once the weights are there.
    layer.rankExpertIds.swap(layer.oldRankExpertIds);
    for (auto& rank : layer.rankExpertIds) std::fill(rank.begin(), rank.end(), -1);
  }
  void run(const std::vector<Loads>& windows) {
    place_one_after_the_other();
    for (const Loads& window : windows) {
      before = after = written = 0;
      for (size_t layer = 0; layer < layers.size(); ++layer) update(layers[layer], window[layer]);
      is_warm = true;
      if (meta.epRank == 0)
        std::printf("imbalance %.4f -> %.4f, %d of %d slots written\n",
                    before / static_cast<double>(layers.size()),
                    after / static_cast<double>(layers.size()), written,
                    meta.epSize * meta.slotCountPerRank * static_cast<int>(layers.size()));
    }
  }

  bool is_warm = false;
};

std::string error_of(MoeLoadBalanceMetaInfo meta, std::vector<float> loads,
                     MoePlacementCpuInfo* layer) {
  try {
    doReplication(meta, loads.data(), layer);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

// What an engine may do besides.
void check_the_unusual(Rank rank, const Loads& window) {
  const MoeLoadBalanceMetaInfo meta = rank.meta;
  std::vector<float> loads(window[0].begin(), window[0].end());
  MoePlacementCpuInfo fresh;  // no lists yet
  doPlacement(meta, loads.data(), &fresh);
  rank.check_layer(fresh, fresh.expertReplicaCount);

  // Other layers in between, and loads that have changed since: both calls belong together.
  rank.place_one_after_the_other();
  MoePlacementCpuInfo &first = rank.layers.at(0), &second = rank.layers.at(1);
  std::vector<float> others(window[1].begin(), window[1].end());
  doReplication(meta, loads.data(), &first);
  doReplication(meta, others.data(), &second);
  doPlacement(meta, loads.data(), &first);
  rank.check_layer(first, std::vector<int>(first.expertReplicaCount));
  const auto counts = second.expertReplicaCount;
  doPlacement(meta, others.data(), &second);
  rank.check_layer(second, counts);
  std::swap(others[0], others[1]);
  doPlacement(meta, others.data(), &second);
  rank.check_layer(second, std::vector<int>(second.expertReplicaCount));

  // No load: all stays.
  std::vector<float> none(loads.size());
  doPlacement(meta, none.data(), &first);
  check(first.rankExpertIds == first.oldRankExpertIds, "a layer without load has changed");

  // Errors change nothing.
  const MoePlacementCpuInfo before = first;
  loads[3] = std::nanf("");
  check(error_of(meta, loads, &first).find("expert 3] is NaN") != std::string::npos,
        "NaN was not refused");
  MoeLoadBalanceMetaInfo small = meta;
  small.slotCountPerRank = 1;
  small.epSize = 2;
  check(error_of(small, others, &first).find("num_slots is 2") != std::string::npos,
        "too few slots were not refused");
  check(before.rankExpertIds == first.rankExpertIds &&
            before.expertReplicaCount == first.expertReplicaCount,
        "an error has changed the placement");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) checks::fail("usage: RANKS SLOTS_PER_RANK WINDOW.csv ...");
  std::vector<Loads> windows;
  for (int at = 3; at < argc; ++at) windows.push_back(checks::read_loads(argv[at]));
  const int experts = static_cast<int>(windows[0][0].size());
  std::vector<Rank> ranks(static_cast<size_t>(std::atoi(argv[1])));
  for (size_t number = 0; number < ranks.size(); ++number) {
    ranks[number].meta = {experts, 8, static_cast<int>(number), std::atoi(argv[1]),
                          std::atoi(argv[2])};
    ranks[number].layers.resize(windows[0].size());
  }
  std::vector<std::thread> threads;
  for (Rank& rank : ranks) threads.emplace_back([&rank, &windows] { rank.run(windows); });
  for (std::thread& thread : threads) thread.join();
  for (const Rank& rank : ranks) {
    for (size_t layer = 0; layer < rank.layers.size(); ++layer)
      check(rank.layers[layer].oldRankExpertIds == ranks[0].layers[layer].oldRankExpertIds,
            "ranks have different placements");
  }
  check_the_unusual(ranks[0], windows[0]);
  std::printf("all checks hold\n");
}
