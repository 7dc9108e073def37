#include "sweep_known.h"

#include <algorithm>
#include <iterator>

namespace bench {
namespace {

constexpr int kTiny = 24, kFew = 128;            // slots of a node up to which BEST works otherwise
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

const KnownStep kKnownSteps[] = {
    // Searches are compared with searches: where the cheaper shape needs none, or ends at once, the
    // step is its gain. What the search itself may cost is held by the first entry.
    {nullptr, "the cheaper ends early; the costlier takes at most 3 times what 288/32 takes",
     [](const MeasuredShape&, const MeasuredShape& costlier, double most) {
       return costlier.nanoseconds <= most;
     }},
    {nullptr, "a formula next to a search",
     [](const MeasuredShape& cheaper, const MeasuredShape&, double) {
       return is_formula(cheaper.shape);
     }},
    {nullptr, "as many slots on a GPU as experts, or a multiple: at the mean without a search",
     [](const MeasuredShape& cheaper, const MeasuredShape&, double) {
       return is_even(cheaper.shape);
     }},
    {nullptr, "slots a multiple of experts: even counts, and the search is soon at its bound",
     [](const MeasuredShape& cheaper, const MeasuredShape&, double) {
       return node_slots(cheaper.shape) % node_experts(cheaper.shape) == 0;
     }},
    {nullptr, "two slots per GPU, where counts alone are searched, next to more",
     [](const MeasuredShape& cheaper, const MeasuredShape& costlier, double) {
       return cheaper.shape.slots_per_gpu == 2 && costlier.shape.slots_per_gpu > 2;
     }},
    // No answer of a node of more than 24 slots may change, so these stay.
    {nullptr, "8 groups or more: all assignments to nodes that matter are tried, 65536 above 16",
     [](const MeasuredShape&, const MeasuredShape& costlier, double) {
       const GridShape& shape = costlier.shape;
       return shape.nodes > 1 && shape.groups >= 8 && shape.groups > shape.nodes &&
              node_slots(shape) > kTiny;
     }},
    {nullptr, "fewer experts than two GPUs have slots: most swaps would make duplicates",
     [](const MeasuredShape&, const MeasuredShape& costlier, double) {
       return node_experts(costlier.shape) < 2 * costlier.shape.slots_per_gpu;
     }},
    {nullptr, "pair swaps look at 16 GPUs at a time, however few there are",
     [](const MeasuredShape&, const MeasuredShape& costlier, double) {
       return node_gpus(costlier.shape) <= kPairBlock && costlier.shape.slots_per_gpu >= 4 &&
              costlier.shape.slots_per_gpu <= kPairSlots;
     }},
    // Open: answers must stay what they are, but the searches may become cheaper.
    {nullptr, "open: many copies of few experts, partners that would clash are judged one by one",
     [](const MeasuredShape&, const MeasuredShape& costlier, double) {
       return 4 * node_experts(costlier.shape) <= node_slots(costlier.shape);
     }},
    {nullptr, "open: more than 16 slots per GPU, partners that would clash are judged one by one",
     [](const MeasuredShape&, const MeasuredShape& costlier, double) {
       return costlier.shape.slots_per_gpu > kPairSlots;
     }},
    {nullptr, "open: two slots per GPU, each proposal looks at all slots",
     [](const MeasuredShape&, const MeasuredShape& costlier, double) {
       return costlier.shape.slots_per_gpu == 2 && node_slots(costlier.shape) > 1024;
     }},
    {"MAX", "up to 128 slots MAX has many short chains, by definition",
     [](const MeasuredShape&, const MeasuredShape& costlier, double) {
       return node_slots(costlier.shape) <= kFew;
     }},
};

}  // namespace

const KnownStep* find_known(const std::string& effort, const MeasuredShape& cheaper,
                            const MeasuredShape& costlier, double most) {
  const auto* found =
      std::find_if(std::begin(kKnownSteps), std::end(kKnownSteps), [&](const KnownStep& known) {
        return (!known.effort || known.effort == effort) && known.holds(cheaper, costlier, most);
      });
  return found == std::end(kKnownSteps) ? nullptr : found;
}

}  // namespace bench
