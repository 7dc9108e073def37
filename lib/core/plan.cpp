#include "core/plan.h"

namespace eplb {
namespace {

// The terms of the sum are independent of each other, so that they can be added in any order, in
// parallel too.
class WordSum {
 public:
  void add(int64_t word) {
    at_ += 0x9E3779B97F4A7C15;
    uint64_t bits = at_ + static_cast<uint64_t>(word);
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
    sum_ += bits ^ (bits >> 31);
  }
  uint64_t sum() const { return sum_; }

 private:
  uint64_t at_ = 0, sum_ = 0;
};

}  // namespace

uint64_t fingerprint(const Plan& plan) {
  const Problem& problem = plan.problem;
  WordSum words;
  for (const int64_t size : {problem.layers, int64_t{problem.experts},
                             int64_t{problem.cluster.slots}, int64_t{problem.cluster.gpus}})
    words.add(size);
  for (const auto* const map : {&plan.physical_to_logical, &plan.replica_slots})
    for (const int32_t word : *map) words.add(word);
  return words.sum();
}

}  // namespace eplb
