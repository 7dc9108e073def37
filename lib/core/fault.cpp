#include "core/fault.h"

#include "core/error.h"

namespace eplb {
namespace {

enum class Subject { kWeight, kWeightsOfLayer, kExpert, kSlot, kSplitSlot, kSplitExpert };

struct Entry {
  eplb_status status;
  Subject subject;
  const char* sentence;  // after the subject's name
};

// In the order of the enum.
constexpr Entry kFaults[] = {
    {EPLB_INVALID_WEIGHT, Subject::kWeight, "is NaN"},
    {EPLB_INVALID_WEIGHT, Subject::kWeight, "is negative"},
    {EPLB_INVALID_WEIGHT, Subject::kWeight, "is infinite"},
    {EPLB_INVALID_WEIGHT, Subject::kWeight, "sum over windows to more than a float64 holds"},
    {EPLB_INVALID_WEIGHT, Subject::kWeight, "sum over windows to more than 2^63 - 1"},
    {EPLB_INVALID_WEIGHT, Subject::kWeightsOfLayer, "sum to more than a float64 holds"},
    {EPLB_INVALID_WEIGHT, Subject::kWeight, "is above what the float32 of greedy holds"},
    {EPLB_INVALID_WEIGHT, Subject::kWeightsOfLayer, "sum to more than the float32 of greedy holds"},
    {EPLB_INVALID_ARGUMENT, Subject::kExpert, "gets more replicas from greedy than max_replicas"},
    {EPLB_INVALID_PLACEMENT, Subject::kSlot, "is neither an expert of the weights nor -1"},
    {EPLB_INVALID_PLACEMENT, Subject::kSplitSlot,
     "is neither an expert in an open slot nor -1, so its tokens cannot be split"},
    {EPLB_INVALID_PLACEMENT, Subject::kSplitExpert,
     "has no replica that its tokens could be split over"},
};
static_assert(sizeof kFaults / sizeof *kFaults == static_cast<size_t>(Fault::kSplitExpert) + 1);

const char* consequence_of(Subject subject) {
  switch (subject) {
    case Subject::kSlot: return ": the layer's current placement counts as empty";
    case Subject::kSplitSlot:
    case Subject::kSplitExpert: return ": the layer's placement counts as empty";
    default: return ": the layer was solved as zeros";
  }
}

}  // namespace

void fail_with(Fault fault, const FaultPlace& place, bool late) {
  const auto& [status, subject, sentence] = kFaults[static_cast<int>(fault)];
  const char* const consequence = late ? consequence_of(subject) : "";
  const ll window = place.window, layer = place.layer, expert = place.expert;
  if (subject == Subject::kExpert || subject == Subject::kSplitExpert)
    fail(status, "expert %lld of layer %lld %s%s", expert, layer, sentence, consequence);
  if (subject == Subject::kSlot || subject == Subject::kSplitSlot)
    fail(status, "%splacement[layer %lld, slot %lld] %s%s",
         subject == Subject::kSlot ? "current " : "", layer, expert, sentence, consequence);
  char of_window[32] = "", of_expert[32] = "";
  if (window >= 0) std::snprintf(of_window, sizeof of_window, "window %lld, ", window);
  if (subject == Subject::kWeight)
    std::snprintf(of_expert, sizeof of_expert, ", expert %lld", expert);
  fail(status, "weights[%slayer %lld%s] %s%s", of_window, layer, of_expert, sentence, consequence);
}

}  // namespace eplb
