// The words that nvcc adds to C++, and its small vectors.
#pragma once

#include <memory>  // uses an attribute that is called __noinline__ too, so it must come before

#define __host__
#define __device__
#define __global__
#define __constant__
#define __managed__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
// nvcc lets every file have its own copy of a device function that is no template; so does inline.
#define __noinline__ inline __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
// Blocks run one after another, each in the thread that found it waiting.
#define __shared__ thread_local

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

#define EMULATED_VECTOR(name, type)                                       \
  struct alignas(2 * sizeof(type)) name##2 {                              \
    type x, y;                                                            \
  };                                                                      \
  struct alignas(4 * sizeof(type) > 16 ? 16 : 4 * sizeof(type)) name##4 { \
    type x, y, z, w;                                                      \
  };                                                                      \
  constexpr name##2 make_##name##2(type x, type y) { return {x, y}; }     \
  constexpr name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMULATED_VECTOR(char, signed char)
EMULATED_VECTOR(uchar, unsigned char)
EMULATED_VECTOR(short, short)
EMULATED_VECTOR(ushort, unsigned short)
EMULATED_VECTOR(int, int)
EMULATED_VECTOR(uint, unsigned)
EMULATED_VECTOR(longlong, long long)
EMULATED_VECTOR(ulonglong, unsigned long long)
EMULATED_VECTOR(float, float)
EMULATED_VECTOR(double, double)
#undef EMULATED_VECTOR

// Where the running lane is. One lane of one block runs at a time in the whole process.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;
