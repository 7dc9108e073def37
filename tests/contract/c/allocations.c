#define _POSIX_C_SOURCE 200809L
#include "allocations.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>

#include "harness.h"

#if HARNESS_SANITIZED

int allocations_are_counted(void) { return 0; }
int64_t allocations_so_far(void) { return 0; }
int64_t allocated_bytes(void) { return 0; }
void allocations_fail(int64_t after, int from_then_on) { (void)after, (void)from_then_on; }
int64_t allocations_work(void) { return 0; }

#else

/* glibc's malloc under the names by which it can still be reached when an executable defines its
 * own. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);
int posix_memalign(void **out, size_t alignment, size_t size);
void *aligned_alloc(size_t alignment, size_t size);

static int64_t count, bytes, refused;
static int64_t left = -1; /* allocations until one fails; below 0: none will */
static int lasting;

int allocations_are_counted(void) { return 1; }
int64_t allocations_so_far(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
int64_t allocated_bytes(void) { return __atomic_load_n(&bytes, __ATOMIC_RELAXED); }

void allocations_fail(int64_t after, int from_then_on) {
  refused = 0;
  lasting = from_then_on;
  __atomic_store_n(&left, after, __ATOMIC_SEQ_CST);
}

int64_t allocations_work(void) {
  __atomic_store_n(&left, -1, __ATOMIC_SEQ_CST);
  return refused;
}

static int fails(void) {
  int64_t now = __atomic_load_n(&left, __ATOMIC_RELAXED);
  if (now < 0) return 0;
  if (now > 0) {
    __atomic_store_n(&left, now - 1, __ATOMIC_RELAXED);
    return 0;
  }
  if (!lasting) __atomic_store_n(&left, -1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
  errno = ENOMEM;
  return 1;
}

static void *counted(void *memory) {
  if (memory == NULL) return NULL;
  __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&bytes, (int64_t)malloc_usable_size(memory), __ATOMIC_RELAXED);
  return memory;
}

static void forget(void *memory) {
  if (memory != NULL)
    __atomic_fetch_sub(&bytes, (int64_t)malloc_usable_size(memory), __ATOMIC_RELAXED);
}

void *malloc(size_t size) { return fails() ? NULL : counted(__libc_malloc(size)); }

void *calloc(size_t n, size_t size) { return fails() ? NULL : counted(__libc_calloc(n, size)); }

void *realloc(void *old, size_t size) {
  int64_t before = old ? (int64_t)malloc_usable_size(old) : 0;
  void *memory;
  if (fails()) return NULL;
  memory = __libc_realloc(old, size);
  if (memory != NULL || size == 0) __atomic_fetch_sub(&bytes, before, __ATOMIC_RELAXED);
  return counted(memory);
}

void free(void *memory) {
  forget(memory);
  __libc_free(memory);
}

void *memalign(size_t alignment, size_t size) {
  return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size) {
  void *memory = memalign(alignment, size);
  if (memory == NULL) return ENOMEM;
  *out = memory;
  return 0;
}

#endif
