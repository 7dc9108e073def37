// Contexts are independent: two threads, two streams, two devices. Threads collect, the main thread
// checks.
#include <array>
#include <atomic>
#include <thread>

#include "problems.h"

namespace eplb::tests {
namespace {

constexpr int kInputs = 4;

// What one thread works with; all of it is made before, and judged after, by the main thread.
struct Worker {
  Worker(int32_t device, uint64_t seed) : context(EPLB_DEVICE_CUDA, device) {
    for (int i = 0; i < kInputs; i++) {
      Input in = small_input(6, seed + static_cast<uint64_t>(i));
      in->options.strategy = EPLB_STRATEGY_BEST;
      in->options.effort = EPLB_EFFORT_FAST;
      solve_on_cpu(in, want[static_cast<size_t>(i)]);
      inputs.push_back(std::move(in));
    }
    got.resize(static_cast<size_t>(inputs.front()->layers * inputs.front()->problem.num_slots));
    const Input& in = inputs.front();
    EXPECT(EPLB_OK, CALL(context_reserve)(context, in->dtype, 1, in->layers, in->experts,
                                          &in->problem, &in->options, ERR));
  }

  void host_round(const Input& in) {
    note(CALL(upload_weights)(context, in->weights, in.length(), in->dtype, 1, in->layers,
                              in->experts, nullptr));
    note(CALL(solve)(context, &in->problem, &in->options, nullptr));
    note(CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, got.data(),
                         static_cast<int64_t>(got.size()), nullptr));
  }

  void device_round(const Input& in) {
    note(CALL(upload_weights_device)(context, weights.data(), in.length(), in->dtype, 1, in->layers,
                                     in->experts, stream, nullptr));
    note(CALL(solve_device)(context, &in->problem, &in->options, stream, nullptr));
    note(CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT64, got.data(),
                         static_cast<int64_t>(got.size()), nullptr));
  }

  void work(bool by_device_calls) {
    for (int round = 0; round < settings().rounds; round++) {
      const Input& in = inputs[static_cast<size_t>(round % kInputs)];
      if (by_device_calls &&
          cudaMemcpyAsync(weights.data(), in->weights, static_cast<size_t>(in.bytes()),
                          cudaMemcpyHostToDevice, stream) != cudaSuccess)
        failures++;
      by_device_calls ? device_round(in) : host_round(in);
      const plan* wanted = want[static_cast<size_t>(round % kInputs)];
      for (size_t i = 0; i < got.size(); i++)
        differences += got[i] != wanted->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL][i];
    }
  }

  void note(eplb_status status) { failures += status != EPLB_OK; }
  void judge() {
    EQUAL(0, failures);
    EQUAL(0, differences);
  }

  Context context;
  Stream stream;
  std::vector<Input> inputs;
  std::array<Plan, kInputs> want;
  Buffer weights{small_input(6, 1).bytes()};
  std::vector<int64_t> got;
  int failures = 0, differences = 0;
};

void side_by_side(Worker& first, Worker& second, bool by_device_calls) {
  std::thread other([&] { second.work(by_device_calls); });
  first.work(by_device_calls);
  other.join();
  first.judge();
  second.judge();
}

void two_contexts_on_two_threads() {
  for (const bool by_device_calls : {false, true}) {
    Worker first(0, 41), second(0, 51);
    side_by_side(first, second, by_device_calls);
  }
}

void two_devices() {
  if (device_count() < 2) return test_skip("one device only");
  Worker first(0, 61), second(1, 61);  // host calls: the workers' memory is on device 0
  side_by_side(first, second, false);
}

void a_context_moves_between_threads() {
  Worker worker(0, 71);
  for (int round = 0; round < 4; round++) std::thread([&] { worker.work(round % 2 == 0); }).join();
  worker.judge();
}

// A second call that comes while one runs is refused, and neither is harmed.
void one_context_in_two_threads_is_refused() {
  const Context context(EPLB_DEVICE_CUDA);
  Input in = small_input(200, 81);
  in->options.strategy = EPLB_STRATEGY_BEST;
  if (!input_upload(context, in)) return;
  std::atomic<bool> done = false;
  int odd = 0, solved = 0;
  std::thread other([&] {
    while (!done) {
      const eplb_status status = CALL(context_synchronize)(context, nullptr);
      odd += status != EPLB_INVALID_STATE && status != EPLB_OK;
    }
  });
  for (int i = 0; i < 200 && solved == 0; i++)
    solved += CALL(solve)(context, &in->problem, &in->options, nullptr) == EPLB_OK;
  done = true;
  other.join();
  EQUAL(0, odd);
  Plan want, got;
  if (input_solve(context, in) && solve_on_cpu(in, want) && got.fetch(context, in))
    same_plan(want, got);
}

// Solves are interrupted until one says so: the plan before is then still there, and the context
// works on. shares_moves: by a solve that a CUDA context leaves to the host. One of the device looks
// but once, before its kernels: many short ones, or it is never met where cores are busy.
void interrupt_a_solve(bool shares_moves) {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(shares_moves ? 200 : 1, 91);
  Plan before;
  if (!input_upload(context, in) || !input_solve(context, in) || !before.fetch(context, in)) return;
  std::vector<int64_t> current(
      before->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL],
      before->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + before->lengths[EPLB_MAP_PHYSICAL_TO_LOGICAL]);
  eplb_solve_options options = in->options;
  if (shares_moves) {
    options.strategy = EPLB_STRATEGY_REBALANCE;
    options.max_moves_total = 20;
    EXPECT(EPLB_OK,
           CALL(upload_placement)(context, current.data(), static_cast<int64_t>(current.size()),
                                  EPLB_INT64, in->layers, in->problem.num_slots, ERR));
    if (!input_solve(context, in) || !before.fetch(context, in)) return;
  }
  eplb_status status = EPLB_OK;
  for (int i = 0; i < 20000 && status == EPLB_OK && input_solve(context, in); i++) {
    std::atomic<bool> asks = false, done = false;
    std::thread other([&] {
      for (; !done; asks = true) CALL(context_interrupt)(context);
    });
    while (!asks) std::this_thread::yield();
    status = CALL(solve)(context, &in->problem, &options, ERR);
    done = true;
    other.join();
  }
  EQUAL(EPLB_INTERRUPTED, status);
  plan_still_there(before, context, in);
  EXPECT(EPLB_OK, CALL(solve)(context, &in->problem, &options, ERR));
}

void a_solve_is_interrupted() { interrupt_a_solve(false); }
void a_solve_on_the_host_is_interrupted() { interrupt_a_solve(true); }

}  // namespace

void threads() {
  RUN(two_contexts_on_two_threads);
  RUN(two_devices);
  RUN(a_context_moves_between_threads);
  RUN(one_context_in_two_threads_is_refused);
  RUN(a_solve_is_interrupted);
  RUN(a_solve_on_the_host_is_interrupted);
}

}  // namespace eplb::tests
