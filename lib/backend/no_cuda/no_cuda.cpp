// What stands in for backend/cuda where it was not built: the same names, and why there is nothing behind them.
#include "backend/backend.h"
#include "core/error.h"

namespace eplb::cuda {

BackendFacts facts() {
  BackendFacts facts;
  facts.sentence = "no CUDA in this build: the CUDA backend is not part of this version of libeplb";
  return facts;
}

std::string device_name(int) { fail(EPLB_NOT_BUILT, "%s", facts().sentence.c_str()); }

std::unique_ptr<Backend> make_backend(int) { fail(EPLB_NOT_BUILT, "%s", facts().sentence.c_str()); }

}  // namespace eplb::cuda
