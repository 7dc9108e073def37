// What of a CUDA machine is about tokens: splits in device memory.
#include "core/error.h"
#include "machines/cuda/copies.h"
#include "machines/cuda/cuda_machine.h"

namespace eplb::cuda {
void CudaMachine::send(const SplitPlacement& over) {
  const DeviceScope scope(device_);
  const Problem& problem = over.problem;
  splits_.at_least(problem, limits_, stream_);
  const DeviceSplit to = splits_.of(problem, limits_);
  to_device(to.graphs, reinterpret_cast<const char*>(over.graphs.data()),
            problem.layers * to.graph_bytes, stream_);
  to_device(to.placement, over.expert.data(), problem.layers * problem.cluster.slots, stream_);
  finish(stream_);
}

SplitTask CudaMachine::split_task(const Problem& problem, bool integer) const {
  SplitTask task{};
  task.problem = on_device(problem);
  task.split = splits_.of(problem, limits_);
  task.weights = reserved_.weights(problem.layers, problem.experts, integer);
  task.fault = reserved_.fault();
  return task;
}

void CudaMachine::prepare_split_on(const Problem& problem, const void* placement, eplb_dtype dtype,
                                   void* stream) {
  if (reserved_.bytes() == 0 || !splits_.holds(problem, limits_))
    fail(EPLB_INVALID_STATE,
         "there is no device memory for splits of %lld layers of %d slots: call "
         "eplb_context_reserve, and eplb_split_prepare for a problem as large, first",
         ll(problem.layers), problem.cluster.slots);
  const DeviceScope scope(device_);
  SplitTask task = split_task(problem, false);
  task.placement = placement ? placement : reserved_.plan(problem).physical_to_logical;
  task.placement_dtype = placement ? dtype : EPLB_INT32;
  launch_split_placement(task, stream_of(stream));
  pending_.note(stream_of(stream), stream_);
}

void CudaMachine::split_on(const Problem& problem, bool integer, int tolerance, void* stream) {
  const DeviceScope scope(device_);
  SplitTask task = split_task(problem, integer);
  task.tolerance = tolerance;
  launch_split(task, stream_of(stream));
  pending_.note(stream_of(stream), stream_);
}

void CudaMachine::fetch_split_on(const Problem& problem, bool integer, eplb_map map,
                                 eplb_dtype dtype, void* buffer, void* stream) {
  const DeviceScope scope(device_);
  SplitTask task = split_task(problem, integer);
  task.map = buffer;
  task.which_map = map;
  task.map_dtype = dtype;
  launch_split_map(task, stream_of(stream));
  pending_.note(stream_of(stream), stream_);
}

void CudaMachine::bring(SplitPlacement& over, Split& split) {
  const DeviceScope scope(device_);
  const Problem& problem = over.problem;
  const DeviceSplit from = splits_.of(problem, limits_);
  const int64_t slots = problem.layers * problem.cluster.slots;
  to_host(over.expert.data(), from.placement, slots, stream_);
  to_host(split.quota.data(), from.quota, slots, stream_);
  to_host(split.tight.data(), from.tight, problem.layers * problem.cluster.gpus, stream_);
  finish(stream_);
}

}  // namespace eplb::cuda
