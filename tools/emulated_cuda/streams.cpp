// Streams do nothing until somebody waits for them, or until chance lets them: an order that the
// program forgot to ask for does not come about by itself.
#include <algorithm>
#include <chrono>

#include "chance.h"
#include "machine.h"

namespace emulated {

static double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(since).count();
}

CUstream_st* find_stream(cudaStream_t stream) {
  if (!stream || stream == cudaStreamLegacy) return &current_device().legacy;
  if (stream == cudaStreamPerThread) {
    CUstream_st*& own = this_thread().own_streams[&current_device()];
    // Never destroyed.
    if (!own) own = new CUstream_st{&current_device(), true, nullptr, {}, nullptr, {}};
    return own;
  }
  return machine().streams.count(stream) ? stream : nullptr;
}

// The legacy stream waits for all blocking streams of its device, and each of those for it.
static void join_legacy(CUstream_st& stream, std::vector<Handle>& after) {
  if (!stream.blocking) return;
  CUstream_st& legacy = stream.device->legacy;
  if (&stream != &legacy) {
    if (legacy.last) after.push_back(legacy.last);
    return;
  }
  for (CUstream_st* other : machine().streams)
    if (other->blocking && other->device == stream.device && other->last)
      after.push_back(other->last);
}

cudaError_t submit(CUstream_st& stream, Work work, Handle* submitted) {
  if (stream.capture) return record(stream, std::move(work));
  if (const cudaError_t error = refuse_legacy(stream)) return error;
  auto operation = std::make_shared<Operation>();
  operation->device = stream.device;
  operation->work = std::move(work);
  operation->after.swap(stream.waits);
  if (stream.last) operation->after.push_back(stream.last);
  join_legacy(stream, operation->after);
  std::erase_if(operation->after, [](const Handle& before) { return before->done; });
  stream.last = operation;
  if (machine().pending.size() % 1024 == 0) count_pending();
  machine().pending.push_back(operation);
  if (submitted) *submitted = operation;
  return cudaSuccess;
}

static void run_alone(Operation& operation) {
  cudaError_t error = cudaSuccess;
  if (!operation.device->broken && operation.work) error = operation.work();
  if (error) operation.device->broken = error;
  operation.done = true;
  operation.finished = now();
  operation.work = nullptr;
  operation.after.clear();
}

// What comes before is run first, in any order that is allowed.
cudaError_t run(const Handle& wanted) {
  std::vector<Handle> stack{wanted};
  while (!stack.empty()) {
    const Handle top = stack.back();
    std::vector<Handle> before;
    for (const Handle& other : top->after)
      if (!other->done) before.push_back(other);
    if (!top->done && before.empty()) run_alone(*top);
    if (before.empty()) {
      stack.pop_back();
      continue;
    }
    stack.push_back(before[chance().below(before.size())]);
  }
  return wanted->device->broken;
}

size_t count_pending() {
  std::vector<Handle>& pending = machine().pending;
  std::erase_if(pending, [](const Handle& operation) { return operation->done; });
  return pending.size();
}

// While the host waits, other streams go on as well.
void finish(CUstream_st& stream) {
  make_progress();
  const Handle last = stream.last;
  if (last) run(last);
}

void finish_device(Device& device) {
  count_pending();
  std::vector<Handle> all = machine().pending;
  chance().shuffle(all);
  for (const Handle& operation : all)
    if (operation->device == &device && !operation->done) run(operation);
}

void make_progress() {
  if (!chance().one_in(static_cast<size_t>(machine().progress)) || count_pending() == 0) return;
  for (size_t steps = 1 + chance().below(3); steps > 0; --steps)
    run(machine().pending[chance().below(machine().pending.size())]);
}

namespace {

cudaError_t create_stream(cudaStream_t* stream, unsigned flags) {
  if (!stream || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
  *stream =
      new CUstream_st{&current_device(), flags != cudaStreamNonBlocking, nullptr, {}, nullptr, {}};
  machine().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t wait_event(CUstream_st& stream, CUevent_st& event) {
  if (event.capture) {
    Capture* capture = find_capture(event.capture);
    if (!capture) return cudaErrorCapturedEvent;
    if (stream.capture && stream.capture != capture) {
      invalidate(*stream.capture);
      invalidate(*capture);
      return cudaErrorStreamCaptureMerge;
    }
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (!stream.capture && &stream == &stream.device->legacy) return cudaErrorStreamCaptureImplicit;
    if (!stream.capture) {
      stream.capture = capture;
      stream.tail.clear();
      capture->streams.push_back(&stream);
    }
    stream.tail.insert(stream.tail.end(), event.tail.begin(), event.tail.end());
    return cudaSuccess;
  }
  if (!event.recorded) return cudaSuccess;
  if (stream.capture) {
    invalidate(*stream.capture);
    return cudaErrorStreamCaptureIsolation;
  }
  if (const cudaError_t error = refuse_legacy(stream)) return error;
  // The legacy stream's others wait for its operations, so this must be one.
  stream.waits.push_back(event.recorded);
  return submit(stream, nullptr);
}

cudaError_t record_event(CUevent_st& event, CUstream_st& stream) {
  if (event.device != stream.device) return cudaErrorInvalidResourceHandle;
  if (stream.capture) {
    if (stream.capture->invalid) return cudaErrorStreamCaptureInvalidated;
    event.capture = stream.capture->id;
    event.tail = stream.tail;
    event.recorded = nullptr;
    return cudaSuccess;
  }
  Handle operation;
  if (const cudaError_t error = submit(stream, nullptr, &operation)) return error;
  event.capture = 0;
  event.recorded = operation;
  return cudaSuccess;
}

template <class Body> cudaError_t with_stream(const char* name, cudaStream_t stream, Body body) {
  return call(name, Needs::kContext, [&](Machine& m) {
    CUstream_st* found = find_stream(stream);
    return found ? body(m, *found) : cudaErrorInvalidResourceHandle;
  });
}

template <class Body> cudaError_t with_event(const char* name, cudaEvent_t event, Body body) {
  return call(name, Needs::kContext, [&](Machine& m) {
    return m.events.count(event) ? body(m, *event) : cudaErrorInvalidResourceHandle;
  });
}

// The host asks what has become of an event.
cudaError_t ask_event(CUevent_st& event) {
  if (event.capture) {
    if (Capture* capture = find_capture(event.capture)) invalidate(*capture);
    return cudaErrorCapturedEvent;
  }
  return refuse_unsafe();
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return call("cudaStreamCreate", Needs::kContext,
              [=](Machine&) { return create_stream(stream, 0); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", Needs::kContext,
              [=](Machine&) { return create_stream(stream, flags); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return call("cudaStreamCreateWithPriority", Needs::kContext,
              [=](Machine&) { return create_stream(stream, flags); });
}

// What waits in it is run all the same, some time.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call("cudaStreamDestroy", Needs::kContext, [=](Machine& m) {
    if (!m.streams.erase(stream)) return cudaErrorInvalidResourceHandle;
    if (stream->capture) {
      invalidate(*stream->capture);
      std::erase(stream->capture->streams, stream);
      if (stream->capture->origin == stream) stream->capture->origin = nullptr;
    }
    delete stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return with_stream("cudaStreamSynchronize", stream, [](Machine& m, CUstream_st& s) {
    if (const cudaError_t error = refuse_wait(s)) return error;
    ++m.counts["synchronisations"];
    finish(s);
    return s.device->broken;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return with_stream("cudaStreamQuery", stream, [](Machine& m, CUstream_st& s) {
    if (const cudaError_t error = refuse_wait(s)) return error;
    // A caller that polls must see the end at some time.
    if (m.progress && s.last && !s.last->done && chance().one_in(4)) run(s.last);
    return s.last && !s.last->done ? cudaErrorNotReady : s.device->broken;
  });
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return with_stream("cudaStreamGetDevice", stream, [=](Machine&, CUstream_st& s) {
    *device = s.device->number;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return with_stream("cudaStreamWaitEvent", stream, [=](Machine& m, CUstream_st& s) {
    return m.events.count(event) ? wait_event(s, *event) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return with_stream("cudaLaunchHostFunc", stream, [=](Machine&, CUstream_st& s) {
    return submit(s, [=] {
      function(data);
      return cudaSuccess;
    });
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", Needs::kContext, [](Machine& m) {
    Device& device = current_device();
    for (const auto& capture : m.captures)
      if (capture->graph->device == &device) {
        invalidate(*capture);
        return cudaErrorStreamCaptureUnsupported;
      }
    if (const cudaError_t error = refuse_unsafe()) return error;
    ++m.counts["synchronisations"];
    finish_device(device);
    return device.broken;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", Needs::kContext, [=](Machine& m) {
    if (!event) return cudaErrorInvalidValue;
    *event = new CUevent_st{&current_device(), !(flags & cudaEventDisableTiming), nullptr, 0, {}};
    m.events.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return with_event("cudaEventDestroy", event, [](Machine& m, CUevent_st& e) {
    m.events.erase(&e);
    delete &e;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return with_event("cudaEventRecord", event, [=](Machine&, CUevent_st& e) {
    CUstream_st* s = find_stream(stream);
    return s ? record_event(e, *s) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return with_event("cudaEventSynchronize", event, [](Machine& m, CUevent_st& e) {
    if (const cudaError_t error = ask_event(e)) return error;
    ++m.counts["synchronisations"];
    return e.recorded ? run(e.recorded) : cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return with_event("cudaEventQuery", event, [](Machine& m, CUevent_st& e) {
    if (const cudaError_t error = ask_event(e)) return error;
    if (m.progress && e.recorded && !e.recorded->done && chance().one_in(4)) run(e.recorded);
    return e.recorded && !e.recorded->done ? cudaErrorNotReady : e.device->broken;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return with_event("cudaEventElapsedTime", from, [=](Machine& m, CUevent_st& first) {
    if (!m.events.count(to)) return cudaErrorInvalidResourceHandle;
    if (first.capture || to->capture) return cudaErrorCapturedEvent;
    if (!first.timing || !to->timing || !first.recorded || !to->recorded)
      return cudaErrorInvalidResourceHandle;
    if (!first.recorded->done || !to->recorded->done) return cudaErrorNotReady;
    *milliseconds = static_cast<float>(to->recorded->finished - first.recorded->finished);
    return cudaSuccess;
  });
}

}  // extern "C"
