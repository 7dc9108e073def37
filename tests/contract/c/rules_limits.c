/* An address space that ends: the library answers EPLB_OUT_OF_MEMORY, keeps what it had, and goes
 * on. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"
#include "invariants.h"

static int limit_address_space(rlim_t room) {
  struct rlimit limit;
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  int found = file != NULL && fscanf(file, "%lu", &pages) == 1;
  if (file != NULL) fclose(file);
  if (!CHECK(found) || !CHECK(getrlimit(RLIMIT_AS, &limit) == 0)) return 0;
  limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + room;
  return CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* An emulator of a processor may answer that it set the limit, and go on without. */
static int address_space_can_be_limited(void) {
  const rlim_t plenty = (rlim_t)1 << 46;
  struct rlimit before, limit;
  if (!CHECK(getrlimit(RLIMIT_AS, &before) == 0)) return 0;
  limit = before;
  if (limit.rlim_cur > plenty) limit.rlim_cur = plenty;
  if (setrlimit(RLIMIT_AS, &limit) != 0 || getrlimit(RLIMIT_AS, &limit) != 0) return 0;
  return setrlimit(RLIMIT_AS, &before) == 0 && limit.rlim_cur <= plenty;
}

/* The weights are pages of zeros that were never touched: a caller may have them where the library
 * cannot have a copy. */
static void in_a_small_address_space(void) {
  const int64_t layers = (int64_t)1 << 18, experts = 256;
  size_t bytes = (size_t)(layers * experts) * sizeof(float);
  float *weights = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  input in = input_make(EPLB_FLOAT32, 2, 8, 16, 8, 67);
  eplb_context *context = context_solved(&in);
  input many = input_make(EPLB_FLOAT32, 256, 8, 16, 8, 68);
  plan before;
  if (!CHECK(weights != MAP_FAILED) || context == NULL || !plan_fetch(&before, context, &in))
    return;
  if (!limit_address_space(32 << 20)) return;
  REFUSED(EPLB_OUT_OF_MEMORY,
          CALL(upload_weights)(context, weights, layers * experts, EPLB_FLOAT32, 1, layers, experts,
                               ERR),
          "memory");
  plan_still_there(&before, context, &in);
  in.problem.num_slots = 256;
  REFUSED(EPLB_OUT_OF_MEMORY,
          CALL(context_reserve)(context, EPLB_FLOAT64, 1, layers, experts, &in.problem, NULL, ERR),
          "memory");
  in.problem.num_slots = 16;
  plan_still_there(&before, context, &in);
  plan_free(&before);
  if (!input_upload_and_solve(context, &many) || !plan_fetch(&before, context, &many)) return;
  many.problem.num_slots = (int64_t)1 << 18; /* 256 MiB of slots, and the weights are small */
  REFUSED(EPLB_OUT_OF_MEMORY, CALL(solve)(context, &many.problem, NULL, ERR), "memory");
  many.problem.num_slots = 16;
  plan_still_there(&before, context, &many);
  if (input_upload_and_solve(context, &in)) invariants_hold(context, &in, NULL);
  input_free(&many);
  plan_free(&before);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void too_little_address_space(void) {
  if (HARNESS_SANITIZED)
    test_skip("a sanitizer needs the whole address space");
  else if (!address_space_can_be_limited())
    test_skip("the address space cannot be limited here");
  else
    run_in_child(in_a_small_address_space);
}

void rules_limits(void) { RUN(too_little_address_space); }
