/* Uses libeplb without linking it: a program that starts, and says why, where there is no library, or the wrong one.
 *
 *     cc -std=c99 load_at_run_time.c $(pkg-config --cflags eplb) -ldl -o load_at_run_time
 *     ./load_at_run_time [LIBRARY]
 *
 * Without an argument it takes what EPLB_LIBRARY names, as the bindings do, else libeplb.so.0 where the system looks.
 */
#include <dlfcn.h>
#include <eplb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The ABI that this program was written for: another major is another contract, a lower minor lacks functions. */
enum { NEEDED_MAJOR = 1, NEEDED_MINOR = 0 };

typedef struct functions {
  int32_t (*abi_version)(void);
  const char *(*version_string)(void);
  eplb_status (*backend_info)(eplb_device_kind, eplb_backend *, char *, int64_t, eplb_error *);
} functions;

/* ISO C has no cast from an object pointer to a function pointer; POSIX promises that their bytes are the same. */
static int find(void *library, const char *file, const char *name, void *function) {
  void *symbol = dlsym(library, name);
  if (symbol == NULL) {
    fprintf(stderr, "%s has no %s: it is no libeplb, or a broken one\n", file, name);
    return 0;
  }
  memcpy(function, &symbol, sizeof symbol);
  return 1;
}

static int load(const char *file, functions *eplb) {
  int32_t version;
  void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "cannot load libeplb: %s\n", dlerror());
    if (strchr(file, '/') == NULL)
      fprintf(stderr, "Looked in LD_LIBRARY_PATH (%s) and where ldconfig knows libraries.\n",
              getenv("LD_LIBRARY_PATH") ? getenv("LD_LIBRARY_PATH") : "not set");
    return 0;
  }
  /* The version before all else: what another ABI has under the other names is anybody's guess. */
  if (!find(library, file, "eplb_abi_version", &eplb->abi_version)) return 0;
  version = eplb->abi_version();
  if (version >> 16 != NEEDED_MAJOR || (version & 0xFFFF) < NEEDED_MINOR) {
    fprintf(stderr, "%s has ABI %d.%d, but this program needs %d.%d or a later %d.x\n", file,
            (int)(version >> 16), (int)(version & 0xFFFF), NEEDED_MAJOR, NEEDED_MINOR,
            NEEDED_MAJOR);
    return 0;
  }
  return find(library, file, "eplb_version_string", &eplb->version_string) &&
         find(library, file, "eplb_backend_info", &eplb->backend_info);
}

int main(int argc, char **argv) {
  functions eplb;
  char text[256];
  const char *file = argc > 1 ? argv[1] : getenv("EPLB_LIBRARY");
  if (!load(file ? file : "libeplb.so.0", &eplb)) return 1;
  printf("libeplb %s\n", eplb.version_string());
  eplb.backend_info(EPLB_DEVICE_CPU, NULL, text, sizeof text, NULL);
  printf("CPU: %s\n", text);
  eplb.backend_info(EPLB_DEVICE_CUDA, NULL, text, sizeof text, NULL);
  printf("CUDA: %s\n", text);
  return 0;
}
