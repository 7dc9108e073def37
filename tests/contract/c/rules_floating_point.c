/* The caller's floating-point mode: it changes no answer, and it is what it was. */
#define _GNU_SOURCE
#include <fenv.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "harness.h"
#include "invariants.h"
#include "split.h"

enum { LAYERS = 3, EXPERTS = 32, SLOTS = 48, GPUS = 8 };

/* Weights that a processor which flushes denormals takes for zero, and others whose sums round. */
static input awkward_input(eplb_dtype dtype, eplb_strategy strategy) {
  input in = input_make(dtype, LAYERS, EXPERTS, SLOTS, GPUS, 71);
  int i;
  for (i = 0; i < EXPERTS; i++) {
    if (dtype == EPLB_FLOAT32) {
      ((float *)in.weights)[i] *= 1.4e-45f;
      ((float *)in.weights)[EXPERTS + i] /= 3;
    } else {
      ((double *)in.weights)[i] *= 4.9e-324;
      ((double *)in.weights)[EXPERTS + i] /= 3;
    }
  }
  in.options.strategy = strategy;
  return in;
}

/* The processor's control bits, without the flags that any addition may raise. */
static uint64_t control_bits(void) {
#if defined(__x86_64__)
  return _mm_getcsr() & ~0x3Fu;
#elif defined(__aarch64__)
  uint64_t bits;
  __asm__ volatile("mrs %0, fpcr" : "=r"(bits));
  return bits;
#else
  return 0;
#endif
}

static void (*set_mode)(void);

static void solved_in_the_mode(const input *in, int64_t threads) {
  eplb_context *plain = context_solved(in), *context = context_make(threads);
  plan p;
  split s;
  int rounding;
  uint64_t bits;
  fenv_t environment;
  if (plain == NULL || context == NULL || !invariants_hold(plain, in, &p) ||
      !split_over(plain, in, NULL, 0) || !split_fetch(&s, plain, in))
    return;
  fegetenv(&environment);
  set_mode();
  rounding = fegetround();
  bits = control_bits();
  if (input_upload_and_solve(context, in)) {
    EQUAL(rounding, fegetround());
    EQUAL(bits, control_bits());
    plan_still_there(&p, context, in);
    if (split_over(context, in, NULL, 0)) split_still_there(&s, context, in);
    EXPECT(EPLB_INVALID_ARGUMENT, CALL(fetch_map)(context, 0, EPLB_INT64, NULL, 1, ERR));
  }
  EQUAL(rounding, fegetround());
  EQUAL(bits, control_bits());
  fesetenv(&environment);
  plan_free(&p);
  split_free(&s);
  CALL(context_destroy)(plain);
  CALL(context_destroy)(context);
}

static void in_every_shape(void) {
  int dtype, strategy;
  for (strategy = EPLB_STRATEGY_GREEDY; strategy <= EPLB_STRATEGY_LPT_SWAP; strategy++)
    for (dtype = EPLB_FLOAT32; dtype <= EPLB_FLOAT64; dtype++) {
      input in = awkward_input(dtype, strategy);
      solved_in_the_mode(&in, 1);
      solved_in_the_mode(&in, 3);
      input_free(&in);
    }
}

static void round_down(void) { fesetround(FE_DOWNWARD); }
static void round_up(void) { fesetround(FE_UPWARD); }
static void round_to_zero(void) { fesetround(FE_TOWARDZERO); }

static void rounding_modes(void) {
  set_mode = round_down;
  in_every_shape();
  set_mode = round_up;
  in_every_shape();
  set_mode = round_to_zero;
  in_every_shape();
}

static void flush_and_round_down(void) {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, denormals are zero */
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(control_bits() | (uint64_t)1 << 24));
#endif
  fesetround(FE_DOWNWARD);
}

static void flush_to_zero(void) {
#if defined(__x86_64__) || defined(__aarch64__)
  set_mode = flush_and_round_down;
  in_every_shape();
#else
  test_skip("nobody wrote down how this machine flushes denormals");
#endif
}

#if defined(__GLIBC__)
static void trap(void) {
  feclearexcept(FE_ALL_EXCEPT); /* the old x87 unit traps on what is pending */
  feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INEXACT);
}

static void with_traps(void) {
  static const float zeros[8] = {0};
  input in = input_of(zeros, 8, 16, 8);
  set_mode = trap;
  solved_in_the_mode(&in, 1);
  solved_in_the_mode(&in, 2);
  in_every_shape();
  input_free(&in);
}
#endif

/* A caller who asked for SIGFPE on a division by zero means his own. */
static void trapped_exceptions(void) {
#if defined(__GLIBC__)
  run_in_child(with_traps);
#else
  test_skip("feenableexcept is glibc's");
#endif
}

void rules_floating_point(void) {
  RUN(rounding_modes);
  RUN(flush_to_zero);
  RUN(trapped_exceptions);
}
