#include "sweep_known.h"

#include <algorithm>
#include <iterator>

namespace bench {
namespace {

constexpr int kTiny = 24, kFew = 128;  // slots of a node up to which BEST works otherwise
constexpr int kMany = 1024;            // beyond which windows do not fit in the first cache
constexpr int kPairBlock = 16, kPairSlots = 16;  // GPUs at a time, and slots per GPU, of pair swaps

int node_slots(const GridShape& shape) { return shape.slots() / shape.nodes; }
int node_gpus(const GridShape& shape) { return shape.gpus / shape.nodes; }
int node_experts(const GridShape& shape) { return shape.experts / shape.nodes; }

// A formula gives the optimum: nothing is searched.
bool is_formula(const GridShape& shape) {
  return node_gpus(shape) == 1 || shape.slots_per_gpu == 1 ||
         (shape.slots_per_gpu == 2 && shape.slots() == shape.experts);
}

// Every GPU can hold every expert equally often: the first placement is at the mean.
bool is_even(const GridShape& shape) { return shape.slots_per_gpu % node_experts(shape) == 0; }

// A step of the search looks at up to this many replicas, in multiples of 288/32: at all smaller
// ones, for each row of the heaviest GPU, where some GPU is much lighter than the others.
double window(const GridShape& shape) {
  return double(shape.slots_per_gpu) * node_slots(shape) / (9 * 288);
}

// Does a slot of the search take at most what its reason explains, in multiples of a slot of
// 288/32? Everything beyond that is a cliff.
bool is_search(const MeasuredShape& shape, double reference) {
  const double times = shape.nanoseconds / reference;
  if (shape.shape.slots_per_gpu == 2) return times <= 10 + node_slots(shape.shape) / 40.0;
  return times <= 12 + 2 * window(shape.shape);
}

// The same where most swaps would make duplicates, so that partners are marked and looked at again.
bool is_search_with_clashes(const MeasuredShape& shape, double reference) {
  return shape.nanoseconds <= (40 + 16 * window(shape.shape)) * reference;
}

const KnownStep kKnownSteps[] = {
    // Searches are compared with searches: where the cheaper shape needs none, or ends at once, the
    // step is its gain. What the search itself may cost is bounded by the functions above.
    {nullptr, "the cheaper ends early; the costlier takes at most 3 times what 288/32 takes",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return costlier.nanoseconds <= 3 * reference;
     }},
    {nullptr, "a formula next to a search",
     [](const MeasuredShape& cheaper, const MeasuredShape& costlier, double reference) {
       return is_formula(cheaper.shape) && is_search(costlier, reference);
     }},
    {nullptr, "as many slots on a GPU as experts, or a multiple: at the mean without a search",
     [](const MeasuredShape& cheaper, const MeasuredShape& costlier, double reference) {
       return is_even(cheaper.shape) && is_search(costlier, reference);
     }},
    {nullptr, "slots a multiple of experts: even counts, and the search is soon at its bound",
     [](const MeasuredShape& cheaper, const MeasuredShape& costlier, double reference) {
       return node_slots(cheaper.shape) % node_experts(cheaper.shape) == 0 &&
              is_search(costlier, reference);
     }},
    {nullptr, "two slots per GPU, where counts alone are searched, next to more",
     [](const MeasuredShape& cheaper, const MeasuredShape& costlier, double reference) {
       return cheaper.shape.slots_per_gpu == 2 && costlier.shape.slots_per_gpu > 2 &&
              is_search(costlier, reference);
     }},
    // No answer of a node of more than 24 slots may change, so these stay.
    {nullptr, "24 slots or fewer, which are given less work, next to more",
     [](const MeasuredShape& cheaper, const MeasuredShape& costlier, double reference) {
       return node_slots(cheaper.shape) <= kTiny && node_slots(costlier.shape) > kTiny &&
              is_search(costlier, reference);
     }},
    {nullptr, "8 groups or more: all assignments to nodes that matter are tried, 65536 above 16",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       constexpr double kAttempts = 65536, kNanoseconds = 10;  // of an attempt, at most
       const GridShape& shape = costlier.shape;
       return shape.nodes > 1 && shape.groups >= 8 && shape.groups > shape.nodes &&
              node_slots(shape) > kTiny &&
              costlier.nanoseconds <= kAttempts * kNanoseconds / shape.slots() + 3 * reference;
     }},
    {nullptr, "fewer experts than two GPUs have slots: most swaps would make duplicates",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return node_experts(costlier.shape) < 2 * costlier.shape.slots_per_gpu &&
              is_search_with_clashes(costlier, reference);
     }},
    {nullptr, "many copies of few experts: the GPUs that hold an expert are marked one by one",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return 4 * node_experts(costlier.shape) <= node_slots(costlier.shape) &&
              is_search_with_clashes(costlier, reference);
     }},
    {nullptr, "pair swaps look at 16 GPUs at a time, however few there are",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return node_gpus(costlier.shape) <= kPairBlock && costlier.shape.slots_per_gpu >= 4 &&
              costlier.shape.slots_per_gpu <= kPairSlots &&
              is_search_with_clashes(costlier, reference);
     }},
    {nullptr,
     "more than 16 slots per GPU: partners of each are looked for, and no pairs are swapped",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return costlier.shape.slots_per_gpu > kPairSlots && is_search(costlier, reference);
     }},
    {nullptr, "more than 1024 slots: a step looks at all smaller replicas next to one light GPU",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return node_slots(costlier.shape) > kMany && is_search(costlier, reference);
     }},
    {"MAX", "up to 128 slots MAX has many short chains, by definition",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return node_slots(costlier.shape) <= kFew && is_search(costlier, reference);
     }},
    {"MAX",
     "the cheaper ends early; at MAX the costlier goes on, 5 times what 288/32 takes at most",
     [](const MeasuredShape&, const MeasuredShape& costlier, double reference) {
       return costlier.nanoseconds <= 5 * reference;
     }},
};

}  // namespace

const KnownStep* find_known(const std::string& effort, const MeasuredShape& cheaper,
                            const MeasuredShape& costlier, double reference) {
  const auto* found =
      std::find_if(std::begin(kKnownSteps), std::end(kKnownSteps), [&](const KnownStep& known) {
        return (!known.effort || known.effort == effort) &&
               known.holds(cheaper, costlier, reference);
      });
  return found == std::end(kKnownSteps) ? nullptr : found;
}

}  // namespace bench
