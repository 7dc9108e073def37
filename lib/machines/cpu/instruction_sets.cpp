#include "machines/cpu/instruction_set.h"
#include "targets.h"

namespace eplb::cpu {

#define EPLB_DECLARE(target) extern const InstructionSet instruction_set_##target;
EPLB_TARGETS(EPLB_DECLARE)

std::span<const InstructionSet* const> instruction_sets() {
#define EPLB_LIST(target) &instruction_set_##target,
  static constexpr const InstructionSet* kAll[] = {EPLB_TARGETS(EPLB_LIST)};
  return kAll;
}

const InstructionSet& fastest_instruction_set() {
  for (const InstructionSet* instruction_set : instruction_sets())
    if (instruction_set->supported()) return *instruction_set;
  return *instruction_sets().back();
}

}  // namespace eplb::cpu
