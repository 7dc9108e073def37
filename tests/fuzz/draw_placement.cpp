#include <algorithm>
#include <utility>

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

int64_t any_index(const std::vector<int64_t>& placement, Random& random) {
  return random.below(static_cast<int64_t>(placement.size()));
}

enum class Changes { kOtherExperts, kHoles, kSwaps };

void change(const Shape& shape, Changes kind, Random& random, std::vector<int64_t>& placement) {
  const int64_t index = any_index(placement, random), other = any_index(placement, random);
  int64_t& one = placement[static_cast<size_t>(index)];
  int64_t& two = placement[static_cast<size_t>(other)];
  switch (kind) {
    case Changes::kOtherExperts: one = random.below(shape.experts); break;
    case Changes::kHoles: one = -1; break;
    case Changes::kSwaps:
      if (index / shape.slots == other / shape.slots && one >= 0 && two >= 0) std::swap(one, two);
  }
}

}  // namespace

std::vector<int64_t> draw_placement(Bytes& bytes, const Shape& shape, const Gpus& gpus,
                                    const std::vector<int64_t>& near) {
  const uint8_t kinds = bytes.byte();
  Random random = bytes.random();
  std::vector<int64_t> placement(static_cast<size_t>(shape.layers * shape.slots), -1);
  const bool whole = kinds & 1 && shape.experts % shape.nodes == 0 && shape.gpus % shape.nodes == 0;
  if (near.size() == placement.size() && kinds & 2)
    placement = near;
  else
    for (int64_t layer = 0; layer < shape.layers; ++layer)
      fill_row(shape, gpus, whole, random, &placement[static_cast<size_t>(layer * shape.slots)]);
  const auto kind = static_cast<Changes>(std::min(kinds >> 4 & 3, 2));
  for (int64_t left = kinds & 4 ? 0 : random.below(shape.slots); left > 0; --left)
    change(shape, kind, random, placement);
  constexpr int64_t kWrong[] = {-2, 1 << 20, -1000, kMostSlots, kMostSlots - 1};
  if (kinds >= 250)
    placement[static_cast<size_t>(any_index(placement, random))] = bytes.pick(kWrong);
  return placement;
}

bool are_ids(const std::vector<int64_t>& placement) {
  return std::all_of(placement.begin(), placement.end(),
                     [](int64_t expert) { return expert >= -1 && expert < kMostSlots; });
}

}  // namespace eplb::fuzz
