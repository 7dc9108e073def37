#include <algorithm>
#include <numeric>

#include "draw.h"

namespace eplb::fuzz {
namespace {

// Every expert, then any, in the open slots; in groups on nodes if `whole`.
void fill_row(const Shape& shape, const Gpus& gpus, bool whole, Random& random, int64_t* row) {
  const int64_t nodes = whole ? shape.nodes : 1, each = shape.slots / nodes;
  const int64_t of_node = shape.experts / nodes;
  for (int64_t node = 0; node < nodes; ++node) {
    std::vector<int64_t> slots;
    for (int64_t slot = node * each; slot < (node + 1) * each; ++slot)
      if (gpus.is_open(slot)) slots.push_back(slot);
    for (size_t i = slots.size(); i > 1; --i)
      std::swap(slots[i - 1], slots[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
    for (size_t i = 0; i < slots.size(); ++i) {
      const auto number = static_cast<int64_t>(i);
      row[slots[i]] = node * of_node + (number < of_node ? number : random.below(of_node));
    }
  }
}

}  // namespace

std::vector<int64_t> draw_placement(Bytes& bytes, const Shape& shape, const Gpus& gpus,
                                    const std::vector<int64_t>& near) {
  const auto length = static_cast<size_t>(shape.layers * shape.slots);
  const uint8_t kinds = bytes.byte();
  Random random = bytes.random();
  std::vector<int64_t> placement(length, -1);
  const bool whole = kinds & 1 && shape.experts % shape.nodes == 0 && shape.gpus % shape.nodes == 0;
  if (near.size() == length && kinds & 2)
    placement = near;
  else
    for (int64_t layer = 0; layer < shape.layers; ++layer)
      fill_row(shape, gpus, whole, random, &placement[static_cast<size_t>(layer * shape.slots)]);
  // Swaps, other experts, slots that hold nothing.
  const int64_t changes = kinds & 4 ? 0 : random.below(shape.slots);
  for (int64_t i = 0; i < changes; ++i) {
    const auto one = static_cast<size_t>(random.below(static_cast<int64_t>(length)));
    const auto other = static_cast<size_t>(random.below(static_cast<int64_t>(length)));
    switch (kinds >> 4 & 3) {
      case 0: placement[one] = random.below(shape.experts); break;
      case 1: placement[one] = -1; break;
      default:
        if (one / static_cast<size_t>(shape.slots) == other / static_cast<size_t>(shape.slots) &&
            placement[one] >= 0 && placement[other] >= 0)
          std::swap(placement[one], placement[other]);
    }
  }
  constexpr int64_t kWrong[] = {-2, 1 << 20, -1000, kMostSlots, kMostSlots - 1};
  if (kinds >= 250)
    placement[static_cast<size_t>(random.below(static_cast<int64_t>(length)))] = bytes.pick(kWrong);
  return placement;
}

}  // namespace eplb::fuzz
