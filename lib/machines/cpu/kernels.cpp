#include <iterator>

#include "machines/cpu/kernel.h"
#include "targets.h"

namespace eplb::cpu {

#define EPLB_DECLARE(target) extern const Kernel kernel_##target;
EPLB_TARGETS(EPLB_DECLARE)

Kernels kernels() {
#define EPLB_LIST(target) &kernel_##target,
  static constexpr const Kernel* kAll[] = {EPLB_TARGETS(EPLB_LIST)};
  return {std::begin(kAll), std::end(kAll)};
}

const Kernel& fastest_kernel() {
  for (const Kernel* kernel : kernels())
    if (kernel->supported()) return *kernel;
  return **(kernels().end() - 1);
}

}  // namespace eplb::cpu
