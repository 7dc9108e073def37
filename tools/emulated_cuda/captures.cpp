// Stream capture, and graphs: what a capturing stream is given is written down, with what it comes
// after, and run when the graph is launched, in any order that this allows.
#include <algorithm>

#include "chance.h"
#include "machine.h"

namespace emulated {

Capture* find_capture(uint64_t id) {
  for (const auto& capture : machine().captures)
    if (capture->id == id) return capture.get();
  return nullptr;
}

void invalidate(Capture& capture) { capture.invalid = true; }

cudaError_t record(CUstream_st& stream, Work work) {
  Capture& capture = *stream.capture;
  if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
  capture.graph->nodes.push_back({std::move(work), stream.tail});
  stream.tail = {capture.graph->nodes.size() - 1};
  return cudaSuccess;
}

// As the documentation of cudaThreadExchangeStreamCaptureMode has it.
cudaError_t refuse_unsafe() {
  const Thread& thread = this_thread();
  if (thread.mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (const auto& capture : machine().captures) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool in_the_way = own ? capture->mode != cudaStreamCaptureModeRelaxed
                                : capture->mode == cudaStreamCaptureModeGlobal &&
                                      thread.mode == cudaStreamCaptureModeGlobal;
    if (!in_the_way) continue;
    invalidate(*capture);
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

cudaError_t refuse_wait(CUstream_st& stream) {
  if (stream.capture) {
    invalidate(*stream.capture);
    return cudaErrorStreamCaptureUnsupported;
  }
  if (const cudaError_t error = refuse_legacy(stream)) return error;
  return refuse_unsafe();
}

cudaError_t refuse_legacy(CUstream_st& stream) {
  if (&stream != &stream.device->legacy) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (const auto& capture : machine().captures)
    for (const CUstream_st* captured : capture->streams)
      if (captured->blocking && captured->device == stream.device) {
        invalidate(*capture);
        error = cudaErrorStreamCaptureImplicit;
      }
  return error;
}

cudaError_t run_nodes(const std::vector<Node>& nodes) {
  std::vector<size_t> left;
  for (size_t i = 0; i < nodes.size(); ++i) left.push_back(i);
  std::vector<bool> done(nodes.size());
  while (!left.empty()) {
    std::vector<size_t> ready;
    for (size_t k = 0; k < left.size(); ++k)
      if (std::all_of(nodes[left[k]].after.begin(), nodes[left[k]].after.end(),
                      [&](size_t i) { return done[i]; }))
        ready.push_back(k);
    const size_t k = ready[chance().below(ready.size())];
    const Node& node = nodes[left[k]];
    if (const cudaError_t error = node.work ? node.work() : cudaSuccess) return error;
    done[left[k]] = true;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(k));
  }
  return cudaSuccess;
}

namespace {

// Is everything that was recorded before the end of the stream where the capture began?
bool all_joined(const Capture& capture) {
  std::vector<bool> reached(capture.graph->nodes.size());
  std::vector<size_t> stack = capture.origin->tail;
  while (!stack.empty()) {
    const size_t i = stack.back();
    stack.pop_back();
    if (reached[i]) continue;
    reached[i] = true;
    stack.insert(stack.end(), capture.graph->nodes[i].after.begin(),
                 capture.graph->nodes[i].after.end());
  }
  return std::all_of(reached.begin(), reached.end(), [](bool is) { return is; });
}

cudaError_t begin(CUstream_st& stream, cudaStreamCaptureMode mode) {
  Machine& m = machine();
  if (&stream == &stream.device->legacy) return cudaErrorStreamCaptureUnsupported;
  if (stream.capture) return cudaErrorIllegalState;
  auto capture = std::make_unique<Capture>();
  capture->id = ++m.captures_begun;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = &stream;
  capture->graph.reset(new CUgraph_st{stream.device, {}});
  capture->streams = {&stream};
  stream.capture = capture.get();
  stream.tail.clear();
  m.captures.push_back(std::move(capture));
  return cudaSuccess;
}

cudaError_t end(CUstream_st& stream, cudaGraph_t* graph) {
  Machine& m = machine();
  *graph = nullptr;
  if (!stream.capture) return cudaErrorIllegalState;
  Capture& capture = *stream.capture;
  if (capture.mode != cudaStreamCaptureModeRelaxed && capture.thread != std::this_thread::get_id())
    return cudaErrorStreamCaptureWrongThread;
  if (capture.origin != &stream) {
    invalidate(capture);
    return cudaErrorStreamCaptureUnmatched;
  }
  cudaError_t error = cudaSuccess;
  if (capture.invalid)
    error = cudaErrorStreamCaptureInvalidated;
  else if (!all_joined(capture))
    error = cudaErrorStreamCaptureUnjoined;
  if (!error) {
    *graph = capture.graph.release();
    m.graphs.insert(*graph);
  }
  for (CUstream_st* captured : capture.streams) {
    captured->capture = nullptr;
    captured->tail.clear();
  }
  std::erase_if(m.captures, [&](const auto& other) { return other.get() == &capture; });
  return error;
}

// The legacy stream cannot be asked while a blocking stream is being captured.
cudaError_t capture_status(CUstream_st& stream, cudaStreamCaptureStatus* status) {
  for (const auto& capture : machine().captures)
    for (const CUstream_st* captured : capture->streams)
      if (&stream == &stream.device->legacy && captured->blocking &&
          captured->device == stream.device)
        return cudaErrorStreamCaptureImplicit;
  *status = !stream.capture           ? cudaStreamCaptureStatusNone
            : stream.capture->invalid ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t launch_graph(CUgraphExec_st& executable, CUstream_st& stream) {
  if (executable.device != stream.device) return cudaErrorInvalidResourceHandle;
  if (executable.last && !stream.capture) stream.waits.push_back(executable.last);
  Handle operation;
  const cudaError_t error = submit(
      stream, [nodes = executable.nodes] { return run_nodes(*nodes); }, &operation);
  if (operation) executable.last = operation;
  return error;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", Needs::kContext, [=](Machine&) {
    CUstream_st* s = find_stream(stream);
    return s ? begin(*s, mode) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", Needs::kContext, [=](Machine&) {
    CUstream_st* s = find_stream(stream);
    return s ? end(*s, graph) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", Needs::kContext, [=](Machine&) {
    CUstream_st* s = find_stream(stream);
    return s ? capture_status(*s, status) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* num_dependencies) {
  return call("cudaStreamGetCaptureInfo", Needs::kContext, [=](Machine&) {
    CUstream_st* s = find_stream(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (dependencies || edges || num_dependencies) return cudaErrorNotSupported;
    if (const cudaError_t error = capture_status(*s, status)) return error;
    if (id) *id = s->capture ? s->capture->id : 0;
    if (graph) *graph = s->capture ? s->capture->graph.get() : nullptr;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return call("cudaThreadExchangeStreamCaptureMode", Needs::kDriver, [=](Machine&) {
    std::swap(*mode, this_thread().mode);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  return call("cudaGraphInstantiate", Needs::kContext, [=](Machine& m) {
    if (!executable || !m.graphs.count(graph)) return cudaErrorInvalidValue;
    *executable = new CUgraphExec_st{std::make_shared<std::vector<Node>>(graph->nodes),
                                     graph->device, nullptr};
    m.executables.insert(*executable);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
  return call("cudaGraphUpload", Needs::kContext, [=](Machine& m) {
    return m.executables.count(executable) && find_stream(stream) ? cudaSuccess
                                                                  : cudaErrorInvalidValue;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return call("cudaGraphLaunch", Needs::kContext, [=](Machine& m) {
    CUstream_st* s = find_stream(stream);
    if (!s || !m.executables.count(executable)) return cudaErrorInvalidResourceHandle;
    return launch_graph(*executable, *s);
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return call("cudaGraphGetNodes", Needs::kContext, [=](Machine& m) {
    if (!m.graphs.count(graph)) return cudaErrorInvalidValue;
    if (nodes) return cudaErrorNotSupported;
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy", Needs::kContext, [=](Machine& m) {
    if (!m.graphs.erase(graph)) return cudaErrorInvalidValue;
    delete graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return call("cudaGraphExecDestroy", Needs::kContext, [=](Machine& m) {
    if (!m.executables.erase(executable)) return cudaErrorInvalidValue;
    delete executable;
    return cudaSuccess;
  });
}

}  // extern "C"
