// The kernels of methods that search by excess: they call functions, which a compiler for devices
// may inline if it takes its time. See lib/CMakeLists.txt.
#include "machines/cuda/kernels/solve_kernels.cuh"

namespace eplb::cuda {

template struct SolveKernels<solver::ByExcess>;
template struct SolveKernels<solver::UnequalBestMethod>;

}  // namespace eplb::cuda
