// The caller's world: its current CUDA context and its last error are as they were after every
// call.
#include <functional>
#include <thread>

#include "problems.h"

namespace eplb::tests {
namespace {

// Checks are for one thread at a time: ours waits.
void in_a_fresh_thread(const std::function<void()>& body) { std::thread(body).join(); }

// All calls, host and device; `look` after each. Device memory and stream are the caller's, made
// beforehand.
struct EveryCall {
  Input in = small_input(4, 31);
  Stream stream;
  Buffer weights{in.bytes()}, out{8 * in->layers * in->problem.num_slots};
  std::vector<int32_t> placement =
      std::vector<int32_t>(static_cast<size_t>(in->layers * in->problem.num_slots));

  EveryCall() { weights.write(in->weights, in.bytes(), stream); }

  using Calls = std::vector<std::pair<const char*, std::function<eplb_status()>>>;

  Calls device_calls(eplb_context* const& context) {
    const int64_t slots = in->layers * in->problem.num_slots;
    return {
        {"reserve",
         [&, this] {
           return CALL(context_reserve)(context, in->dtype, 1, in->layers, in->experts,
                                        &in->problem, &in->options, ERR);
         }},
        {"upload_device",
         [&, this] {
           return CALL(upload_weights_device)(context, weights.data(), in.length(), in->dtype, 1,
                                              in->layers, in->experts, stream, ERR);
         }},
        {"solve_device",
         [&, this] {
           return CALL(solve_device)(context, &in->problem, &in->options, stream, ERR);
         }},
        {"fetch_device",
         [&, this, slots] {
           return CALL(fetch_map_device)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32,
                                         out.data(), slots, stream, ERR);
         }},
        {"synchronize", [&] { return CALL(context_synchronize)(context, ERR); }},
    };
  }

  Calls host_calls(eplb_context* const& context) {
    const int64_t slots = in->layers * in->problem.num_slots;
    return {
        {"upload",
         [&, this] {
           return CALL(upload_weights)(context, in->weights, in.length(), in->dtype, 1, in->layers,
                                       in->experts, ERR);
         }},
        {"solve", [&, this] { return CALL(solve)(context, &in->problem, &in->options, ERR); }},
        {"fetch",
         [&, this, slots] {
           return CALL(fetch_map)(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32,
                                  placement.data(), slots, ERR);
         }},
        {"report",
         [&] {
           eplb_report report;
           CALL(report_init)(&report, sizeof report, nullptr);
           return CALL(fetch_report)(context, &report, ERR);
         }},
        {"evaluate",
         [&, this, slots] {
           return CALL(evaluate)(context, &in->problem, placement.data(), slots, EPLB_INT32,
                                 nullptr, nullptr, nullptr, nullptr, 0, ERR);
         }},
    };
  }

  void run(const std::function<void(const char* call, eplb_status status)>& look) {
    eplb_context* context = nullptr;
    eplb_context_options options;
    int32_t count = 0;
    char name[128];
    EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
    options.device_kind = EPLB_DEVICE_CUDA;
    look("device_count", CALL(device_count)(EPLB_DEVICE_CUDA, &count, ERR));
    look("device_name", CALL(device_name)(EPLB_DEVICE_CUDA, 0, name, sizeof name, ERR));
    look("backend_info", CALL(backend_info)(EPLB_DEVICE_CUDA, nullptr, nullptr, 0, ERR));
    look("context_create", CALL(context_create)(&context, &options, ERR));
    for (const auto& [call, work] : device_calls(context)) look(call, work());
    for (const auto& [call, work] : host_calls(context)) look(call, work());
    CALL(context_destroy)(context);
    look("context_destroy", EXPECT(EPLB_OK, EPLB_OK) ? EPLB_OK : -1);
  }
};

// One check for each call, with its name.
void every_call_leaves(void* current) {
  EveryCall().run([&](const char* call, eplb_status status) {
    check_true(status == EPLB_OK, (std::string(call) + " is EPLB_OK").c_str(), __FILE__, __LINE__);
    check_true(current_context() == current,
               (std::string(call) + " leaves the current context").c_str(), __FILE__, __LINE__);
  });
}

void no_current_context_stays_none() {
  EveryCall calls;  // its memory needs a context, which this thread has and the other has not
  current_context();
  in_a_fresh_thread([&] {
    CHECK(current_context() == nullptr);
    calls.run([](const char* call, eplb_status status) {
      check_true(status == EPLB_OK, (std::string(call) + " is EPLB_OK").c_str(), __FILE__,
                 __LINE__);
      check_true(current_context() == nullptr,
                 (std::string(call) + " makes no context current").c_str(), __FILE__, __LINE__);
    });
  });
}

void the_same_devices_context_stays() {
  CUDA(cudaSetDevice(0));
  CUDA(cudaFree(nullptr));
  CHECK(current_context() != nullptr);
  every_call_leaves(current_context());
}

void another_devices_context_stays() {
  if (device_count() < 2) return test_skip("one device only");
  EveryCall calls;
  in_a_fresh_thread([&] {
    CUDA(cudaSetDevice(1));
    CUDA(cudaFree(nullptr));
    void* const theirs = current_context();
    CHECK(theirs != nullptr);
    calls.run([&](const char* call, eplb_status status) {
      int device = -1;
      check_true(status == EPLB_OK, (std::string(call) + " is EPLB_OK").c_str(), __FILE__,
                 __LINE__);
      check_true(current_context() == theirs,
                 (std::string(call) + " leaves the current context").c_str(), __FILE__, __LINE__);
      CUDA(cudaGetDevice(&device));
      EQUAL(1, device);
    });
  });
}

// A call that failed must not leave its traces either.
void failed_calls_leave_it_too() {
  const Context context(EPLB_DEVICE_CUDA);
  in_a_fresh_thread([&] {
    const Input in = small_input(2, 1);
    eplb_context_options options;
    eplb_context* none = nullptr;
    EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
    options.device_kind = EPLB_DEVICE_CUDA;
    options.device_index = 99;
    EXPECT(EPLB_NO_DEVICE, CALL(context_create)(&none, &options, ERR));
    EXPECT(EPLB_INVALID_STATE, CALL(solve)(context, &in->problem, &in->options, ERR));
    EXPECT(EPLB_INVALID_STATE,
           CALL(solve_device)(context, &in->problem, &in->options, nullptr, ERR));
    CHECK(current_context() == nullptr);
    EQUAL(cudaSuccess, cudaPeekAtLastError());
  });
}

// What an earlier call of the caller's has left is neither taken away nor called ours.
void the_callers_last_error_stays_theirs() {
  EveryCall calls;
  cudaSetDevice(12345);
  const cudaError_t theirs = cudaPeekAtLastError();
  CHECK(theirs != cudaSuccess);
  calls.run([&](const char* call, eplb_status status) {
    const std::string text = status == EPLB_OK ? "the caller's" : check_last_text();
    check_true(text.find("caller") != std::string::npos,
               (std::string(call) + " does well, or says whose error it is").c_str(), __FILE__,
               __LINE__);
    check_true(cudaPeekAtLastError() == theirs,
               (std::string(call) + " leaves the caller's error").c_str(), __FILE__, __LINE__);
  });
  cudaGetLastError();
}

void the_librarys_errors_are_not_the_callers() {
  cudaGetLastError();
  EveryCall().run([](const char* call, eplb_status) {
    check_true(cudaPeekAtLastError() == cudaSuccess,
               (std::string(call) + " leaves no error").c_str(), __FILE__, __LINE__);
  });
}

}  // namespace

void worlds() {
  RUN(no_current_context_stays_none);
  RUN(the_same_devices_context_stays);
  RUN(another_devices_context_stays);
  RUN(failed_calls_leave_it_too);
  RUN(the_callers_last_error_stays_theirs);
  RUN(the_librarys_errors_are_not_the_callers);
}

}  // namespace eplb::tests
