/* What the library says of itself, before anything is asked of it. */
#include <string.h>

#include "harness.h"

static void versions(void) {
  const char *version = CALL(version_string)();
  EQUAL(1, CALL(abi_version)() >> 16); /* the major that this harness was written for */
  CHECK((CALL(abi_version)() & 0xFFFF) < 1000);
  CHECK(version != NULL && strlen(version) >= 5 && strspn(version, "0123456789.") >= 5);
  CHECK(version == CALL(version_string)());
}

static void status_names(void) {
  static const struct {
    eplb_status status;
    const char *name;
  } known[] = {{EPLB_OK, "EPLB_OK"},
               {EPLB_INVALID_ARGUMENT, "EPLB_INVALID_ARGUMENT"},
               {EPLB_INVALID_STATE, "EPLB_INVALID_STATE"},
               {EPLB_INVALID_WEIGHT, "EPLB_INVALID_WEIGHT"},
               {EPLB_INVALID_PLACEMENT, "EPLB_INVALID_PLACEMENT"},
               {EPLB_UNAVAILABLE, "EPLB_UNAVAILABLE"},
               {EPLB_NOT_BUILT, "EPLB_NOT_BUILT"},
               {EPLB_NO_DRIVER, "EPLB_NO_DRIVER"},
               {EPLB_NO_DEVICE, "EPLB_NO_DEVICE"},
               {EPLB_OUT_OF_MEMORY, "EPLB_OUT_OF_MEMORY"},
               {EPLB_DEVICE_OUT_OF_MEMORY, "EPLB_DEVICE_OUT_OF_MEMORY"},
               {EPLB_DEVICE_ERROR, "EPLB_DEVICE_ERROR"},
               {EPLB_INTERRUPTED, "EPLB_INTERRUPTED"},
               {EPLB_INTERNAL_ERROR, "EPLB_INTERNAL_ERROR"}};
  static const eplb_status unknown[] = {-1, 5, 9, 31, 99, INT32_MAX, INT32_MIN};
  size_t i;
  for (i = 0; i < sizeof known / sizeof *known; i++)
    CHECK(strcmp(known[i].name, CALL(status_name)(known[i].status)) == 0);
  for (i = 0; i < sizeof unknown / sizeof *unknown; i++)
    CHECK(strcmp("unknown status", CALL(status_name)(unknown[i])) == 0);
}

static void the_cpu_is_there(void) {
  eplb_backend backend;
  char text[256];
  EXPECT(EPLB_OK, CALL(backend_init)(&backend, sizeof backend, ERR));
  memset(text, 0x55, sizeof text);
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CPU, &backend, text, sizeof text, ERR));
  EQUAL(1, backend.built);
  EQUAL(EPLB_OK, backend.status);
  EQUAL(1, backend.num_devices);
  EQUAL(0, backend.driver_version);
  EQUAL(0, backend.driver_needed);
  EQUAL(0, backend.runtime_version);
  EQUAL(sizeof backend, backend.struct_size);
  CHECK(memchr(text, 0, sizeof text) != NULL && strlen(text) > 2);
}

static void texts_are_cut_to_the_buffer(void) {
  char whole[256], cut[16], name[128];
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CPU, NULL, whole, sizeof whole, ERR));
  memset(cut, 0x55, sizeof cut);
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CPU, NULL, cut, 5, ERR));
  CHECK(strlen(whole) > 4 && memcmp(whole, cut, 4) == 0);
  CHECK(cut[4] == 0 && cut[5] == 0x55);
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CPU, NULL, NULL, 0, ERR));

  memset(name, 0x55, sizeof name);
  EXPECT(EPLB_OK, CALL(device_name)(EPLB_DEVICE_CPU, 0, name, sizeof name, ERR));
  CHECK(memchr(name, 0, sizeof name) != NULL && *name != 0);
  memset(cut, 0x55, sizeof cut);
  EXPECT(EPLB_OK, CALL(device_name)(EPLB_DEVICE_CPU, 0, cut, 1, ERR));
  CHECK(cut[0] == 0 && cut[1] == 0x55);
}

void library_facts(void) {
  RUN(versions);
  RUN(status_names);
  RUN(the_cpu_is_there);
  RUN(texts_are_cut_to_the_buffer);
}
