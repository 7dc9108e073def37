// Upload, solve and fetch captured once and replayed with new weights in the same buffer.
#include <limits>
#include <memory>

#include "problems.h"

namespace eplb::tests {
namespace {

Input input_for(const Method& method, uint64_t seed, int64_t windows = 1) {
  Input in = small_input(5 * windows, seed);
  in->windows = windows;
  in->layers = 5;
  if (windows > 1) in->problem.objective = EPLB_OBJECTIVE_WINDOWS;
  in->options.strategy = method.strategy;
  in->options.effort = method.effort;
  return in;
}

// A context, its reserve and the buffers of a captured sequence.
struct Captured {
  Captured(const Input& in, cudaStreamCaptureMode mode)
      : device(context, in, stream),
        placement(8 * device.map_length(EPLB_MAP_PHYSICAL_TO_LOGICAL)),
        slots(4 * device.map_length(EPLB_MAP_LOGICAL_TO_PHYSICAL)) {
    if (!device.reserve()) return;
    graph = std::make_unique<Graph>(stream, mode, [&] {
      device.upload_and_solve();
      EXPECT(EPLB_OK, device.fetch(EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, placement));
      EXPECT(EPLB_OK, device.fetch(EPLB_MAP_LOGICAL_TO_PHYSICAL, EPLB_INT32, slots));
    });
  }

  bool replay(const Input& in) {
    device.set_weights(in);
    return graph && graph->launch(stream);
  }

  void wrote(const plan* want) {
    const auto rows = placement.read<int64_t>(want->lengths[EPLB_MAP_PHYSICAL_TO_LOGICAL], stream);
    for (size_t i = 0;
         i < rows.size() && EQUAL(want->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL][i], rows[i]);)
      i++;
    const auto narrow = slots.read<int32_t>(want->lengths[EPLB_MAP_LOGICAL_TO_PHYSICAL], stream);
    for (size_t i = 0;
         i < narrow.size() && EQUAL(want->ints[EPLB_MAP_LOGICAL_TO_PHYSICAL][i], narrow[i]);)
      i++;
  }

  Context context{EPLB_DEVICE_CUDA};
  Stream stream;
  DeviceCalls device;
  Buffer placement, slots;
  std::unique_ptr<Graph> graph;
};

void replays_follow_the_weights(const Method& method, cudaStreamCaptureMode mode,
                                int64_t windows = 1) {
  const Input first = input_for(method, 100, windows);
  Captured captured(first, mode);
  Plan want, got;
  for (int round = 0; round < settings().rounds && !test_has_failed(); round++) {
    const Input in = input_for(method, 100 + static_cast<uint64_t>(round), windows);
    if (!captured.replay(in) || !solve_on_cpu(in, want)) return;
    captured.wrote(want);
    // A host call sees the last replay.
    if (round % 3 == 2 && got.fetch(captured.context, in)) same_plan(want, got);
  }
  if (!test_has_failed() && got.fetch(captured.context, first)) {
    same_plan(want, got);
    EQUAL(want->report.num_windows, got->report.num_windows);
    CHECK(want->report.windows_mean == got->report.windows_mean);
  }
  captured.device.maps_are(want);
  EXPECT(EPLB_OK, CALL(context_synchronize)(captured.context, ERR));
}

void a_replay_tells_bad_weights_too() {
  const Input good = input_for({EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL}, 200);
  Input bad = good.copy(), zeroed = good.copy();
  bad.weights<float>()[good->experts * 2 + 3] = std::numeric_limits<float>::quiet_NaN();
  zeroed.zero_layer(2);
  Captured captured(good, cudaStreamCaptureModeRelaxed);
  Plan want_good, want_zeroed;
  if (!solve_on_cpu(good, want_good) || !solve_on_cpu(zeroed, want_zeroed)) return;
  for (int round = 0; round < 3; round++) {
    if (captured.replay(good)) captured.wrote(want_good);
    EXPECT(EPLB_OK, CALL(context_synchronize)(captured.context, ERR));
    if (captured.replay(bad)) captured.wrote(want_zeroed);
    REFUSED(EPLB_INVALID_WEIGHT, CALL(context_synchronize)(captured.context, ERR),
            "layer 2, expert 3", "NaN");
    EXPECT(EPLB_OK, CALL(context_synchronize)(captured.context, ERR));
  }
}

// Work outside of the graph does not disturb what it replays.
void calls_between_replays() {
  const Method method{EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST};
  const Input first = input_for(method, 300), second = input_for(method, 301);
  Captured captured(first, cudaStreamCaptureModeRelaxed);
  Plan want_first, want_second, got;
  if (!solve_on_cpu(first, want_first) || !solve_on_cpu(second, want_second)) return;
  for (int round = 0; round < 3; round++) {
    if (captured.replay(first)) captured.wrote(want_first);
    if (input_upload_and_solve(captured.context, second) && got.fetch(captured.context, second))
      same_plan(want_second, got);
    captured.device.set_weights(second);
    if (captured.device.upload_and_solve()) captured.device.maps_are(want_second);
  }
}

// Memory that holds no plan of the last solve is not taken for one, whatever lies there.
void a_plan_that_never_came_is_refused() {
  const Input in = small_input(3, 500);
  Captured captured(in, cudaStreamCaptureModeRelaxed);  // and never launched
  std::vector<int32_t> map(
      static_cast<size_t>(captured.device.map_length(EPLB_MAP_PHYSICAL_TO_LOGICAL)));
  auto fetch = [&] {
    return CALL(fetch_map)(captured.context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, map.data(),
                           static_cast<int64_t>(map.size()), ERR);
  };
  REFUSED(EPLB_INVALID_STATE, fetch(), "captured");
  // What needs no plan goes on: there are weights from a call that was not captured.
  Plan host;
  if (!captured.device.upload() || !input_solve(captured.context, in) ||
      !host.fetch(captured.context, in))
    return;
  Input other(input_make(EPLB_FLOAT32, 3, 8, 12, 4, 501));
  if (!input_upload_and_solve(captured.context, other) || !captured.replay(in)) return;
  map.resize(3 * 12);
  // A graph of another problem has written over it.
  REFUSED(EPLB_INVALID_STATE, fetch(), "replayed");
  Plan want;
  if (!solve_on_cpu(in, want)) return;
  same_plan(want, host);
  if (captured.device.upload_and_solve()) captured.device.maps_are(want);
}

// A caller that captures a stream of its own may call the library meanwhile, host functions
// included.
void calls_while_the_caller_captures() {
  const Input in = input_for({EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL}, 400);
  for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal,
                          cudaStreamCaptureModeRelaxed}) {
    const Stream theirs;
    const Buffer buffer(64);
    Plan want, got;
    if (!solve_on_cpu(in, want)) return;
    const Graph graph(theirs, mode, [&] {
      CUDA(cudaMemsetAsync(buffer.data(), 7, 64, theirs));
      const Context context(EPLB_DEVICE_CUDA);
      if (input_upload_and_solve(context, in) && got.fetch(context, in)) same_plan(want, got);
    });
    if (graph.launch(theirs)) EQUAL(7, buffer.read<char>(64, theirs)[63]);
  }
}

}  // namespace

void graphs() {
  const std::pair<cudaStreamCaptureMode, const char*> modes[] = {
      {cudaStreamCaptureModeRelaxed, "relaxed"},
      {cudaStreamCaptureModeThreadLocal, "thread-local"},
      {cudaStreamCaptureModeGlobal, "global"}};
  for (const Method& method : all_methods())
    for (const auto& [mode, name] : modes) {
      if (mode != cudaStreamCaptureModeRelaxed && method.strategy != EPLB_STRATEGY_BEST) continue;
      test("a graph, " + method.name() + ", captured " + name,
           [&, mode = mode] { replays_follow_the_weights(method, mode); });
    }
  test("a graph, windows apart", [] {
    replays_follow_the_weights({EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL},
                               cudaStreamCaptureModeRelaxed, 3);
  });
  RUN(a_replay_tells_bad_weights_too);
  RUN(calls_between_replays);
  RUN(a_plan_that_never_came_is_refused);
  RUN(calls_while_the_caller_captures);
}

}  // namespace eplb::tests
