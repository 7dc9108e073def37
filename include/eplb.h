/* eplb.h - where every expert of a Mixture-of-Experts model goes, so that no GPU is late.
 *
 * This file is the whole contract of libeplb: what is not here is not API. C99 and later, C++ too.
 *
 * THE OBJECTS. A *context* owns everything: uploaded weights, the solved placement, scratch memory. You upload weights
 * once, solve as often as you like, and fetch the maps that you want:
 *
 *     eplb_context_create -> eplb_upload_weights -> eplb_solve -> eplb_fetch_map, eplb_fetch_report -> eplb_context_destroy
 *
 * THREADS. A context may move between threads but is used by one at a time: a second call that comes while one runs
 * answers EPLB_INVALID_STATE. Different contexts are independent. Functions without a context are free for all, at any
 * time. A context is useless after fork(): the child gets EPLB_INVALID_STATE and may only destroy it.
 *
 * A COMPLETE PROGRAM
 *
 *     #include <stdio.h>
 *     #include "eplb.h"
 *     int main(void) {
 *       float weights[8] = {600, 560, 120, 120, 20, 10, 10, 10};       // 1 layer, 8 experts: tokens routed to each
 *       int32_t placement[16];                                         // 1 layer, 16 slots: the expert in each
 *       eplb_error err;
 *       eplb_context *context = NULL;
 *       eplb_problem problem;
 *       eplb_problem_init(&problem, sizeof problem, NULL);
 *       problem.num_slots = 16;
 *       problem.num_gpus = 8;
 *       if (eplb_context_create(&context, NULL, &err) ||
 *           eplb_upload_weights(context, weights, 8, EPLB_FLOAT32, 1, 1, 8, &err) ||
 *           eplb_solve(context, &problem, NULL, &err) ||
 *           eplb_fetch_map(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement, 16, &err)) {
 *         fprintf(stderr, "%s: %s\n", eplb_status_name(err.code), err.text);
 *       } else {
 *         for (int s = 0; s < 16; s++) printf("GPU %d slot %d: expert %d\n", s / 2, s % 2, (int)placement[s]);
 *       }
 *       eplb_context_destroy(context);
 *     }
 *
 * WORDS. L layers, E logical experts, S slots (places for one expert's parameters), G GPUs, K = S/G slots per GPU: GPU g
 * owns slots g*K .. g*K+K-1. The *weight* of an expert is the number of tokens routed to it, measured. An expert has
 * c >= 1 *replicas*, each carries weight/c. The *load* of a GPU is the sum over its replicas. *Imbalance* of a layer is the
 * largest load over the mean load (1 is perfect; a layer without any weight has 1); of a model, the mean over its layers.
 *
 * ERRORS. Every function that can fail returns an eplb_status, 0 being success, and takes an eplb_error last, which may be
 * NULL. The struct is yours; every call writes it fully; there is nothing to free, nothing global, nothing per thread. The
 * text names the argument and the numbers. After a failed call on host memory, outputs and context are as they were.
 * Every function may answer EPLB_INVALID_ARGUMENT (a null pointer, a wrong length, a wrong struct_size) and, if it takes a
 * context, EPLB_INVALID_STATE (used by two threads at once, or after fork) and EPLB_OUT_OF_MEMORY; on a CUDA context also
 * EPLB_DEVICE_ERROR and EPLB_DEVICE_OUT_OF_MEMORY. Comments name what comes on top of that.
 *
 * CUDA. A context on a CUDA device takes the same calls: arrays in host memory, and every call returns finished. Next to them
 * stand ..._device functions for arrays in device memory: they work in the order of a stream, return at once, allocate
 * nothing (eplb_context_reserve does, before) and can be captured in a CUDA graph and replayed with new weights in the same
 * buffer. Streams are those of the device's primary context, which the CUDA runtime uses; the library adds no order between
 * them. Host and device calls may be mixed: a host call first waits for the context's earlier device calls and goes on from
 * what they left. Once one of them was captured it waits for the whole device, since replays cannot be seen, and so must not
 * come while something else is being captured there. What only the data can tell - a bad weight - is told later, see
 * eplb_context_synchronize. The caller's current CUDA context stays as it is, also if there is none.
 *
 * STRUCTS hold scalars only and begin with struct_size. Let the matching ..._init function fill them: it is the only writer
 * of defaults. Within an ABI major version structs grow at the end only, from the sizes of 1.0 on: a shorter struct of an older
 * program gets defaults for what it lacks, a longer one of a newer program is accepted if what this library does not know is
 * zero. Sizes below 1.0's and above 65536 bytes are refused.
 *
 * ARRAYS are contiguous, in C order, owned by the caller, and followed by their length in elements, not bytes.
 *
 * SAME ANSWER. The same weights, problem, options and library version give the same placement, bit for bit, on every
 * machine, instruction set, backend and thread count; and a layer's answer does not depend on the layers beside it. Ties go
 * to the lowest index.
 *
 * YOUR PROCESS stays as it was: no signal handlers, no output, no locale, no floating-point mode, no environment variables;
 * threads that a solve starts end with it and have all signals blocked. No exception leaves. Nothing aborts. No function
 * is a cancellation point: a thread that is cancelled (deferred, as is the default) finishes its call first.
 */
#ifndef EPLB_H
#define EPLB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------- constants and structs */

/* What a call answered. A newer library may know more codes: treat unknown ones as errors. */
typedef int32_t eplb_status;
enum {
  EPLB_OK = 0,
  EPLB_INVALID_ARGUMENT = 1,  /* the caller's: a shape, size, pointer, constant or struct that cannot be */
  EPLB_INVALID_STATE = 2,     /* the caller's: the wrong order of calls, two threads at once, after fork */
  EPLB_INVALID_WEIGHT = 3,    /* the data's: NaN, infinite, negative, or a sum that is out of range */
  EPLB_INVALID_PLACEMENT = 4, /* the data's: eplb_evaluate was given something that is no placement */
  EPLB_UNAVAILABLE = 10,      /* this version has no such strategy or option; a later one may */
  EPLB_NOT_BUILT = 11,        /* this library was built without that backend */
  EPLB_NO_DRIVER = 12,        /* no driver for that backend, or one that is too old */
  EPLB_NO_DEVICE = 13,        /* a driver, but no such device */
  EPLB_OUT_OF_MEMORY = 20,        /* no more host memory */
  EPLB_DEVICE_OUT_OF_MEMORY = 21, /* no more device memory */
  EPLB_DEVICE_ERROR = 22,         /* the device or its driver failed; the text carries its own words */
  EPLB_INTERNAL_ERROR = 30        /* a bug in this library: please report it with the text */
};

/* 256 bytes, frozen. `text` is always terminated; it is empty after success. */
typedef struct eplb_error {
  int32_t code; /* the eplb_status that the call returned */
  char text[252];
} eplb_error;

/* Types of array elements. */
typedef int32_t eplb_dtype;
enum { EPLB_FLOAT32 = 0, EPLB_FLOAT64 = 1, EPLB_INT32 = 2, EPLB_INT64 = 3 };

/* What a context works on. */
typedef int32_t eplb_device_kind;
enum {
  EPLB_DEVICE_CPU = 0, /* the processor that runs the program */
  EPLB_DEVICE_CUDA = 1 /* an NVIDIA GPU */
};

/* How replicas are counted and placed. */
typedef int32_t eplb_strategy;
enum {
  EPLB_STRATEGY_GREEDY = 0,          /* the published EPLB program (deepseek-ai/EPLB) in its own float32, sorts made stable */
  EPLB_STRATEGY_LPT_SWAP = 1,        /* longest first, then the best swaps of the heaviest GPU */
  EPLB_STRATEGY_L2_SWAP = 2,         /* longest first, then the swaps that lessen the sum of squared loads most */
  EPLB_STRATEGY_RANDOM_RESTARTS = 3, /* 4 noisy orders, swaps between the heaviest and the lightest GPU */
  EPLB_STRATEGY_NOISE_SPECTRUM = 4,  /* 64 orders from no noise to much */
  EPLB_STRATEGY_HYBRID_INIT = 5,     /* 128 starts: noisy, shuffled, folded */
  EPLB_STRATEGY_BEST = 6             /* tabu search with changing replica counts */
};

/* How much work EPLB_STRATEGY_BEST may do: a number of rounds, never a time. The other strategies ignore it. */
typedef int32_t eplb_effort;
enum {
  EPLB_EFFORT_FAST = 0,   /* the least */
  EPLB_EFFORT_NORMAL = 1, /* between the two */
  EPLB_EFFORT_MAX = 2     /* the most: for placements that will serve for long */
};

/* Whether the replicas of a group of experts must stay on one node. */
typedef int32_t eplb_policy;
enum {
  EPLB_POLICY_AUTO = 0,         /* hierarchical if num_groups is a multiple of num_nodes, else global: the published rule */
  EPLB_POLICY_HIERARCHICAL = 1, /* whole groups on nodes, replicas stay on their group's node */
  EPLB_POLICY_GLOBAL = 2        /* any replica on any GPU; nodes and groups need not fit, but must be counts */
};

/* Why the report's policy was used. */
typedef int32_t eplb_policy_reason;
enum {
  EPLB_POLICY_REASON_ASKED = 0,         /* the problem named it */
  EPLB_POLICY_REASON_GROUPS_DIVIDE = 1, /* auto, and num_groups is a multiple of num_nodes */
  EPLB_POLICY_REASON_GROUPS_DO_NOT = 2  /* auto, and it is not */
};

/* Which lower bound on the largest load a gap is measured against. All are proven; none depends on the strategy. */
typedef int32_t eplb_bound_kind;
enum {
  EPLB_BOUND_SIMPLE = 0,    /* the largest of: mean load, largest replica of the best counts (D'Hondt), pigeonhole */
  EPLB_BOUND_THRESHOLD = 1, /* two slots per GPU: how many replicas are too large for partners; slower, closer. Else simple */
  EPLB_BOUND_NODE = 2       /* reported, not asked for: what was asked for, and under a hierarchical policy the mean load of
                               the heaviest node in the best of all ways to put groups on nodes, up to 16 groups always and
                               with more where it was found; holds for hierarchical placements */
};

/* What can be fetched. Int maps come as EPLB_INT32 or EPLB_INT64, the others as EPLB_FLOAT64. */
typedef int32_t eplb_map;
enum {
  EPLB_MAP_PHYSICAL_TO_LOGICAL = 0, /* int [L,S]: the expert in each slot (-1 is reserved for empty slots) */
  EPLB_MAP_LOGICAL_TO_PHYSICAL = 1, /* int [L,E,X]: the slots of each expert in replica order, then -1.
                                       X = max_replicas if that was given, else S - E + 1: never data dependent */
  EPLB_MAP_REPLICA_COUNT = 2,       /* int [L,E]: how many replicas each expert has */
  EPLB_MAP_REPLICA_SLOTS = 3,       /* int [L,S]: the slots of expert 0, of expert 1, ...: CSR with the counts */
  EPLB_MAP_GPU_LOAD = 4,            /* float64 [L,G]: the load of each GPU, in the weights' unit */
  EPLB_MAP_IMBALANCE = 5,           /* float64 [L]: largest over mean GPU load */
  EPLB_MAP_BOUND = 6,               /* float64 [L]: no placement under the policy has a largest GPU load below this, in
                                       the weights' unit */
  EPLB_MAP_DUPLICATES = 7           /* int [L]: slots whose expert already sits in a lower slot of the same GPU */
};

/* What a context is made of. */
typedef struct eplb_context_options {
  int64_t struct_size;
  eplb_device_kind device_kind; /* EPLB_DEVICE_CPU. CUDA is never used unasked */
  int32_t device_index;         /* 0; which device of that kind, below eplb_device_count */
  int64_t num_threads;          /* 1; CPU threads of a solve, the caller's included. Any number gives the same answer */
} eplb_context_options;

/* The cluster and the rule. */
typedef struct eplb_problem {
  int64_t struct_size;
  int64_t num_slots;          /* must be set: slots of a layer over all GPUs, >= experts, a multiple of num_gpus, <= 2^18 */
  int64_t num_gpus;           /* must be set: the GPUs that the slots are on */
  int64_t num_nodes;          /* 1; nodes that the GPUs are on; hierarchical: num_gpus must be a multiple */
  int64_t num_groups;         /* 1; groups of consecutive experts; hierarchical: a multiple of num_nodes, divides E. 0: 1 */
  eplb_policy policy;         /* EPLB_POLICY_AUTO; whether groups stay on nodes */
  eplb_bound_kind bound_kind; /* EPLB_BOUND_SIMPLE; which bound reports use. It costs time there, never in a solve */
} eplb_problem;

/* How a placement is looked for. */
typedef struct eplb_solve_options {
  int64_t struct_size;
  eplb_strategy strategy; /* EPLB_STRATEGY_BEST; how replicas are counted and placed */
  eplb_effort effort;     /* EPLB_EFFORT_NORMAL; how much work EPLB_STRATEGY_BEST may do */
  uint64_t seed;          /* 0; chance is a hash of this: the same seed gives the same answer */
  int64_t max_replicas;   /* 0 means no cap; else at most this many replicas of any expert, and the X of LOGICAL_TO_PHYSICAL;
                             at least S / E, at most 2^18 */
} eplb_solve_options;

/* How good a placement is. "Mean" and "worst" are over layers. */
typedef struct eplb_report {
  int64_t struct_size;
  double imbalance_mean;            /* of the model: the mean over its layers */
  double imbalance_worst;           /* of the worst layer */
  double bound_mean;                /* mean over layers of bound / mean load: imbalance_mean can be no lower */
  double gap_mean;                  /* mean of largest load / bound - 1: how far from the optimum it is at most */
  double gap_worst;                 /* of the layer where it is widest */
  double microseconds;              /* time of the solve, or of the evaluation; 0 for a solve that a CUDA graph replayed */
  int64_t worst_layer;              /* the lowest layer that has imbalance_worst */
  int64_t duplicates;               /* over all layers, see EPLB_MAP_DUPLICATES */
  int64_t duplicates_unavoidable;   /* how many of these no placement with the same replica counts could avoid */
  int64_t context_bytes;            /* memory that the context holds, weights and plan included */
  eplb_strategy strategy;           /* what solved it; -1 for a placement that was evaluated */
  eplb_policy policy;               /* what was used: never EPLB_POLICY_AUTO */
  eplb_policy_reason policy_reason; /* why that policy was used */
  eplb_bound_kind bound_kind;       /* which bound the gaps are over */
} eplb_report;

/* What a backend is and can do here. */
typedef struct eplb_backend {
  int64_t struct_size;
  int32_t built;           /* 1 if this library has code for it */
  eplb_status status;      /* EPLB_OK if a context can be created on it; else why not: NOT_BUILT, NO_DRIVER, NO_DEVICE */
  int32_t num_devices;     /* that there are */
  int32_t driver_version;  /* 1000 * major + 10 * minor, as CUDA counts; 0: none found, or none needed */
  int32_t driver_needed;   /* the least driver_version this library works with; 0: none needed */
  int32_t runtime_version; /* of the CUDA runtime inside this library; 0: none */
} eplb_backend;

typedef struct eplb_context eplb_context;

/* -------------------------------------------------------------------------------------------------------- information */

/* ABI version: major << 16 | minor. The first thing a loader asks: refuse another major, and a minor below the one you
 * were written for. Cannot fail. Since ABI 1.0, as all that has no other mark. */
int32_t eplb_abi_version(void);

/* Version of the library, like "0.1.0". Static text, never freed. Cannot fail. */
const char *eplb_version_string(void);

/* Name of a status, like "EPLB_INVALID_WEIGHT"; "unknown status" for a code this version does not know. Static text. */
const char *eplb_status_name(eplb_status status);

/* Fills *backend with defaults. struct_size: sizeof(eplb_backend) of the caller. */
eplb_status eplb_backend_init(eplb_backend *backend, int64_t struct_size, eplb_error *err);

/* Tells whether a backend was built, whether it can be used on this machine, and in `text` why or why not: one sentence,
 * terminated, cut to text_length (256 is enough); for the CPU it names the instruction set in use.
 * Both outputs may be NULL (text_length 0). EPLB_OK also when the backend is not usable: that is in backend->status. */
eplb_status eplb_backend_info(eplb_device_kind kind, eplb_backend *backend, char *text, int64_t text_length, eplb_error *err);

/* Writes the number of devices of a kind: 1 for EPLB_DEVICE_CPU. For CUDA: EPLB_NOT_BUILT or EPLB_NO_DRIVER if there can be
 * none, and the number stays as it was. Looks for a driver on first use, never when the library is loaded. */
eplb_status eplb_device_count(eplb_device_kind kind, int32_t *count, eplb_error *err);

/* Writes the name of a device, terminated, cut to `length` bytes (128 is enough). Errors: as eplb_device_count;
 * EPLB_NO_DEVICE if there is no such device. */
eplb_status eplb_device_name(eplb_device_kind kind, int32_t index, char *name, int64_t length, eplb_error *err);

/* ------------------------------------------------------------------------------------------------------------ context */

/* Fills *options with defaults. struct_size: sizeof(eplb_context_options) of the caller. */
eplb_status eplb_context_options_init(eplb_context_options *options, int64_t struct_size, eplb_error *err);

/* Makes a context; *context is yours until you give it to eplb_context_destroy. options NULL means defaults.
 * Errors: EPLB_NOT_BUILT, EPLB_NO_DRIVER, EPLB_NO_DEVICE for a device that cannot be had; *context is then left alone. */
eplb_status eplb_context_create(eplb_context **context, const eplb_context_options *options, eplb_error *err);

/* Frees a context and all it holds. NULL is fine. After fork it frees host memory only. Cannot fail; must not run beside
 * another call on the same context. */
void eplb_context_destroy(eplb_context *context);

/* Waits until everything asked of the context is done, and reports what only the device could tell, once: EPLB_INVALID_WEIGHT
 * with the lowest (layer, expert), or EPLB_INVALID_ARGUMENT for a max_replicas that EPLB_STRATEGY_GREEDY would exceed. Such
 * layers were solved as layers of zeros: a valid, even spread. On a CPU context all calls return finished, so this does
 * nothing. */
eplb_status eplb_context_synchronize(eplb_context *context, eplb_error *err);

/* Sizes all memory for weights of such a shape and dtype, solved so, such that later calls up to this size allocate
 * nothing. The only function that prepares ..._device calls, and the only limit on them: beyond it they answer
 * EPLB_INVALID_STATE. Buffers stay where they are until the next reserve or destroy, so graphs that were captured before must
 * not be replayed after either. On a CPU context a hint: memory grows on demand there, as it does for host calls on a CUDA
 * context. What was uploaded and solved is discarded. options NULL means defaults.
 * Errors: EPLB_UNAVAILABLE as eplb_solve; EPLB_DEVICE_OUT_OF_MEMORY. */
eplb_status eplb_context_reserve(eplb_context *context, eplb_dtype dtype, int64_t num_windows, int64_t num_layers,
                                 int64_t num_experts, const eplb_problem *problem, const eplb_solve_options *options,
                                 eplb_error *err);

/* ------------------------------------------------------------------------------------------------------------ weights */

/* Copies weights [T,L,E] (T = 1: [L,E]) into the context; windows are summed in order, floats in double, integers exactly.
 * One upload serves many solves. A plan solved before is discarded; after a failed call weights and plan are as they were.
 * weights_length must be num_windows * num_layers * num_experts. dtype: any.
 * Errors: EPLB_INVALID_WEIGHT naming layer and expert for NaN, infinite and negative weights, for a sum of windows or of a
 * layer that is not finite, and for integer sums of windows above 2^63 - 1. Zero is a weight like any other; a layer of
 * zeros is solved as if all its experts weighed the same. */
eplb_status eplb_upload_weights(eplb_context *context, const void *weights, int64_t weights_length, eplb_dtype dtype,
                                int64_t num_windows, int64_t num_layers, int64_t num_experts, eplb_error *err);

/* The same from device memory, in the order of `stream` (a cudaStream_t; NULL: the default stream). Copies the weights,
 * never synchronises, never allocates, can be captured in a CUDA graph. A bad weight is found on the device: its layer
 * becomes a layer of zeros, and eplb_context_synchronize or eplb_fetch_report tells.
 * Errors: EPLB_INVALID_ARGUMENT on a CPU context; EPLB_NOT_BUILT; EPLB_INVALID_STATE beyond what was reserved. */
eplb_status eplb_upload_weights_device(eplb_context *context, const void *weights, int64_t weights_length, eplb_dtype dtype,
                                       int64_t num_windows, int64_t num_layers, int64_t num_experts, void *stream,
                                       eplb_error *err);

/* -------------------------------------------------------------------------------------------------------------- solve */

/* Fills *problem with defaults; num_slots and num_gpus become 0 and must be set. struct_size: sizeof(eplb_problem). */
eplb_status eplb_problem_init(eplb_problem *problem, int64_t struct_size, eplb_error *err);

/* Fills *options with defaults. struct_size: sizeof(eplb_solve_options) of the caller. */
eplb_status eplb_solve_options_init(eplb_solve_options *options, int64_t struct_size, eplb_error *err);

/* Computes a placement of the uploaded weights and keeps it in the context. Returns finished. options NULL means defaults.
 * Errors: EPLB_INVALID_ARGUMENT with the numbers and the nearest legal value for sizes that do not fit each other, and for
 * a max_replicas that cannot be kept; EPLB_INVALID_STATE before an upload; EPLB_UNAVAILABLE for a strategy, effort or bound
 * kind that this version does not have; EPLB_INVALID_WEIGHT if EPLB_STRATEGY_GREEDY cannot hold a weight, or the sum of a
 * layer, in its float32.
 * After an error the plan of the last good solve is still there.
 * Source: GREEDY is deepseek-ai/EPLB (hierarchical and global), replicas of equal weight in order of creation. */
eplb_status eplb_solve(eplb_context *context, const eplb_problem *problem, const eplb_solve_options *options, eplb_error *err);

/* The same in the order of `stream`; never synchronises, never allocates, can be captured and replayed with new weights in
 * the same buffer. A layer that EPLB_STRATEGY_GREEDY cannot hold in its float32, or in which it would give an expert more than
 * max_replicas, is solved as a layer of zeros, and told as a bad weight is. Errors: as eplb_upload_weights_device. */
eplb_status eplb_solve_device(eplb_context *context, const eplb_problem *problem, const eplb_solve_options *options,
                              void *stream, eplb_error *err);

/* --------------------------------------------------------------------------------------------------------------- maps */

/* Writes the shape of a map of the solved plan: *rank dimensions into dims, whose dims_length must be at least 4 (unused
 * ones become 1). While there is no plan, the shape that it has for what eplb_context_reserve was last given.
 * Errors: EPLB_INVALID_STATE without a plan if nothing was reserved. */
eplb_status eplb_map_shape(eplb_context *context, eplb_map map, int32_t *rank, int64_t *dims, int64_t dims_length,
                           eplb_error *err);

/* Copies a map of the solved plan to the caller's buffer, length = the product of its dims. dtype: EPLB_INT32 or EPLB_INT64
 * for int maps, EPLB_FLOAT64 for the others. Replica order, in LOGICAL_TO_PHYSICAL and REPLICA_SLOTS, is the order in which
 * the replicas were created, the original first.
 * Errors: EPLB_INVALID_STATE before a solve. */
eplb_status eplb_fetch_map(eplb_context *context, eplb_map map, eplb_dtype dtype, void *buffer, int64_t length,
                           eplb_error *err);

/* The same into device memory, in the order of `stream`. What it reads the context's next upload or solve overwrites, and
 * EPLB_MAP_BOUND works in memory of the context: on another stream a fetch must not run beside the former, nor two of
 * EPLB_MAP_BOUND beside each other. Errors: as eplb_upload_weights_device. */
eplb_status eplb_fetch_map_device(eplb_context *context, eplb_map map, eplb_dtype dtype, void *buffer, int64_t length,
                                  void *stream, eplb_error *err);

/* ------------------------------------------------------------------------------------------------- reports, evaluation */

/* Fills *report with zeros and its struct_size. struct_size: sizeof(eplb_report) of the caller. */
eplb_status eplb_report_init(eplb_report *report, int64_t struct_size, eplb_error *err);

/* Tells how good the solved plan is, under the weights it was solved for. Loads are recomputed in double from the original
 * weights; bounds are computed here, outside the time of a solve. report must have been through eplb_report_init.
 * Errors: EPLB_INVALID_STATE before a solve; on a CUDA context what eplb_context_synchronize would tell. */
eplb_status eplb_fetch_report(eplb_context *context, eplb_report *report, eplb_error *err);

/* Tells whether a placement, anyone's, is one, and how good it is under the uploaded weights. placement [L,S] holds the
 * expert in each slot (EPLB_INT32 or EPLB_INT64; placement_length = L * S). Two replicas of an expert on one GPU are valid
 * and counted. The solved plan is left alone.
 * Outputs, each may be NULL: *report; imbalance, bound, duplicates: one element for each layer, so layers_length, which all
 * three share, must be L.
 * Errors: EPLB_INVALID_STATE before an upload; EPLB_INVALID_PLACEMENT naming the rule and the layer, slot or expert: an id
 * below 0 or not below E, an expert without a replica, under a hierarchical policy a replica that is not on the node of its
 * group or a node with more groups than its share. */
eplb_status eplb_evaluate(eplb_context *context, const eplb_problem *problem, const void *placement,
                          int64_t placement_length, eplb_dtype dtype, eplb_report *report, double *imbalance, double *bound,
                          int64_t *duplicates, int64_t layers_length, eplb_error *err);

#ifdef __cplusplus
}
#endif

#endif /* EPLB_H */
