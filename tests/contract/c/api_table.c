#define _POSIX_C_SOURCE 200809L
#include "api_table.h"

#include <dlfcn.h>
#include <string.h>

struct api api;

static const char *const names[API_FUNCTIONS] = {
#define EPLB_NAME(name) "eplb_" #name,
    EPLB_FUNCTIONS(EPLB_NAME)
#undef EPLB_NAME
};

static const char *loaded_path;
static int called[API_FUNCTIONS];

/* Tests call from several threads at once, hence atomic. */
void api_note(enum api_function function) {
  __atomic_store_n(&called[function], 1, __ATOMIC_RELAXED);
}

int api_was_called(enum api_function function) {
  return __atomic_load_n(&called[function], __ATOMIC_RELAXED);
}

const char *api_function_name(enum api_function function) { return names[function]; }

const char *api_path(void) { return loaded_path; }

const char *api_load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void *symbol;
  if (library == NULL) return dlerror();
    /* ISO C has no conversion between object and function pointers; POSIX promises that their bytes
     * are the same. */
#define EPLB_LOOKUP(name)                                 \
  symbol = dlsym(library, "eplb_" #name);                 \
  if (symbol == NULL) return "eplb_" #name " is missing"; \
  memcpy(&api.name, &symbol, sizeof symbol);
  EPLB_FUNCTIONS(EPLB_LOOKUP)
#undef EPLB_LOOKUP
  loaded_path = path;
  return NULL;
}
