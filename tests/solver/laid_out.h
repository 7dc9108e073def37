// What a stage lays out, in memory of its own.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "solver/team/memory.h"

namespace eplb::tests {

// The memory was used before.
template <class Stage> class LaidOut {
 public:
  explicit LaidOut(const Problem& problem) {
    solver::Arena count(nullptr);
    stage_.lay_out(count, problem);
    memory_.assign(static_cast<size_t>(count.used()) + 64, std::byte{0x5a});
    void* start = memory_.data();
    size_t space = memory_.size();
    solver::Arena arena(std::align(64, static_cast<size_t>(count.used()), start, space));
    stage_.lay_out(arena, problem);
  }
  const Stage& operator*() const { return stage_; }
  const Stage* operator->() const { return &stage_; }

 private:
  std::vector<std::byte> memory_;
  Stage stage_;
};

}  // namespace eplb::tests
