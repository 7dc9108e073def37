// CUDA on the host, for tests only: the names of NVIDIA's cuda_runtime.h, so that device code and
// its host code compile as plain C++20 and run here. Neither __CUDACC__ nor __CUDA_ARCH__ is
// defined: for the compiler, this is the host.
#pragma once

#include <emulated/arithmetic.h>
#include <emulated/atomics.h>
#include <emulated/launch.h>
#include <emulated/qualifiers.h>
#include <emulated/runtime.h>
#include <emulated/warp.h>
