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
  const long long window = place.window, layer = place.layer, expert = place.expert;
  char where[96];
  if (fault == Fault::kCap)
    std::snprintf(where, sizeof where, "expert %lld of layer %lld", expert, layer);
  else if (entry.of_layer)
    std::snprintf(where, sizeof where, "weights[layer %lld]", layer);
  else if (window < 0)
    std::snprintf(where, sizeof where, "weights[layer %lld, expert %lld]", layer, expert);
  else
    std::snprintf(where, sizeof where, "weights[window %lld, layer %lld, expert %lld]", window,
                  layer, expert);
  fail(entry.status, "%s %s%s", where, entry.sentence, consequence);
}

}  // namespace eplb
