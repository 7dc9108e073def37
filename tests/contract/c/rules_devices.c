/* Devices as far as a CPU goes: the device names exist, CUDA is never used unasked, and it says why
 * it cannot be. */
#include <string.h>

#include "harness.h"
#include "plan.h"

static eplb_status cuda_status(void) {
  eplb_backend backend;
  char text[256];
  EXPECT(EPLB_OK, CALL(backend_init)(&backend, sizeof backend, ERR));
  memset(text, 0x55, sizeof text);
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CUDA, &backend, text, sizeof text, ERR));
  CHECK(memchr(text, 0, sizeof text) != NULL && strlen(text) > 10);
  CHECK(backend.built == 0 || backend.built == 1);
  CHECK(backend.built == 1 || backend.status == EPLB_NOT_BUILT);
  CHECK(backend.status == EPLB_OK || backend.num_devices == 0);
  return backend.status;
}

static void a_cpu_context_refuses_device_calls(void) {
  input in = input_make(EPLB_FLOAT32, 2, 8, 16, 8, 47);
  eplb_context *context = context_solved(&in);
  int64_t buffer[32];
  plan before;
  int i;
  if (context == NULL || !plan_fetch(&before, context, &in)) return;
  for (i = 0; i < 32; i++) buffer[i] = -7;
  INVALID(CALL(upload_weights_device)(context, in.weights, 16, EPLB_FLOAT32, 1, 2, 8, NULL, ERR),
          "CPU");
  INVALID(CALL(upload_placement_device)(context, buffer, 32, EPLB_INT64, 2, 16, NULL, ERR), "CPU");
  INVALID(CALL(upload_placement_device)(NULL, buffer, 32, EPLB_INT64, 2, 16, NULL, ERR), "context");
  INVALID(CALL(solve_device)(context, &in.problem, NULL, NULL, ERR), "CPU");
  INVALID(CALL(fetch_map_device)(context, 0, EPLB_INT64, buffer, 32, NULL, ERR), "CPU");
  INVALID(CALL(split_prepare_device)(context, &in.problem, buffer, 32, EPLB_INT64, NULL, ERR),
          "CPU");
  INVALID(CALL(split_device)(context, NULL, NULL, 0, 0, NULL, NULL, ERR), "CPU");
  INVALID(CALL(split_prepare_device)(NULL, &in.problem, buffer, 32, EPLB_INT64, NULL, ERR),
          "context");
  INVALID(CALL(split_device)(NULL, NULL, NULL, 0, 0, NULL, NULL, ERR), "context");
  INVALID(CALL(upload_weights_device)(NULL, in.weights, 16, EPLB_FLOAT32, 1, 2, 8, NULL, ERR),
          "context");
  INVALID(CALL(solve_device)(NULL, &in.problem, NULL, NULL, ERR), "context");
  INVALID(CALL(fetch_map_device)(NULL, 0, EPLB_INT64, buffer, 32, NULL, ERR), "context");
  for (i = 0; i < 32; i++) EQUAL(-7, buffer[i]);
  plan_still_there(&before, context, &in);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void cuda_says_why_it_cannot_be_had(void) {
  eplb_status why = cuda_status();
  eplb_context_options options;
  eplb_context *mark = (eplb_context *)(void *)&options, *context = mark;
  int32_t count = -7;
  char name[128] = "as it was";
  if (why == EPLB_OK) {
    test_skip("this machine has a CUDA device that works");
    return;
  }
  EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
  options.device_kind = EPLB_DEVICE_CUDA;
  REFUSED(why, CALL(context_create)(&context, &options, ERR), "CUDA");
  CHECK(context == mark);
  CHECK(CALL(device_count)(EPLB_DEVICE_CUDA, &count, ERR) == why || why == EPLB_NO_DEVICE);
  EQUAL(why == EPLB_NO_DEVICE ? 0 : -7, count);
  REFUSED(why, CALL(device_name)(EPLB_DEVICE_CUDA, 0, name, sizeof name, ERR), "CUDA");
  CHECK(strcmp(name, "as it was") == 0);
}

static void cpu_devices(void) {
  int32_t count = -7;
  char name[128] = "as it was";
  EXPECT(EPLB_OK, CALL(device_count)(EPLB_DEVICE_CPU, &count, ERR));
  EQUAL(1, count);
  REFUSED(EPLB_NO_DEVICE, CALL(device_name)(EPLB_DEVICE_CPU, 1, name, sizeof name, ERR), "1");
  CHECK(CALL(device_name)(EPLB_DEVICE_CPU, -1, name, sizeof name, ERR) != EPLB_OK);
  CHECK(strcmp(name, "as it was") == 0);
}

void rules_devices(void) {
  RUN(a_cpu_context_refuses_device_calls);
  RUN(cuda_says_why_it_cannot_be_had);
  RUN(cpu_devices);
}
