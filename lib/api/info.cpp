#include "api/defaults.h"
#include "api/guard.h"
#include "api/structs.h"
#include "eplb.h"
#include "machines/machine.h"

using namespace eplb;
using namespace eplb::api;

namespace {

MachineFacts facts_of(eplb_device_kind kind) {
  if (kind == EPLB_DEVICE_CPU) return cpu::facts();
  if (kind == EPLB_DEVICE_CUDA) return cuda::facts();
  fail(EPLB_INVALID_ARGUMENT, "kind is %d, must be EPLB_DEVICE_CPU or EPLB_DEVICE_CUDA", kind);
}

int devices_of(eplb_device_kind kind) {
  const auto [backend, sentence] = facts_of(kind);
  if (backend.status == EPLB_NOT_BUILT || backend.status == EPLB_NO_DRIVER)
    fail(backend.status, "%s", sentence.c_str());
  return backend.num_devices;
}

void copy_text(const std::string& text, const char* name, char* out, const char* length_name,
               int64_t length) {
  if (out == nullptr) fail(EPLB_INVALID_ARGUMENT, "%s is NULL", name);
  check_least(length_name, length, 1);
  std::snprintf(out, static_cast<size_t>(length), "%s", text.c_str());
}

}  // namespace

int32_t eplb_abi_version(void) { return 1 << 16 | 2; }

const char* eplb_version_string(void) { return EPLB_VERSION_TEXT; }

const char* eplb_status_name(eplb_status status) {
  switch (status) {
    case EPLB_OK: return "EPLB_OK";
    case EPLB_INVALID_ARGUMENT: return "EPLB_INVALID_ARGUMENT";
    case EPLB_INVALID_STATE: return "EPLB_INVALID_STATE";
    case EPLB_INVALID_WEIGHT: return "EPLB_INVALID_WEIGHT";
    case EPLB_INVALID_PLACEMENT: return "EPLB_INVALID_PLACEMENT";
    case EPLB_UNAVAILABLE: return "EPLB_UNAVAILABLE";
    case EPLB_NOT_BUILT: return "EPLB_NOT_BUILT";
    case EPLB_NO_DRIVER: return "EPLB_NO_DRIVER";
    case EPLB_NO_DEVICE: return "EPLB_NO_DEVICE";
    case EPLB_OUT_OF_MEMORY: return "EPLB_OUT_OF_MEMORY";
    case EPLB_DEVICE_OUT_OF_MEMORY: return "EPLB_DEVICE_OUT_OF_MEMORY";
    case EPLB_DEVICE_ERROR: return "EPLB_DEVICE_ERROR";
    case EPLB_INTERRUPTED: return "EPLB_INTERRUPTED";
    case EPLB_INTERNAL_ERROR: return "EPLB_INTERNAL_ERROR";
    default: return "unknown status";
  }
}

eplb_status eplb_backend_init(eplb_backend* backend, int64_t struct_size, eplb_error* err) {
  return guard(err, [&] { init_struct(backend, struct_size, kBackend); });
}

eplb_status eplb_backend_info(eplb_device_kind kind, eplb_backend* backend, char* text,
                              int64_t text_length, eplb_error* err) {
  return guard(err, [&] {
    if (backend) read_struct(backend, kBackend);
    const MachineFacts facts = facts_of(kind);
    if (text || text_length != 0)
      copy_text(facts.sentence, "text", text, "text_length", text_length);
    if (backend) write_struct(backend, facts.backend);
  });
}

eplb_status eplb_device_count(eplb_device_kind kind, int32_t* count, eplb_error* err) {
  return guard(err, [&] {
    if (count == nullptr) fail(EPLB_INVALID_ARGUMENT, "count is NULL");
    *count = devices_of(kind);
  });
}

eplb_status eplb_device_name(eplb_device_kind kind, int32_t index, char* name, int64_t length,
                             eplb_error* err) {
  return guard(err, [&] {
    const int devices = devices_of(kind);
    if (index < 0 || index >= devices)
      fail(EPLB_NO_DEVICE, "index is %d, there are %d devices of this kind", index, devices);
    copy_text(kind == EPLB_DEVICE_CPU ? cpu::device_name() : cuda::device_name(index), "name", name,
              "length", length);
  });
}
