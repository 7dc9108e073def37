/* Calls a library for another process, such as Python on a machine of another kind, see
 * remote_library.py:
 *
 *     remote_calls LIBRARY
 *
 * A call on standard input: int64 length and name of a function, int64 number of arguments, and of
 * each argument an int64 size; -1 is followed by an int64 value, any other by that many bytes, to
 * which the function gets a pointer. The answer on standard output: the int64 result; the int64
 * length of the text that it is and its bytes, or -1; and the bytes behind each pointer. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARGUMENTS = 12 };

/* Every argument of this API is an integer or a pointer, which the ABIs of x86-64 and aarch64 pass
 * in the same way whether the function wants 32 or 64 bits of it. */
typedef int64_t any_function(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                             int64_t, int64_t, int64_t, int64_t);

static void stop(const char *why) {
  fprintf(stderr, "remote_calls: %s\n", why);
  exit(2);
}

static void take(void *bytes, size_t size) {
  if (size > 0 && fread(bytes, 1, size, stdin) != size) stop("the call ends too early");
}

static int64_t take_int(void) {
  int64_t value;
  take(&value, sizeof value);
  return value;
}

static void give(const void *bytes, size_t size) {
  if (size > 0 && fwrite(bytes, 1, size, stdout) != size) stop("the answer cannot be written");
}

static void give_int(int64_t value) { give(&value, sizeof value); }

typedef struct call {
  char name[64];
  int64_t values[MOST_ARGUMENTS], sizes[MOST_ARGUMENTS], count;
} call;

/* False at the end of the input. */
static int take_call(call *out) {
  int64_t length, i;
  memset(out, 0, sizeof *out);
  if (fread(&length, sizeof length, 1, stdin) != 1) return 0;
  if (length < 0 || length >= (int64_t)sizeof out->name) stop("that is no name of a function");
  take(out->name, (size_t)length);
  out->count = take_int();
  if (out->count < 0 || out->count > MOST_ARGUMENTS) stop("too many arguments");
  for (i = 0; i < out->count; i++) {
    const int64_t size = out->sizes[i] = take_int();
    void *bytes = size < 0 ? NULL : malloc((size_t)size + 1);
    out->values[i] = size < 0 ? take_int() : (int64_t)(intptr_t)bytes;
    if (size < 0) continue;
    if (bytes == NULL) stop("no memory");
    take(bytes, (size_t)size);
  }
  return 1;
}

static int returns_text(const char *name) {
  return strcmp(name, "eplb_version_string") == 0 || strcmp(name, "eplb_status_name") == 0;
}

static void answer(const call *c, any_function *function) {
  const int64_t *v = c->values;
  const int64_t result =
      function(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11]);
  const char *text = returns_text(c->name) ? (const char *)(intptr_t)result : NULL;
  const int64_t length = text ? (int64_t)strlen(text) : -1;
  int64_t i;
  give_int(result);
  give_int(length);
  if (text != NULL) give(text, (size_t)length);
  for (i = 0; i < c->count; i++) {
    if (c->sizes[i] < 0) continue;
    give((const void *)(intptr_t)v[i], (size_t)c->sizes[i]);
    free((void *)(intptr_t)v[i]);
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  call next;
  if (library == NULL) stop(argc == 2 ? dlerror() : "usage: remote_calls LIBRARY");
  while (take_call(&next)) {
    any_function *function;
    *(void **)&function = dlsym(library, next.name);
    if (function == NULL) stop(next.name);
    answer(&next, function);
  }
  return 0;
}
