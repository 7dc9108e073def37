// What the library tells of CUDA is true.
#include <cstring>

#include "machine.h"

namespace eplb::tests {
namespace {

void the_backend() {
  eplb_backend backend;
  char text[256];
  int driver = 0;
  std::memset(text, 0x55, sizeof text);
  EXPECT(EPLB_OK, CALL(backend_init)(&backend, sizeof backend, ERR));
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CUDA, &backend, text, sizeof text, ERR));
  CUDA(cudaDriverGetVersion(&driver));
  EQUAL(1, backend.built);
  EQUAL(EPLB_OK, backend.status);
  EQUAL(device_count(), backend.num_devices);
  EQUAL(driver, backend.driver_version);
  CHECK(backend.driver_needed > 0 && backend.driver_needed <= driver);
  CHECK(backend.runtime_version >= 12000);
  CHECK(std::memchr(text, 0, sizeof text) != nullptr && std::strstr(text, "CUDA") != nullptr);
}

void the_devices() {
  int32_t count = -7;
  EXPECT(EPLB_OK, CALL(device_count)(EPLB_DEVICE_CUDA, &count, ERR));
  EQUAL(device_count(), count);
  for (int32_t i = 0; i < count; i++) {
    char name[128] = "";
    cudaDeviceProp properties;
    EXPECT(EPLB_OK, CALL(device_name)(EPLB_DEVICE_CUDA, i, name, sizeof name, ERR));
    CUDA(cudaGetDeviceProperties(&properties, i));
    CHECK(std::strstr(name, properties.name) != nullptr);
  }
}

void devices_that_are_not_there() {
  eplb_context_options options;
  eplb_context *const mark = reinterpret_cast<eplb_context *>(&options), *context = mark;
  char name[128] = "as it was";
  EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
  options.device_kind = EPLB_DEVICE_CUDA;
  for (const int32_t index : {device_count(), 4096, -1}) {
    options.device_index = index;
    const eplb_status status = CALL(context_create)(&context, &options, ERR);
    CHECK(status == EPLB_NO_DEVICE || (index < 0 && status == EPLB_INVALID_ARGUMENT));
    REFUSED(status, status, std::to_string(index).c_str());
    CHECK(context == mark);
    CHECK(CALL(device_name)(EPLB_DEVICE_CUDA, index, name, sizeof name, ERR) == status);
    EXPECT(status, status);
    CHECK(std::strcmp(name, "as it was") == 0);
  }
}

}  // namespace

void facts() {
  RUN(the_backend);
  RUN(the_devices);
  RUN(devices_that_are_not_there);
}

}  // namespace eplb::tests
