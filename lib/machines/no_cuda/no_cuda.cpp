// Stands in for machines/cuda in builds without nvcc: the same names, which say why there is no
// CUDA.
#include "core/error.h"
#include "machines/machine.h"

namespace eplb::cuda {

MachineFacts facts() {
  MachineFacts facts;
  facts.backend.status = EPLB_NOT_BUILT;
  facts.sentence =
      "this libeplb was built without CUDA: where CMake finds an nvcc, EPLB_CUDA=ON builds it in";
  return facts;
}

std::string device_name(int) { fail(EPLB_NOT_BUILT, "%s", facts().sentence.c_str()); }

std::unique_ptr<Machine> make_machine(int) { fail(EPLB_NOT_BUILT, "%s", facts().sentence.c_str()); }

}  // namespace eplb::cuda
