/* What tests may set and ask of the emulated CUDA. Plain C, so that it can also be had through
 * dlopen. Environment:
 *
 *   EMULATED_CUDA       no_driver, old_driver (12.4), no_device; unset: driver 13.0 and two devices
 *   EMULATED_CUDA_SEED  what chance starts from
 *   EMULATED_CUDA_SMS   multiprocessors of each device, 4 if unset
 *   EMULATED_CUDA_SHARED  bytes of shared memory that a block may have, 227 KiB if unset */
#ifndef EPLB_TESTS_EMULATION_H
#define EPLB_TESTS_EMULATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#define EMULATION_API __attribute__((visibility("default")))

EMULATION_API void emulation_seed(uint64_t seed);

/* Bytes of memory of a device; 1 GiB at first. */
EMULATION_API void emulation_set_capacity(int32_t device, uint64_t bytes);

/* 0: back to the environment's. */
EMULATION_API void emulation_set_multiprocessors(int32_t count);

/* Streams go on without a wait at one call in `one_in`, by chance; 0: only when somebody waits. 8
 * at first. */
EMULATION_API void emulation_set_progress(int32_t one_in);

/* Since the start: "allocations", "frees", "synchronisations" (calls that may block the host),
 * "launches" (kernels that were launched, not recorded), "calls" (of the runtime),
 * "implicit_contexts". Now: "pending" (operations that have not run), "live_bytes",
 * "live_allocations" (of devices and pinned), "streams", "events", "graphs", "retained" (primary
 * contexts). -1: no such name. */
EMULATION_API int64_t emulation_count(const char* name);

/* The call named so ("cudaMalloc", "cudaStreamCreateWithFlags", ...; "launch": any launch) fails
 * with the error, after `after` successes. "kernel": a kernel fails while it runs, and its context
 * is broken from then on. error = 0 takes it back. */
EMULATION_API void emulation_fail_next(const char* call, int32_t after, int32_t error);

/* Heals broken contexts, forgets failures to come, and the calling thread's last error and current
 * contexts. What was allocated or created stays. */
EMULATION_API void emulation_heal(void);

#ifdef __cplusplus
}
#endif
#endif
