// The vocabulary of a stage: a template over a Team that is compiled for many targets.
//
// A stage is compiled once per instruction set of the host, each time in a namespace of its own,
// and once for the device. The file that includes it first decides where it lands, by its
// definition of EPLB_STAGE_BEGIN.
#pragma once

#ifndef EPLB_STAGE_BEGIN
#define EPLB_STAGE_BEGIN \
  namespace eplb {       \
  namespace solver {
#define EPLB_STAGE_END \
  }                    \
  }
#endif

// For lambdas that capture state by reference: inlined, that state stays in registers.
#define EPLB_INLINE __attribute__((always_inline))

#ifdef __CUDACC__
// All of a stage becomes part of one CUDA kernel: its state stays in registers, and the compiler
// sees which memory is shared memory.
#define EPLB_FN __host__ __device__ __forceinline__
#define EPLB_APART EPLB_FN
// For what is long and called from several places: a function of its own on the device too. Inlined
// at every call, it would keep nvcc busy for tens of minutes.
#define EPLB_ONCE inline __host__ __device__ __noinline__
#include <cuda/std/cstdint>
#else
#define EPLB_FN inline
// For what a hot loop rarely needs: out of line it takes no registers from the loop.
#define EPLB_APART __attribute__((noinline)) inline
#define EPLB_ONCE inline
#include <cstdint>
#endif

#define EPLB_RARELY(condition) __builtin_expect_with_probability(!!(condition), 0, 0.999)

EPLB_STAGE_BEGIN

inline constexpr int kNever = 0x7fffffff;  // as a key: never to be served
inline constexpr int64_t kNever64 = 0x7fffffffffffffff;

template <class Key> struct Never;
template <> struct Never<int> { static constexpr int key = kNever; };
template <> struct Never<int64_t> { static constexpr int64_t key = kNever64; };

// Overloaded for vectors of integers (machines/cpu/lanes_highway.h).
EPLB_FN int smaller(int a, int b) { return a < b ? a : b; }
EPLB_FN int larger(int a, int b) { return a > b ? a : b; }
EPLB_FN int magnitude(int a) { return a < 0 ? -a : a; }
EPLB_FN int choose(bool condition, int a, int b) { return condition ? a : b; }
EPLB_FN int value_of(int index) { return index; }  // of an index as a number
// A hash whose high bits differ between neighbours: odd factors near 2^32 / golden ratio, and one
// of MurmurHash3's.
inline constexpr uint32_t kScramble1 = 0x9E3779B1, kScramble2 = 0x85EBCA6B;
EPLB_FN int scrambled(int a, int salt) {
  uint32_t bits = static_cast<uint32_t>(a ^ salt) * kScramble1;
  bits ^= bits >> 15;
  return static_cast<int>(bits * kScramble2);
}
// The halves of a product of words.
EPLB_FN int upper_product(int a, uint32_t b) {
  return static_cast<int>(uint64_t{static_cast<uint32_t>(a)} * b >> 32);
}
EPLB_FN int lower_product(int a, uint32_t b) {
  return static_cast<int>(static_cast<uint32_t>(a) * b);
}

EPLB_STAGE_END
