/* Uses libeplb without linking it: a program that starts, and says why, where the library is not installed.
 *
 *     cc -std=c99 load_at_run_time.c $(pkg-config --cflags eplb) -ldl -o load_at_run_time
 *     ./load_at_run_time libeplb.so.0
 */
#include <dlfcn.h>
#include <eplb.h>
#include <stdio.h>

typedef int32_t abi_version_function(void);
typedef const char *version_function(void);
typedef eplb_status backend_info_function(eplb_device_kind, eplb_backend *, char *, int64_t, eplb_error *);

static const int32_t needed_abi = 1 << 16;

int main(int argc, char **argv) {
  abi_version_function *abi_version;
  version_function *version;
  backend_info_function *backend_info;
  char text[256];
  const char *name = argc > 1 ? argv[1] : "libeplb.so.0";
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }

  /* ISO C has no cast from an object pointer to a function pointer; POSIX promises that this copy works. */
  *(void **)&abi_version = dlsym(library, "eplb_abi_version");
  if (abi_version == NULL || abi_version() >> 16 != needed_abi >> 16 || abi_version() < needed_abi) {
    fprintf(stderr, "%s is not the libeplb that this program was written for\n", name);
    return 1;
  }
  *(void **)&version = dlsym(library, "eplb_version_string");
  *(void **)&backend_info = dlsym(library, "eplb_backend_info");
  printf("libeplb %s\n", version());
  backend_info(EPLB_DEVICE_CPU, NULL, text, sizeof text, NULL);
  printf("CPU: %s\n", text);
  backend_info(EPLB_DEVICE_CUDA, NULL, text, sizeof text, NULL);
  printf("CUDA: %s\n", text);
  return 0;
}
