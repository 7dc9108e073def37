// Out of device memory is an answer like any other; what a context takes it gives back.
#include "problems.h"

namespace eplb::tests {
namespace {

bool is_out_of_memory(eplb_status status) {
  return CHECK(status == EPLB_DEVICE_OUT_OF_MEMORY || status == EPLB_OUT_OF_MEMORY) &&
         EXPECT(status, status);
}

eplb_status reserve_for(eplb_context* context, int64_t layers, int64_t experts, int64_t slots) {
  eplb_problem problem;
  EXPECT(EPLB_OK, CALL(problem_init)(&problem, sizeof problem, ERR));
  problem.num_slots = slots;
  problem.num_gpus = slots / 4;
  return CALL(context_reserve)(context, EPLB_FLOAT32, 1, layers, experts, &problem, nullptr, ERR);
}

// A terabyte for the placement alone.
void a_reserve_beyond_the_device() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(5, 1);
  Plan before, after;
  if (!input_upload_and_solve(context, in) || !before.fetch(context, in)) return;
  const Allocations held = allocations();
  is_out_of_memory(reserve_for(context, 1 << 20, 256, 1 << 18));
  EQUAL(held.used_bytes, allocations().used_bytes);
  if (after.fetch(context, in)) same_plan(before, after);
  EQUAL(cudaSuccess, cudaPeekAtLastError());
  if (input_upload_and_solve(context, in) && after.fetch(context, in)) same_plan(before, after);
}

void a_reserve_on_a_full_device() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(5, 2);
  Plan before, after;
  if (!input_upload_and_solve(context, in) || !before.fetch(context, in)) return;
  {
    const FullDevice full(int64_t{64} << 20);
    is_out_of_memory(reserve_for(context, 2000, 256, 16384));
    if (input_upload_and_solve(context, in) && after.fetch(context, in)) same_plan(before, after);
  }
  EXPECT(EPLB_OK, reserve_for(context, 100, 256, 512));
  if (input_upload_and_solve(context, in) && after.fetch(context, in)) same_plan(before, after);
}

// A host call whose device memory cannot be had: the plan before it stays.
void a_solve_on_a_full_device() {
  const Context context(EPLB_DEVICE_CUDA);
  const Input in = small_input(5, 3);
  Input large(input_make(EPLB_FLOAT32, 6000, 64, 4096, 256, 4));
  large->options.strategy = EPLB_STRATEGY_LPT_SWAP;
  Plan before, after;
  if (!input_upload_and_solve(context, in) || !before.fetch(context, in)) return;
  const FullDevice full(int64_t{64} << 20);
  if (!input_upload(context, large)) return;
  is_out_of_memory(CALL(solve)(context, &large->problem, &large->options, ERR));
  if (input_upload_and_solve(context, in) && after.fetch(context, in)) same_plan(before, after);
}

void contexts_give_everything_back() {
  const Input in = small_input(5, 5);
  const Stream stream;
  Allocations first;
  for (int round = 0; round < 5; round++) {
    {
      const Context context(EPLB_DEVICE_CUDA);
      DeviceCalls device(context, in, stream);
      if (device.reserve() && device.upload_and_solve()) CHECK(input_upload_and_solve(context, in));
    }
    if (round == 1) first = allocations();  // the first rounds may fill the driver's own pools
  }
  CHECK(allocations().used_bytes <= first.used_bytes);
}

// Work on the caller's stream may be under way when its context goes.
void destroy_waits_for_what_runs() {
  const Input in = small_input(5, 6);
  const Stream stream;
  for (int round = 0; round < 10; round++) {
    const Context context(EPLB_DEVICE_CUDA);
    DeviceCalls device(context, in, stream);
    if (device.reserve()) device.upload_and_solve();
  }
  stream.wait();
  EQUAL(cudaSuccess, cudaPeekAtLastError());
}

}  // namespace

void memory() {
  RUN(a_reserve_beyond_the_device);
  RUN(a_reserve_on_a_full_device);
  RUN(a_solve_on_a_full_device);
  RUN(contexts_give_everything_back);
  RUN(destroy_waits_for_what_runs);
}

}  // namespace eplb::tests
