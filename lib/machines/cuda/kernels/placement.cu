// The current placement, checked on the device.
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/transfers/sources.h"

namespace eplb::cuda {
namespace {

template <class T>
__global__ void take_placement(const T* from, int64_t layers, int slots, int experts, int32_t* out,
                               FaultCode* fault) {
  WarpTeam team({nullptr});
  for_each_piece(layers, [&](int64_t layer) {
    const T* const given = from + layer * slots;
    int32_t* const taken = out + layer * slots;
    const int bad =
        team.find_of(slots, [&](int s) { return given[s] < -1 || given[s] >= experts; });
    team.for_each(slots, [&](int s) {
      taken[s] = bad == slots ? static_cast<int32_t>(given[s]) : solver::kNoExpert;
    });
    if (bad < slots)
      team.single([&] { atomicMin(fault, fault_code(layer, bad, Fault::kCurrent)); });
  });
}

}  // namespace

void prepare_take_placement() {
  prepare(take_placement<int32_t>, 0);
  prepare(take_placement<int64_t>, 0);
}

void launch_take_placement(const PlacementSource& source, int experts, int32_t* out,
                           FaultCode* fault, cudaStream_t stream) {
  const auto take =
      [&]<class T>(void (*kernel)(const T*, int64_t, int, int, int32_t*, FaultCode*)) {
        launch(kernel, grid_of(source.layers), 0, stream, static_cast<const T*>(source.data),
               source.layers, static_cast<int>(source.slots), experts, out, fault);
      };
  if (source.dtype == EPLB_INT64) return take(take_placement<int64_t>);
  take(take_placement<int32_t>);
}

}  // namespace eplb::cuda
