#include "core/fault.h"

#include "core/error.h"

namespace eplb {
namespace {

struct Entry {
  eplb_status status;
  bool of_layer;         // the sentence is about the layer, not one expert of it
  const char* sentence;  // after the weight's name
};

// In the order of the enum.
constexpr Entry kFaults[] = {
    {EPLB_INVALID_WEIGHT, false, "is NaN"},
    {EPLB_INVALID_WEIGHT, false, "is negative"},
    {EPLB_INVALID_WEIGHT, false, "is infinite"},
    {EPLB_INVALID_WEIGHT, false, "sum over windows to more than a float64 holds"},
    {EPLB_INVALID_WEIGHT, false, "sum over windows to more than 2^63 - 1"},
    {EPLB_INVALID_WEIGHT, true, "sum to more than a float64 holds"},
    {EPLB_INVALID_WEIGHT, false, "is above what the float32 of greedy holds"},
    {EPLB_INVALID_WEIGHT, true, "sum to more than the float32 of greedy holds"},
    {EPLB_INVALID_ARGUMENT, false, "gets more replicas from greedy than max_replicas"},
};
static_assert(sizeof kFaults / sizeof *kFaults == static_cast<size_t>(Fault::kCap) + 1);

}  // namespace

void fail_with(Fault fault, const FaultPlace& place, const char* consequence) {
  const Entry& entry = kFaults[static_cast<int>(fault)];
  const ll window = place.window, layer = place.layer, expert = place.expert;
  if (fault == Fault::kCap)
    fail(entry.status, "expert %lld of layer %lld %s%s", expert, layer, entry.sentence,
         consequence);
  char of_window[32] = "", of_expert[32] = "";
  if (window >= 0) std::snprintf(of_window, sizeof of_window, "window %lld, ", window);
  if (!entry.of_layer) std::snprintf(of_expert, sizeof of_expert, ", expert %lld", expert);
  fail(entry.status, "weights[%slayer %lld%s] %s%s", of_window, layer, of_expert, entry.sentence,
       consequence);
}

}  // namespace eplb
