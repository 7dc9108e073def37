// How the current placement becomes a plan: who sends what to whom, and when. Worked out once per
// plan; reports and the MOVE_ maps read it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

struct Transfers {
  bool known = false;
  std::vector<LayerMoves> layers;             // [L]
  std::vector<int32_t> source, round, group;  // [L,S]: see the MOVE_ maps

  void resize(const Problem& problem) {
    known = false;
    layers.assign(static_cast<size_t>(problem.layers), {});
    for (auto* const map : {&source, &round, &group})
      map->resize(static_cast<size_t>(problem.layers * problem.cluster.slots));
  }
  int64_t bytes() const {
    return static_cast<int64_t>(layers.capacity() * sizeof(LayerMoves) +
                                (source.capacity() + round.capacity() + group.capacity()) *
                                    sizeof(int32_t));
  }
};

// Fills the figures of `report` that follow.
void fill_report(const Transfers& transfers, eplb_report& report);

}  // namespace eplb
