/* eplb.h - places the experts of a Mixture-of-Experts model on GPUs so that no GPU is overloaded.
 *
 * This file is the complete contract of libeplb. What is not here is not API. C99 or later, or C++.
 *
 * OBJECTS. A *context* owns everything: uploaded weights, the solved plan, scratch memory. Upload
 * weights once, solve as often as needed, and fetch the maps that are wanted:
 *
 *     eplb_context_create -> eplb_upload_weights -> eplb_solve
 *         -> eplb_fetch_map, eplb_fetch_report -> eplb_context_destroy
 *
 * THREADS. A context may move between threads but serves one call at a time: a second call that
 * arrives while one is running returns EPLB_INVALID_STATE; eplb_context_interrupt, which ends the
 * running one, is the exception. Different contexts are independent.
 * Functions without a context may be called from any thread at any time. A context is unusable
 * after fork(): in the child every call returns EPLB_INVALID_STATE, except eplb_context_destroy.
 *
 * A COMPLETE PROGRAM
 *
 *     #include <stdio.h>
 *     #include "eplb.h"
 *     int main(void) {
 *       float weights[8] = {600, 560, 120, 120, 20, 10, 10, 10};  // tokens routed to 8 experts
 *       int32_t placement[16];                                    // the expert in each of 16 slots
 *       eplb_error err;
 *       eplb_context *context = NULL;
 *       eplb_problem problem;
 *       eplb_problem_init(&problem, sizeof problem, NULL);
 *       problem.num_slots = 16;
 *       problem.num_gpus = 8;
 *       if (eplb_context_create(&context, NULL, &err) ||
 *           eplb_upload_weights(context, weights, 8, EPLB_FLOAT32, 1, 1, 8, &err) ||
 *           eplb_solve(context, &problem, NULL, &err) ||
 *           eplb_fetch_map(context, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement, 16,
 *                          &err)) {
 *         fprintf(stderr, "%s: %s\n", eplb_status_name(err.code), err.text);
 *       } else {
 *         for (int s = 0; s < 16; s++)
 *           printf("GPU %d slot %d: expert %d\n", s / 2, s % 2, (int)placement[s]);
 *       }
 *       eplb_context_destroy(context);
 *     }
 *
 * WORDS. L layers, E logical experts, S slots (places for the parameters of one expert), G GPUs,
 * K = S/G slots per GPU: GPU g owns slots g*K .. g*K+K-1. The *weight* of an expert is the measured
 * number of tokens routed to it. An expert has c >= 1 *replicas*, each of which carries weight/c.
 * The *load* of a GPU is the sum over its replicas. The *imbalance* of a layer is the largest load
 * divided by the mean load (1 is perfect; a layer without any weight has 1); that of a model is the
 * mean over its layers. GPUs may differ, see eplb_upload_cluster. A *closed slot* is one that a GPU
 * does not have: -1 in every map. The *time* of a GPU is its load divided by its speed, where the
 * speeds of GPUs with open slots have the mean 1. Imbalance is over times; where GPUs are equally
 * fast, these are loads.
 *
 * ERRORS. Every function that can fail returns an eplb_status, 0 being success, and takes an
 * eplb_error as its last argument, which may be NULL. The caller owns the struct; every call writes
 * it completely; there is nothing to free, nothing global, nothing per thread. The text names the
 * argument and the numbers. After a failed call on host memory, outputs and context are unchanged.
 * Every function may return EPLB_INVALID_ARGUMENT (a null pointer, a wrong length, a wrong
 * struct_size) and, if it takes a context, EPLB_INVALID_STATE (used by two threads at once, or
 * after fork), EPLB_OUT_OF_MEMORY and EPLB_INTERRUPTED; on a CUDA context also EPLB_DEVICE_ERROR
 * and EPLB_DEVICE_OUT_OF_MEMORY. The comments of functions list additional errors only.
 *
 * CUDA. A context on a CUDA device accepts the same calls: with arrays in host memory, and finished
 * when they return. In addition there are ..._device functions for arrays in device memory. They
 * work in the order of a stream, return at once, allocate nothing (eplb_context_reserve does that
 * beforehand), and can be captured in a CUDA graph and replayed with new weights in the same
 * buffer. Streams are those of the device's primary context, which the CUDA runtime uses; the
 * library adds no order between them. Host and device calls may be mixed: a host call first waits
 * for the earlier device calls of its context and continues from what they left. Once one of them
 * has been captured, it waits for the whole device, because replays are invisible to the library;
 * it must then not be made while something else is being captured on that device. Errors that
 * depend on the data, such as an invalid weight, are reported later, see eplb_context_synchronize.
 * The caller's current CUDA context is preserved, including the case that there is none.
 *
 * STRUCTS contain scalars only and begin with struct_size. Let the matching ..._init function fill
 * them: it is the only source of defaults. The comment of an option begins with its default. Within
 * an ABI major version structs grow at the end only, starting from the sizes of 1.0: a shorter
 * struct of an older program gets defaults for what it lacks; a longer one of a newer program is
 * accepted if all that this library does not know is zero. Sizes below those of 1.0 and above 65536
 * bytes are refused.
 *
 * ARRAYS are contiguous, in C order, owned by the caller, and followed by their length in elements,
 * not bytes.
 *
 * SAME ANSWER. The same weights, problem, options and library version give the same placement, bit
 * for bit, on every machine, instruction set, backend and number of threads; and the answer for a
 * layer does not depend on other layers. Ties go to the lowest index.
 *
 * THE PROCESS is left as it was: no signal handlers, no output, and no changes to locale,
 * floating-point mode or environment variables. Threads that a solve starts end with it and have
 * all signals blocked. No exception leaves the library, and it never aborts the process. No
 * function is a cancellation point: a thread that is cancelled (deferred, as is the default)
 * finishes its call first.
 */
#ifndef EPLB_H
#define EPLB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------ constants and structs */

/* The result of a call. A newer library may have more codes: treat unknown ones as errors. */
typedef int32_t eplb_status;
enum {
  EPLB_OK = 0,
  EPLB_INVALID_ARGUMENT = 1,  /* by the caller: an impossible shape, size, pointer, constant or
                                 struct */
  EPLB_INVALID_STATE = 2,     /* by the caller: a wrong order of calls, two threads at once, after
                                 fork */
  EPLB_INVALID_WEIGHT = 3,    /* in the data: NaN, infinite, negative, or a sum that is out of
                                 range */
  EPLB_INVALID_PLACEMENT = 4, /* in the data: what a call was given is not a placement */
  EPLB_UNAVAILABLE = 10,      /* a strategy or option that this version does not have; a later one
                                 may */
  EPLB_NOT_BUILT = 11,        /* the library was built without that backend */
  EPLB_NO_DRIVER = 12,        /* no driver for that backend, or one that is too old */
  EPLB_NO_DEVICE = 13,        /* a driver, but no such device */
  EPLB_OUT_OF_MEMORY = 20,    /* no more host memory */
  EPLB_DEVICE_OUT_OF_MEMORY = 21, /* no more device memory */
  EPLB_DEVICE_ERROR = 22,         /* the device or its driver failed; the text includes its
                                     message */
  EPLB_INTERRUPTED = 23,          /* eplb_context_interrupt was called during the call */
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
  EPLB_STRATEGY_GREEDY = 0,          /* the published EPLB program (deepseek-ai/EPLB) in its own
                                        float32, with stable sorts */
  EPLB_STRATEGY_LPT_SWAP = 1,        /* longest first, then the best swaps of the heaviest GPU */
  EPLB_STRATEGY_L2_SWAP = 2,         /* longest first, then the swaps that reduce the sum of squared
                                        loads most */
  EPLB_STRATEGY_RANDOM_RESTARTS = 3, /* 4 noisy orders, swaps between the heaviest and the lightest
                                        GPU */
  EPLB_STRATEGY_NOISE_SPECTRUM = 4,  /* 64 orders, from no noise to strong noise */
  EPLB_STRATEGY_HYBRID_INIT = 5,     /* 128 starts: noisy, shuffled, folded */
  EPLB_STRATEGY_BEST = 6,            /* tabu search with changing replica counts. On GPUs of up to
                                        64 slots, two replicas of an expert share one only where
                                        that cannot be avoided, even if it would balance better. In
                                        layers of a few slots this can cost 1/6 of the largest load;
                                        at a model's size it is part of the gap to the bound, which
                                        allows duplicates */
  EPLB_STRATEGY_REBALANCE = 7        /* changes the current placement by few moves, within the
                                        limits in eplb_solve_options. Since ABI 1.1 */
};

/* How much work EPLB_STRATEGY_BEST and EPLB_STRATEGY_REBALANCE may do: a number of rounds, never a
 * time. Other strategies ignore it. Work is also limited by size, such that a layer of up to 2^18
 * slots takes at most about ten seconds at EPLB_EFFORT_FAST and with other strategies: with many
 * thousands of slots, far more than models have, searches end earlier, packings choose from fewer
 * candidates, and with more than 2^15 slots on GPUs that differ, duplicates may remain. */
typedef int32_t eplb_effort;
enum {
  EPLB_EFFORT_FAST = 0,   /* the least */
  EPLB_EFFORT_NORMAL = 1, /* between the two */
  EPLB_EFFORT_MAX = 2     /* the most: for placements that will serve for long */
};

/* Whether the replicas of a group of experts must stay on one node. */
typedef int32_t eplb_policy;
enum {
  EPLB_POLICY_AUTO = 0,         /* hierarchical if num_groups is a multiple of num_nodes, else
                                   global: the rule of the published program */
  EPLB_POLICY_HIERARCHICAL = 1, /* whole groups on nodes, replicas stay on their group's node */
  EPLB_POLICY_GLOBAL = 2,       /* any replica on any GPU; num_nodes and num_groups must be valid
                                   counts but need not divide anything */
  EPLB_POLICY_SOFT = 3          /* every group has a home node, and replicas are elsewhere only as
                                   far as off_home_target takes: EPLB_STRATEGY_BEST and
                                   EPLB_STRATEGY_REBALANCE only. Any counts, nodes may differ;
                                   num_nodes * experts at most 2^26. Since ABI 1.1 */
};

/* Why the report's policy was used. */
typedef int32_t eplb_policy_reason;
enum {
  EPLB_POLICY_REASON_ASKED = 0,         /* the problem requested it */
  EPLB_POLICY_REASON_GROUPS_DIVIDE = 1, /* auto, and num_groups is a multiple of num_nodes */
  EPLB_POLICY_REASON_GROUPS_DO_NOT = 2  /* auto, and it is not */
};

/* The lower bound on the largest load that a gap is measured against. All are proven; none depends
 * on the strategy. */
typedef int32_t eplb_bound_kind;
enum {
  EPLB_BOUND_SIMPLE = 0,    /* the largest of: mean load, largest replica of the best counts
                               (D'Hondt), pigeonhole */
  EPLB_BOUND_THRESHOLD = 1, /* with two slots per GPU: how many replicas are too large for a
                               partner; slower but closer. Otherwise simple */
  EPLB_BOUND_NODE = 2       /* reported, not requested: the requested bound combined, under a
                               hierarchical policy, with the mean load of the heaviest node in the
                               best of all assignments of groups to nodes; with up to 16 groups
                               always, with more where it was found, and else the kind that was
                               requested, combined with what the heaviest groups weigh at least;
                               holds for hierarchical placements */
};

/* How an engine carries out transfers, and so what may run at once. Since ABI 1.1. */
typedef int32_t eplb_transfer_order;
enum {
  EPLB_TRANSFER_BUFFERED = 0, /* what arrives waits in a buffer for a layer's new contents: as few
                                 rounds as possible, the largest number that one GPU sends or
                                 receives */
  EPLB_TRANSFER_IN_PLACE = 1, /* what arrives overwrites its slot: never before the last reading.
                                 What remains are cycles, each needs a buffer for one expert */
  EPLB_TRANSFER_EXCLUSIVE = 2 /* buffered, and a GPU either sends or receives in a round, with one
                                 peer: at most half as many rounds again as one GPU has transfers */
};

/* What a solve balances where weights have several windows. Since ABI 1.1. */
typedef int32_t eplb_objective;
enum {
  EPLB_OBJECTIVE_SUM = 0,     /* the sum of all windows */
  EPLB_OBJECTIVE_WINDOWS = 1, /* every window, of up to 64, whatever its load:
                                 EPLB_STRATEGY_BEST and EPLB_STRATEGY_REBALANCE only */
  EPLB_OBJECTIVE_SPLIT = 2 /* the sum of all windows, if tokens are split as they come, see
                              eplb_split. EPLB_STRATEGY_BEST leaves little load on a GPU that no
                              other one shares, and balances an even split up to the target of the
                              options. EPLB_STRATEGY_REBALANCE makes as few moves as splits need for
                              the target; it knows no max_moves_total, move_price and allow_empty
                              then. Not with EPLB_POLICY_SOFT. Since ABI 1.2 */
};

/* What can be fetched. Int maps are fetched as EPLB_INT32 or EPLB_INT64, the others as
 * EPLB_FLOAT64. */
typedef int32_t eplb_map;
enum {
  EPLB_MAP_PHYSICAL_TO_LOGICAL = 0, /* int [L,S]: the expert in each slot, -1 in those that are
                                       closed or empty */
  EPLB_MAP_LOGICAL_TO_PHYSICAL = 1, /* int [L,E,X]: the slots of each expert in replica order, then
                                       -1. X = max_replicas if given, else S - E + 1: never data
                                       dependent */
  EPLB_MAP_REPLICA_COUNT = 2,       /* int [L,E]: how many replicas each expert has */
  EPLB_MAP_REPLICA_SLOTS = 3,       /* int [L,S]: the slots of expert 0, of expert 1, ...: CSR with
                                       the counts; then -1, once for each slot without an expert */
  EPLB_MAP_GPU_LOAD = 4,            /* float64 [L,G]: the load of each GPU, in the weights' unit */
  EPLB_MAP_IMBALANCE = 5,           /* float64 [L]: largest over mean GPU load; of GPUs of different
                                       speeds, time */
  EPLB_MAP_BOUND = 6,               /* float64 [L]: no placement under the policy has a largest GPU
                                       load (time, if speeds differ) below this, in the weights'
                                       unit; if all open slots are filled here, of placements that
                                       fill them */
  EPLB_MAP_DUPLICATES = 7,          /* int [L]: slots whose expert is also in a lower slot of the
                                       same GPU */
  EPLB_MAP_MOVE_SOURCE = 8, /* int [L,S]: the slot of the current placement whose contents go to
                               this slot; its own index: unchanged; -1: nothing goes there; -2: a
                               reload, no slot holds the expert. On the same GPU if possible, else
                               on its node; of equally near ones on the GPU that sends least, or
                               with EPLB_TRANSFER_IN_PLACE one that leads to fewer rounds. Since ABI
                               1.1, like the next three */
  EPLB_MAP_MOVE_ROUND = 9,  /* int [L,S]: -1: nothing happens; 0: any time, within the GPU or a
                               reload; from 1 on: the round. In a round, a GPU sends at most once
                               and receives at most once. With EPLB_TRANSFER_IN_PLACE all have
                               rounds, and a slot that is written is read in earlier ones only */
  EPLB_MAP_MOVE_GROUP = 10, /* int [L,S]: with EPLB_TRANSFER_IN_PLACE the number of the cycle, else
                               -1. What its first slot to be written held must be saved before: the
                               last one of the cycle is written with it */
  EPLB_MAP_MOVE_COUNT = 11, /* int [L]: moves, pairs of a GPU and an expert that it gets */
  EPLB_MAP_WINDOW_IMBALANCE = 12, /* float64 [L,T]: EPLB_MAP_IMBALANCE in each of the T windows that
                                     were uploaded, in their order; 1 where a layer has no load.
                                     Only their sum is known of more than 64, and of those of device
                                     calls for which less was reserved. Since ABI 1.1, like the next
                                     one */
  EPLB_MAP_WINDOW_BOUND = 13,     /* float64 [L,T]: EPLB_MAP_BOUND for the weights of each window
                                     alone; costs as much as T times that map */
  EPLB_MAP_OFF_HOME = 14,      /* float64 [L]: the off-home share, the load that is served away from
                                  home / all load, whatever the policy. A group's home is the node
                                  that serves most of it, the lowest of several. Group q is the
                                  experts e with floor(e * num_groups / E) = q. Since ABI 1.1, like
                                  the next one */
  EPLB_MAP_OFF_HOME_BOUND = 15, /* float64 [L]: with these homes, no placement whose imbalance is
                                   at most off_home_target has a smaller off-home share */
  /* Of the last split, see eplb_split. Since ABI 1.2. */
  EPLB_MAP_SHARE = 16, /* int [L,S]: an expert's tokens over its slots, in 1/65536: 65536 for each
                          expert. Of its slots on one GPU the lowest has all. An expert without
                          tokens is split evenly, in proportion to speeds */
  EPLB_MAP_QUOTA = 17, /* float64 [L,S]: the same in tokens, the weights' unit: whole numbers that
                          add up to the weight if that was uploaded as an integer, as far as
                          float64 holds them */
  EPLB_MAP_SPLIT_LOAD = 18,      /* float64 [L,G]: the quotas of each GPU, added up */
  EPLB_MAP_SPLIT_IMBALANCE = 19, /* float64 [L]: EPLB_MAP_IMBALANCE with these loads */
  EPLB_MAP_SPLIT_BOUND = 20,     /* float64 [L]: no split over this placement has a largest load
                                    (time, if speeds differ) below this, in the weights' unit */
  EPLB_MAP_SPLIT_TIGHT = 21,     /* int [L,G]: 1: one of the GPUs that the bound is of. It is the
                                    weight of experts that are on no other GPU, divided by the
                                    speeds of these: a certificate that anyone can check */
  /* Of the last static dispatch, see eplb_static_dispatch. R is its number of ranks. Since ABI
   * 1.2, like the rest. */
  EPLB_MAP_DISPATCH_SLOT = 22,      /* int [L,R,E]: the slot that a rank uses of an expert */
  EPLB_MAP_DISPATCH_PLACEMENT = 23, /* int [L,S]: EPLB_MAP_PHYSICAL_TO_LOGICAL after the swaps */
  EPLB_MAP_DISPATCH_RANKS = 24,     /* int [L,S]: how many ranks use the slot; R for each expert */
  EPLB_MAP_DISPATCH_LOAD = 25,      /* float64 [L,G]: of each slot, the weight of its expert times
                                       its part of the ranks, added up */
  EPLB_MAP_DISPATCH_IMBALANCE = 26, /* float64 [L]: EPLB_MAP_IMBALANCE with these loads */
  EPLB_MAP_DISPATCH_BOUND = 27      /* float64 [L]: EPLB_MAP_SPLIT_BOUND for the placement that was
                                       given; with max_swaps above 0, the mean load of GPUs that
                                       have slots, by their speeds */
};

/* Options of a context. */
typedef struct eplb_context_options {
  int64_t struct_size;
  eplb_device_kind device_kind; /* EPLB_DEVICE_CPU. CUDA is never used unless requested */
  int32_t device_index;         /* 0; index of the device of that kind, below eplb_device_count */
  int64_t num_threads;          /* 1; CPU threads of a solve, including the caller's. Any number
                                   gives the same answer; no more are started than the process has
                                   processors at that time, or 16 if those are fewer */
} eplb_context_options;

/* The cluster and the policy. */
typedef struct eplb_problem {
  int64_t struct_size;
  int64_t num_slots;          /* must be set: slots of a layer over all GPUs, closed ones included;
                                 at least the number of experts, a multiple of num_gpus, at most
                                 2^18 */
  int64_t num_gpus;           /* must be set */
  int64_t num_nodes;          /* 1; hierarchical: must divide num_gpus */
  int64_t num_groups;         /* 1; groups of consecutive experts; hierarchical: a multiple of
                                 num_nodes that divides E. 0 means 1 */
  eplb_policy policy;         /* EPLB_POLICY_AUTO */
  eplb_bound_kind bound_kind; /* EPLB_BOUND_SIMPLE; the bound that reports use. It costs time there,
                                 never in a solve */
  eplb_objective objective;   /* EPLB_OBJECTIVE_SUM; what is balanced where weights have several
                                 windows. One window: no difference. Evaluations ignore it. Since
                                 ABI 1.1 */
  int32_t reserved;           /* 0, and nothing else */
  double off_home_target;     /* 1.01; EPLB_POLICY_SOFT: the imbalance up to which replicas leave
                                 home, in each window that is balanced; EPLB_STRATEGY_REBALANCE
                                 takes its own target instead if it has one. With other policies it
                                 only says what EPLB_MAP_OFF_HOME_BOUND is for. Since ABI 1.1 */
  int64_t max_replicas;       /* 0 means no cap; otherwise the largest number of replicas of an
                                 expert, at most 2^18. Placements with more are invalid, and bounds
                                 are those of placements that keep it. A solve keeps the lower one
                                 of this and of the one in its options. Since ABI 1.1 */
} eplb_problem;

/* Options of a solve. */
typedef struct eplb_solve_options {
  int64_t struct_size;
  eplb_strategy strategy; /* EPLB_STRATEGY_BEST */
  eplb_effort effort;     /* EPLB_EFFORT_NORMAL */
  uint64_t seed;          /* 0; all random choices are hashes of it: the same seed gives the same
                             answer */
  int64_t max_replicas;   /* 0 means no cap; otherwise the largest number of replicas of an expert,
                             and the X of LOGICAL_TO_PHYSICAL; at least open slots / E, at most
                             2^18 */
  eplb_transfer_order transfer_order; /* EPLB_TRANSFER_BUFFERED; how the engine will carry out the
                                         transfers. Since ABI 1.1, like what follows */
  /* The limits of EPLB_STRATEGY_REBALANCE; other strategies ignore them, but for allow_empty, which
   * EPLB_STRATEGY_BEST knows under EPLB_POLICY_SOFT, and target. Each is kept exactly.
   * Moves of experts that can stay on no GPU, because theirs are dead or lose slots, are forced:
   * they come first, count like all others, and limits below their number are refused. */
  int32_t allow_empty;     /* 0: slots that are empty or hold what must leave its node are filled
                              where that helps, and no others become empty; 1: a replica may be
                              dropped and its slot become -1, which relieves a GPU without a move */
  int64_t max_moves;       /* -1: any; of a layer, see EPLB_MAP_MOVE_COUNT */
  int64_t max_moves_total; /* -1: any; over all layers, which get shares by what they gain: the
                              one option by which a layer's answer depends on others */
  int64_t max_arrivals;    /* 0: any; experts that a GPU receives in a layer */
  double target;           /* -1: 1.02, or none if max_moves, max_moves_total or move_price is
                              given; the imbalance at which a layer is good enough, with
                              EPLB_OBJECTIVE_WINDOWS in each window: it is reached with as few moves
                              as possible. 0: none. Under EPLB_POLICY_SOFT there always is one: -1
                              and 0 mean off_home_target. EPLB_STRATEGY_BEST with
                              EPLB_OBJECTIVE_SPLIT: the imbalance that an even split may have, or
                              more if nothing better was found; -1 and 0 mean 1.01 */
  double move_price;       /* 0; the imbalance that a move must gain: a layer makes as many moves
                              as pay */
} eplb_solve_options;

/* Options of a split. Since ABI 1.2. */
typedef struct eplb_split_options {
  int64_t struct_size;
  double tolerance; /* 0; what a GPU may have above the bound, in parts of it, 0 to 1: steps of
                       1/65536. 0.002 saves up to half of the time where much has to move */
} eplb_split_options;

/* Options of a static dispatch. Since ABI 1.2. */
typedef struct eplb_static_dispatch_options {
  int64_t struct_size;
  int64_t num_ranks; /* 0: num_gpus; source ranks, at most 4096; ranks times experts at
                        most 2^24. Rank r is on GPU floor(r * num_gpus / num_ranks) */
  int64_t max_swaps; /* 0; how many pairs of slots of a layer may exchange their experts; -1: any
                        number. Slots of one node, under EPLB_POLICY_HIERARCHICAL */
  double tolerance;  /* 0; what a GPU may have above the bound, in parts of it, 0 to 1 */
} eplb_static_dispatch_options;

/* How good a placement is. "Mean" and "worst" are over layers, means over those that have load; if
 * none has, imbalance and bound are 1 and the other means 0. */
typedef struct eplb_report {
  int64_t struct_size;
  double imbalance_mean;            /* of the model */
  double imbalance_worst;           /* of the worst layer */
  double bound_mean;                /* mean of bound / mean load: imbalance_mean cannot be lower */
  double gap_mean;                  /* mean of largest load, or time, / bound - 1: distance from
                                       the optimum, at most */
  double gap_worst;                 /* of the layer where it is widest */
  double microseconds;              /* time of the solve, or of the evaluation; 0 for a solve that a
                                       CUDA graph replayed */
  int64_t worst_layer;              /* the lowest layer that has imbalance_worst */
  int64_t duplicates;               /* over all layers, see EPLB_MAP_DUPLICATES */
  int64_t duplicates_unavoidable;   /* how many of these, at least, no placement with the same
                                       replica counts could avoid */
  int64_t context_bytes;            /* memory that the context holds, including weights and plan */
  eplb_strategy strategy;           /* the strategy that solved it; -1 for a placement that was
                                       evaluated */
  eplb_policy policy;               /* the policy that was used: never EPLB_POLICY_AUTO */
  eplb_policy_reason policy_reason; /* why that policy was used */
  eplb_bound_kind bound_kind;       /* the bound that the gaps are relative to */
  int64_t layers_changed;           /* layers of the plan that differ from the current placement;
                                       this and what follows up to layers_missed is 0 without one,
                                       and for a placement that was evaluated. Since ABI 1.1, like
                                       what follows */
  int64_t moves;                    /* over all layers, see EPLB_MAP_MOVE_COUNT */
  int64_t moves_between_nodes;      /* slots that get their contents from another node */
  int64_t reloads;                  /* slots whose expert no slot holds */
  int64_t rounds;                   /* over all layers: layers follow each other */
  int64_t most_sent;                /* by one GPU in one layer */
  int64_t most_received;            /* by one GPU in one layer */
  int64_t moves_forced;             /* over all layers: moves of experts that can stay on no GPU. No
                                       plan has fewer moves */
  int64_t moves_bound;              /* the same, and where the plan is one of
                                       EPLB_STRATEGY_REBALANCE with a target, what reaching it takes
                                       at least */
  int64_t layers_missed;            /* layers above the target of EPLB_STRATEGY_REBALANCE; with
                                       EPLB_OBJECTIVE_SPLIT, that no split brings below it */
  int64_t experts_on_one_gpu;       /* of the layer and GPU where it is most: experts that have all
                                       their replicas there, and are lost with it */
  int64_t num_windows;              /* windows of the weights; 0 if they were not kept, see
                                       EPLB_MAP_WINDOW_IMBALANCE: what follows is then 0, too */
  int64_t num_empty_windows;        /* windows in which no layer has load */
  double windows_mean;              /* mean of EPLB_MAP_WINDOW_IMBALANCE where a layer has load; 1
                                       if none has */
  double windows_worst;             /* the largest of EPLB_MAP_WINDOW_IMBALANCE */
  int64_t worst_window;             /* the lowest window that has windows_worst */
  int64_t worst_window_layer;       /* the lowest layer that has it in that window */
  double off_home_mean;             /* mean of EPLB_MAP_OFF_HOME */
  double off_home_worst;            /* the largest of EPLB_MAP_OFF_HOME */
  double off_home_bound_mean;       /* mean of EPLB_MAP_OFF_HOME_BOUND */
  int64_t num_empty_layers;         /* layers without load */
} eplb_report;

/* What a backend is and what it can do on this machine. */
typedef struct eplb_backend {
  int64_t struct_size;
  int32_t built;           /* 1 if this library has code for it */
  eplb_status status;      /* EPLB_OK if a context can be created on it; otherwise the reason:
                              NOT_BUILT, NO_DRIVER or NO_DEVICE */
  int32_t num_devices;     /* number of devices of that kind */
  int32_t driver_version;  /* 1000 * major + 10 * minor, as CUDA counts; 0: none found, or none
                              needed */
  int32_t driver_needed;   /* the lowest driver_version that this library works with; 0: none
                              needed */
  int32_t runtime_version; /* of the CUDA runtime inside this library; 0: none */
} eplb_backend;

typedef struct eplb_context eplb_context;

/* ---------------------------------------------------------------------------------- information */

/* ABI version: major << 16 | minor. The first thing for a loader to check: refuse another major
 * version, and a minor version below the one that you were written for. Cannot fail. Since ABI 1.0,
 * like everything without another mark. */
int32_t eplb_abi_version(void);

/* Version of the library, like "0.1.0". Static text, never freed. Cannot fail. */
const char *eplb_version_string(void);

/* Name of a status, like "EPLB_INVALID_WEIGHT"; "unknown status" for a code this version does not
 * know. Static text. */
const char *eplb_status_name(eplb_status status);

/* Fills *backend with defaults. struct_size: sizeof(eplb_backend) of the caller. */
eplb_status eplb_backend_init(eplb_backend *backend, int64_t struct_size, eplb_error *err);

/* Reports whether a backend was built and whether it can be used on this machine, and in `text` why
 * or why not: one sentence, terminated, cut to text_length (256 is enough); for the CPU it names
 * the instruction set in use.
 * Both outputs may be NULL (text_length 0). Returns EPLB_OK even if the backend is not usable: see
 * backend->status. */
eplb_status eplb_backend_info(eplb_device_kind kind, eplb_backend *backend, char *text,
                              int64_t text_length, eplb_error *err);

/* Writes the number of devices of a kind: 1 for EPLB_DEVICE_CPU. Looks for a driver on first use,
 * never when the library is loaded.
 * Errors: EPLB_NOT_BUILT or EPLB_NO_DRIVER if there can be none; *count is then left unchanged. */
eplb_status eplb_device_count(eplb_device_kind kind, int32_t *count, eplb_error *err);

/* Writes the name of a device, terminated, cut to `length` bytes (128 is enough). Errors: as
 * eplb_device_count; EPLB_NO_DEVICE if there is no such device. */
eplb_status eplb_device_name(eplb_device_kind kind, int32_t index, char *name, int64_t length,
                             eplb_error *err);

/* -------------------------------------------------------------------------------------- context */

/* Fills *options with defaults. struct_size: sizeof(eplb_context_options) of the caller. */
eplb_status eplb_context_options_init(eplb_context_options *options, int64_t struct_size,
                                      eplb_error *err);

/* Creates a context; the caller owns *context and frees it with eplb_context_destroy. options NULL
 * means defaults.
 * Errors: EPLB_NOT_BUILT, EPLB_NO_DRIVER, EPLB_NO_DEVICE for a device that is not available;
 * *context is then left unchanged. */
eplb_status eplb_context_create(eplb_context **context, const eplb_context_options *options,
                                eplb_error *err);

/* Frees a context and everything it holds. NULL is allowed. Cannot fail; must not run at the same
 * time as another call on the same context. In a child after fork it frees host memory only; if a
 * thread of the parent was in a call on the context at the fork, the child must leave it alone. */
void eplb_context_destroy(eplb_context *context);

/* Makes the call that is running in this context, if there is one, return EPLB_INTERRUPTED: its
 * outputs and the context are then as they were before it. May be called while another call runs in
 * the context, from any thread, and from a signal handler; but not during or after
 * eplb_context_destroy. A call looks for this between the steps of a search and between layers,
 * which takes milliseconds, on a CUDA context before it launches kernels. It succeeds all the same
 * if it does not look again before its end. Without a running call this does nothing, and the next
 * call is not affected: to be sure of the end of a call that is about to begin, repeat this until
 * it has returned. Work that ..._device calls have put on a stream is not stopped. NULL is
 * allowed. */
void eplb_context_interrupt(eplb_context *context);

/* Waits until all work of the context is done, and reports what only the device could detect, once:
 * EPLB_INVALID_WEIGHT with the lowest (layer, expert), or EPLB_INVALID_ARGUMENT for a max_replicas
 * that EPLB_STRATEGY_GREEDY would exceed. Such layers were solved as layers of zeros: a valid, even
 * spread. EPLB_INVALID_PLACEMENT is for the current placement, see eplb_upload_placement_device. On
 * a CPU context all calls return finished, so this does nothing. */
eplb_status eplb_context_synchronize(eplb_context *context, eplb_error *err);

/* Allocates all memory for weights of this shape and dtype and for a solve of this problem with
 * these options, so that later calls up to this size allocate nothing. The only function that
 * prepares ..._device calls, and the only limit on them: beyond it they return EPLB_INVALID_STATE.
 * (Splits need eplb_split_prepare, too, which takes their memory.) Buffers stay in place until the
 * next reserve or destroy; graphs that were captured before must not be replayed after either. On
 * a CPU context it is a hint: memory grows on demand there, as it does for host calls on a CUDA
 * context. Weights and plan are discarded, a current placement stays. Each of up to 64 windows
 * takes as much device memory as their sum. What eplb_split_prepare was given is discarded, too.
 * options NULL means defaults.
 * Errors: EPLB_UNAVAILABLE as eplb_solve; EPLB_DEVICE_OUT_OF_MEMORY. */
eplb_status eplb_context_reserve(eplb_context *context, eplb_dtype dtype, int64_t num_windows,
                                 int64_t num_layers, int64_t num_experts,
                                 const eplb_problem *problem, const eplb_solve_options *options,
                                 eplb_error *err);

/* -------------------------------------------------------------------------------------- weights */

/* Copies weights [T,L,E] (T = 1: [L,E]) into the context: T windows, the loads of one period each.
 * They are summed in order, floats in double, integers exactly; up to 64 are also kept, to report
 * on each. One upload serves many solves. An earlier plan is discarded; after a failed call weights
 * and plan are unchanged.
 * weights_length must be num_windows * num_layers * num_experts. dtype: any.
 * Errors: EPLB_INVALID_WEIGHT naming layer and expert for NaN, infinite and negative weights, for a
 * sum of windows or of a layer that is not finite, and for integer sums of windows above 2^63 - 1.
 * Zero is a valid weight; a layer of zeros is solved as if all its experts had the same weight. */
eplb_status eplb_upload_weights(eplb_context *context, const void *weights, int64_t weights_length,
                                eplb_dtype dtype, int64_t num_windows, int64_t num_layers,
                                int64_t num_experts, eplb_error *err);

/* The same from device memory, in the order of `stream` (a cudaStream_t; NULL: the default stream).
 * Copies the weights, never synchronises, never allocates, can be captured in a CUDA graph. Windows
 * that exceed what was reserved for them are summed and not kept. An invalid weight is found on the
 * device: its layer becomes a layer of zeros in all windows, which eplb_context_synchronize or
 * eplb_fetch_report reports.
 * Errors: EPLB_INVALID_ARGUMENT on a CPU context; EPLB_INVALID_STATE beyond what was reserved. */
eplb_status eplb_upload_weights_device(eplb_context *context, const void *weights,
                                       int64_t weights_length, eplb_dtype dtype,
                                       int64_t num_windows, int64_t num_layers, int64_t num_experts,
                                       void *stream, eplb_error *err);

/* -------------------------------------------------------------------------------------- cluster */

/* Copies the cluster into the context: what sets its GPUs apart, by GPU [G]. Each array may be
 * NULL: GPUs are then equal in this respect. It is part of every later solve and evaluation, whose
 * num_gpus must be the same; num_gpus 0 forgets it (the other arguments are then ignored). An
 * earlier plan is discarded; after a failed call all is unchanged.
 * slots: how many of its K places are slots, 0 to K, the first ones; 0: the GPU holds nothing, as
 * it is dead or being drained. They must have room for every expert. speeds: positive and finite;
 * only ratios matter, and a GPU slower than 1/65536 of the fastest counts as that fast. nodes: 0
 * to num_nodes - 1, in any order, not equally many on each. Arrays that make all GPUs equal change
 * nothing.
 * A hierarchical policy needs equal nodes: consecutive GPUs, with the same slots and speeds in the
 * same places. EPLB_STRATEGY_GREEDY needs equal speeds.
 * On a CUDA context it waits for earlier device calls, and graphs that were captured before must
 * not be replayed after. eplb_context_reserve must come after it. Since ABI 1.1. */
eplb_status eplb_upload_cluster(eplb_context *context, const int64_t *slots, const double *speeds,
                                const int64_t *nodes, int64_t num_gpus, eplb_error *err);

/* ------------------------------------------------------------------- prices, weights of windows */

/* Copies prices [N,num_columns] of load by the node that serves it into the context: what serving
 * an expert's load on a node costs, instead of 0 at home and 1 elsewhere. For racks, slow links,
 * cold starts, or whatever makes one node dearer than another. They are part of every later solve
 * and evaluation with EPLB_POLICY_SOFT; other policies ignore them. They stay until the next ones;
 * prices NULL forgets them (the other arguments are then ignored). An earlier plan is discarded;
 * after a failed call all is unchanged.
 * num_nodes must be that of the problem, num_columns its number of experts or of groups, and
 * prices_length num_nodes * num_columns. Prices are finite and not negative, one is above 0; only
 * ratios matter, in steps of 1/64 of the highest. A group begins on the node where it is cheapest,
 * as far as there is room. EPLB_MAP_OFF_HOME is then what is paid for a layer's load, in parts of
 * what all of it would cost at the highest price, and its bound what is paid where every expert is
 * on its cheapest node.
 * On a CUDA context it waits for earlier device calls, and graphs that were captured before must
 * not be replayed after. eplb_context_reserve must come after it. Since ABI 1.1. */
eplb_status eplb_upload_prices(eplb_context *context, const double *prices, int64_t prices_length,
                               int64_t num_nodes, int64_t num_columns, eplb_error *err);

/* Copies weights of windows [T] into the context: how much each matters to solves with
 * EPLB_OBJECTIVE_WINDOWS, which must have as many windows. Without them all matter as much. A
 * fading memory is decay^(T-1-t) for window t. They are finite and not negative, one is above 0;
 * only ratios matter, and a window below 1/131072 of the highest is left out. (A layer that has
 * load in no other is balanced by the sum of all.) Figures of windows do not depend on them. They
 * stay until the next ones; weights NULL forgets them. An earlier plan is discarded; after a failed
 * call all is unchanged.
 * On a CUDA context as eplb_upload_prices. Since ABI 1.1. */
eplb_status eplb_upload_window_weights(eplb_context *context, const double *weights,
                                       int64_t num_windows, eplb_error *err);

/* ---------------------------------------------------------------------------- current placement */

/* Copies the current placement [L,S] into the context: the expert in each slot (EPLB_INT32 or
 * EPLB_INT64), -1 where a slot is empty or cannot be read. Experts may be missing, on dead GPUs for
 * example. It stays until the next one; placement NULL forgets it (the other arguments are then
 * ignored). While there is one, the EPLB_MAP_MOVE_ maps say how it becomes the plan, and plans must
 * have its layers and slots. An earlier plan is discarded; after a failed call all is unchanged.
 * placement_length must be num_layers * num_slots.
 * Errors: EPLB_INVALID_PLACEMENT naming layer and slot for an id below -1 or above 2^18 - 1. Since
 * ABI 1.1. */
eplb_status eplb_upload_placement(eplb_context *context, const void *placement,
                                  int64_t placement_length, eplb_dtype dtype, int64_t num_layers,
                                  int64_t num_slots, eplb_error *err);

/* The same from device memory, in the order of `stream`; never synchronises, never allocates, can
 * be captured. A layer with an id that is neither an expert of the weights nor -1 is found on the
 * device, by the upload or by eplb_solve_device: its current placement counts as empty, and
 * eplb_context_synchronize or eplb_fetch_report reports EPLB_INVALID_PLACEMENT.
 * Errors: as eplb_upload_weights_device. Since ABI 1.1. */
eplb_status eplb_upload_placement_device(eplb_context *context, const void *placement,
                                         int64_t placement_length, eplb_dtype dtype,
                                         int64_t num_layers, int64_t num_slots, void *stream,
                                         eplb_error *err);

/* ---------------------------------------------------------------------------------------- solve */

/* Fills *problem with defaults; num_slots and num_gpus become 0 and must be set. struct_size:
 * sizeof(eplb_problem). */
eplb_status eplb_problem_init(eplb_problem *problem, int64_t struct_size, eplb_error *err);

/* Fills *options with defaults. struct_size: sizeof(eplb_solve_options) of the caller. */
eplb_status eplb_solve_options_init(eplb_solve_options *options, int64_t struct_size,
                                    eplb_error *err);

/* Computes a placement for the uploaded weights and keeps it in the context as its plan; finished
 * when it returns. options NULL means defaults.
 * Errors: EPLB_INVALID_ARGUMENT with the numbers and the nearest legal value for sizes that do not
 * fit each other, and for a max_replicas that cannot be met; EPLB_INVALID_STATE before an upload;
 * EPLB_UNAVAILABLE for a strategy, effort, policy, bound kind, objective or transfer order above
 * those of this version, for EPLB_OBJECTIVE_WINDOWS, EPLB_OBJECTIVE_SPLIT and EPLB_POLICY_SOFT
 * with other strategies than theirs, for the last two together, for the first without windows that
 * were kept, and for options that the second does not know; EPLB_INVALID_WEIGHT if
 * EPLB_STRATEGY_GREEDY cannot represent a weight, or the sum of a layer, in its float32;
 * EPLB_INVALID_PLACEMENT if the current placement has an expert that the weights lack, naming
 * layer and slot.
 * EPLB_STRATEGY_REBALANCE begins with the current placement: EPLB_INVALID_STATE without one,
 * EPLB_INVALID_ARGUMENT for limits that forced moves exceed. Experts that stay on a GPU stay in
 * their slots; a layer that need not change, or has no load, keeps all of them, and copies of an
 * expert on one GPU stay unless something better comes. Under a hierarchical policy a group's home
 * is the node that has most of it. Where a fresh placement is better and within the limits, it is
 * taken, its GPUs numbered so that it needs few moves; under EPLB_POLICY_SOFT as it comes.
 * After an error the plan of the last successful solve is still there.
 * Source: GREEDY is deepseek-ai/EPLB (hierarchical and global), replicas of equal weight in order
 * of creation. */
eplb_status eplb_solve(eplb_context *context, const eplb_problem *problem,
                       const eplb_solve_options *options, eplb_error *err);

/* The same in the order of `stream`; never synchronises, never allocates, can be captured and
 * replayed with new weights in the same buffer. A layer that EPLB_STRATEGY_GREEDY cannot represent
 * in its float32, or in which it would give an expert more than max_replicas, is solved as a layer
 * of zeros, and reported like an invalid weight. EPLB_STRATEGY_REBALANCE exceeds limits that forced
 * moves exceed. Errors: as eplb_upload_weights_device; EPLB_INVALID_PLACEMENT for the current
 * placement; EPLB_UNAVAILABLE for what needs the host: max_moves_total, and EPLB_OBJECTIVE_SPLIT
 * with EPLB_STRATEGY_REBALANCE; and for EPLB_OBJECTIVE_WINDOWS as of eplb_solve. */
eplb_status eplb_solve_device(eplb_context *context, const eplb_problem *problem,
                              const eplb_solve_options *options, void *stream, eplb_error *err);

/* ----------------------------------------------------------------------------------------- maps */

/* Writes the shape of a map of the plan, of what was prepared for splits, or of the static
 * dispatch: *rank dimensions into dims, whose dims_length must be at least 4 (unused ones become
 * 1). While there is no plan, the shape for the arguments of the last eplb_context_reserve.
 * Errors: EPLB_INVALID_STATE without a plan if nothing was reserved, and for their maps without
 * what was prepared, or a static dispatch; EPLB_UNAVAILABLE for a map
 * above those of this version, and for EPLB_MAP_WINDOW_ maps if windows were not kept. */
eplb_status eplb_map_shape(eplb_context *context, eplb_map map, int32_t *rank, int64_t *dims,
                           int64_t dims_length, eplb_error *err);

/* Copies a map of the plan, the split or the static dispatch to the caller's buffer, length = the
 * product of its dims. dtype: EPLB_INT32 or EPLB_INT64 for int maps, EPLB_FLOAT64 for the others.
 * Replica order, in LOGICAL_TO_PHYSICAL and REPLICA_SLOTS, is the order in which the replicas were
 * created, the original first.
 * Errors: EPLB_INVALID_STATE before a solve, or for their maps a split or a static dispatch, and
 * for EPLB_MAP_MOVE_ maps without a current placement; EPLB_UNAVAILABLE as eplb_map_shape. */
eplb_status eplb_fetch_map(eplb_context *context, eplb_map map, eplb_dtype dtype, void *buffer,
                           int64_t length, eplb_error *err);

/* The same into device memory, in the order of `stream`. The next upload or solve of the context
 * overwrites what a fetch reads, and EPLB_MAP_BOUND and EPLB_MAP_MOVE_ maps use memory of the
 * context: on different streams, a fetch must not overlap an upload or a solve, nor two fetches of
 * these maps each other. Errors: as eplb_upload_weights_device, also for EPLB_MAP_MOVE_ maps
 * without a current placement; EPLB_UNAVAILABLE for EPLB_MAP_WINDOW_, EPLB_MAP_OFF_HOME and
 * EPLB_MAP_DISPATCH_ maps, which need the host. */
eplb_status eplb_fetch_map_device(eplb_context *context, eplb_map map, eplb_dtype dtype,
                                  void *buffer, int64_t length, void *stream, eplb_error *err);

/* Writes a number that stands for the plan: equal plans have equal numbers on every machine, and
 * two that differ have the same one with a chance of 2^-64. For ranks that solve the same problem
 * and must agree: they compare 8 bytes. A plan is its numbers of layers, experts, slots and GPUs,
 * the expert in each slot, and the order of replicas. Anybody can make two plans with one number.
 * Errors: EPLB_INVALID_STATE before a solve. Since ABI 1.1. */
eplb_status eplb_fingerprint(eplb_context *context, uint64_t *value, eplb_error *err);

/* -------------------------------------------------------------------------- reports, evaluation */

/* Fills *report with zeros and its struct_size. struct_size: sizeof(eplb_report) of the caller. */
eplb_status eplb_report_init(eplb_report *report, int64_t struct_size, eplb_error *err);

/* Reports how good the plan is for the weights it was solved for. Loads are computed in double from
 * the original weights; bounds are computed here, outside of the time of a solve. report must have
 * been initialised by eplb_report_init.
 * Errors: EPLB_INVALID_STATE before a solve; on a CUDA context those that eplb_context_synchronize
 * would report. */
eplb_status eplb_fetch_report(eplb_context *context, eplb_report *report, eplb_error *err);

/* Checks a placement from any source, and reports how good it is for the uploaded weights.
 * placement [L,S] holds the expert in each slot, -1 in those that are closed or empty (EPLB_INT32
 * or EPLB_INT64; placement_length = L * S). Two replicas of an expert on one GPU are valid and
 * counted. The plan is left unchanged.
 * Outputs, each of which may be NULL: *report; imbalance, bound and duplicates with one element per
 * layer, so that layers_length, which applies to all three, must be L.
 * Errors: EPLB_INVALID_STATE before an upload; EPLB_INVALID_PLACEMENT naming the rule and the
 * layer, slot or expert: an id below -1 or not below E, an expert in a closed slot, or without a
 * replica or with more than max_replicas, under a hierarchical policy a replica that is not on the
 * node of its group or a node with more groups than its share. */
eplb_status eplb_evaluate(eplb_context *context, const eplb_problem *problem, const void *placement,
                          int64_t placement_length, eplb_dtype dtype, eplb_report *report,
                          double *imbalance, double *bound, int64_t *duplicates,
                          int64_t layers_length, eplb_error *err);

/* Writes how good a placement from any source is in each window of the uploaded weights: what
 * EPLB_MAP_WINDOW_IMBALANCE and EPLB_MAP_WINDOW_BOUND are of a plan. The arguments up to dtype are
 * those of eplb_evaluate, whose report has the mean and the worst. The plan is left unchanged.
 * Outputs [L,T], each of which may be NULL: window_imbalance and window_bound; windows_length,
 * which applies to both, must be L * T.
 * Errors: as eplb_evaluate; EPLB_UNAVAILABLE if windows were not kept. Since ABI 1.1. */
eplb_status eplb_evaluate_windows(eplb_context *context, const eplb_problem *problem,
                                  const void *placement, int64_t placement_length, eplb_dtype dtype,
                                  double *window_imbalance, double *window_bound,
                                  int64_t windows_length, eplb_error *err);

/* ------------------------------------------------------------------------------------ transfers */

/* Works out how one placement becomes another, for any two: what the EPLB_MAP_MOVE_ maps say of a
 * plan. Needs no weights. The context's cluster is used; its weights, plan and current placement
 * are not, and stay unchanged. On a CUDA context too it works on the host, and waits for nothing.
 * current and placement [L,S] hold the expert in each slot now and afterwards, from 0 to 2^18 - 1,
 * or -1 for nothing; experts may be missing. Slots that are closed may hold some now, not
 * afterwards. All arrays have the type dtype (EPLB_INT32 or EPLB_INT64) and placement_length
 * elements, a multiple of num_slots. The problem's num_slots, num_gpus and num_nodes are used, the
 * rest is ignored.
 * Outputs, each of which may be NULL: move_source, move_round and move_group [L,S]; *report: the
 * figures of moves, microseconds and context_bytes; strategy is -1, policy EPLB_POLICY_GLOBAL, and
 * the rest 0.
 * Errors: EPLB_INVALID_PLACEMENT naming array, layer and slot; EPLB_UNAVAILABLE for a
 * transfer_order above those of this version. Since ABI 1.1. */
eplb_status eplb_plan_transfers(eplb_context *context, const eplb_problem *problem,
                                eplb_transfer_order transfer_order, const void *current,
                                const void *placement, void *move_source, void *move_round,
                                void *move_group, int64_t placement_length, eplb_dtype dtype,
                                eplb_report *report, eplb_error *err);

/* ---------------------------------------------------------------------------------------- split */

/* Fills *options with defaults. struct_size: sizeof(eplb_split_options) of the caller. Since ABI
 * 1.2. */
eplb_status eplb_split_options_init(eplb_split_options *options, int64_t struct_size,
                                    eplb_error *err);

/* Takes a placement over which tokens are to be split, and works out what depends on it alone:
 * once, for any number of splits. The arguments up to dtype are those of eplb_evaluate; placement
 * NULL means the plan, of whose problem num_slots and num_gpus must be (placement_length and dtype
 * are then ignored). The placement stays while weights of the same shape are uploaded; a new
 * cluster, prices or weights of windows discard it. An earlier split, and an earlier static
 * dispatch, are discarded.
 * Errors: as eplb_evaluate; if placement is NULL, EPLB_INVALID_STATE without a plan, and
 * EPLB_INVALID_ARGUMENT for other sizes than its. Since ABI 1.2. */
eplb_status eplb_split_prepare(eplb_context *context, const eplb_problem *problem,
                               const void *placement, int64_t placement_length, eplb_dtype dtype,
                               eplb_error *err);

/* The same from device memory, in the order of `stream`; never synchronises, never allocates, can
 * be captured. eplb_split_prepare takes the memory for it: for splits of problems up to the
 * largest that the context was given there, and it stays in place until a larger one comes. Graphs
 * that were captured before a problem of another shape or a larger one was prepared must not be
 * replayed after. placement NULL means the plan in reserved memory. A layer that is not a
 * placement of all experts is found on the device: it counts as one without any, and
 * eplb_context_synchronize or eplb_fetch_report reports EPLB_INVALID_PLACEMENT.
 * Errors: as eplb_upload_weights_device; EPLB_INVALID_STATE without that memory, or without a
 * reserve. Since ABI 1.2. */
eplb_status eplb_split_prepare_device(eplb_context *context, const eplb_problem *problem,
                                      const void *placement, int64_t placement_length,
                                      eplb_dtype dtype, void *stream, eplb_error *err);

/* Splits the tokens of every expert, the uploaded weights, over its replicas, such that the busiest
 * GPU has as few as can be, and keeps the answer in the context: the EPLB_MAP_SHARE to
 * EPLB_MAP_SPLIT_TIGHT maps. problem NULL: over what was prepared last (the arguments up to dtype
 * are then ignored); else as if eplb_split_prepare were called with it first. options NULL means
 * defaults. The plan is left unchanged, and an upload of weights discards the split.
 * Whole weights of a layer whose sum is below 2^29 are split as they are: no GPU has a token or
 * more above the bound, times its speed. Others are rounded to about 2^-28 of their sum first, and
 * speeds to 1/65536 of the fastest. Layers of many thousands of slots may end above that; their
 * bound is true, too. Of many answers with the same largest load it is the same one on every
 * machine.
 * Source: a maximum flow from an even split; the bound is its last cut, a set of GPUs that cannot
 * give tokens to others (Gale 1957).
 * Errors: as eplb_split_prepare; EPLB_INVALID_STATE before an upload, if nothing was prepared, and
 * if that was for weights of another shape. Since ABI 1.2. */
eplb_status eplb_split(eplb_context *context, const eplb_problem *problem, const void *placement,
                       int64_t placement_length, eplb_dtype dtype,
                       const eplb_split_options *options, eplb_error *err);

/* The same of weights in reserved device memory, in the order of `stream`; never synchronises,
 * never allocates, can be captured and replayed with new weights in the same buffer, and over
 * another placement of the same problem that was prepared since. placement is in device memory, as
 * of eplb_split_prepare_device. eplb_fetch_map_device has the maps.
 * Errors: as eplb_split_prepare_device; EPLB_INVALID_STATE without weights there. Since ABI 1.2. */
eplb_status eplb_split_device(eplb_context *context, const eplb_problem *problem,
                              const void *placement, int64_t placement_length, eplb_dtype dtype,
                              const eplb_split_options *options, void *stream, eplb_error *err);

/* ------------------------------------------------------------------------------ static dispatch */

/* Fills *options with defaults. struct_size: sizeof(eplb_static_dispatch_options) of the caller.
 * Since ABI 1.2. */
eplb_status eplb_static_dispatch_options_init(eplb_static_dispatch_options *options,
                                              int64_t struct_size, eplb_error *err);

/* For engines in which each source rank sends all of its tokens of an expert to one slot: chooses
 * these slots, such that the busiest GPU has little, and keeps the answer in the context: the
 * EPLB_MAP_DISPATCH_ maps. Ranks are taken to have equally many tokens of every expert, of which
 * the uploaded weights are the sums. Of the ranks that may use a slot, those on its GPU come
 * first, and then those on its node. Arguments and NULLs are those of eplb_split; options NULL
 * means defaults. With max_swaps the answer is for another placement, EPLB_MAP_DISPATCH_PLACEMENT,
 * which has the same experts as often, none of them on a GPU twice that was not before; limits on
 * moves are not looked at. Plan and split are left unchanged, unless a placement is given (see
 * eplb_split_prepare); an upload of weights discards the answer. Works on the host, whatever the
 * context's device. It is the same answer on every machine.
 * Source: the split, rounded to ranks, and a local search; how far it is from the best is not
 * known, but the bound is one for every table.
 * Errors: as eplb_split. Since ABI 1.2. */
eplb_status eplb_static_dispatch(eplb_context *context, const eplb_problem *problem,
                                 const void *placement, int64_t placement_length, eplb_dtype dtype,
                                 const eplb_static_dispatch_options *options, eplb_error *err);

#ifdef __cplusplus
}
#endif

#endif /* EPLB_H */
