// Package eplb decides which experts of a Mixture-of-Experts model get several replicas and which GPU holds what, so that
// the busiest GPU carries as little as possible. It loads libeplb at run time, without cgo:
//
//	library, err := eplb.Load("")
//	context, err := library.NewContext(eplb.ContextOptions{})
//	defer context.Close()
//	weights := eplb.NewWeights(tokens, 58, 256)
//	plan, err := context.Solve(weights, eplb.Problem{NumSlots: 288, NumGPUs: 32}, eplb.SolveOptions{})
//
// # Words
//
// L layers, E logical experts, S slots (places for one expert's parameters), G GPUs, K = S/G slots per GPU: GPU g owns
// slots g*K to g*K+K-1. The weight of an expert is the number of tokens routed to it, measured. An expert has c >= 1
// replicas, each carries weight/c. The load of a GPU is the sum over its replicas. The imbalance of a layer is the largest
// load over the mean load: 1 is perfect. Arrays are flat and in C order: element [l,s] of [L,S] is at l*S + s.
//
// # Zero values
//
// A zero field of [ContextOptions], [Problem], [SolveOptions], [SplitOptions] or [StaticDispatchOptions] is the library's own
// default, so later libraries may choose better. Only Problem.NumSlots and Problem.NumGPUs must be set.
//
// # Errors
//
// A call that the library refuses gives an [*Error], whose message names the argument and the numbers. Ask for its kind
// with errors.Is(err, [ErrInvalidWeight]) and the like. [Load] gives a [*LoadError] that says where it looked.
//
// # Deadlines
//
// [Context.WithContext] binds the calls of a context to a context.Context: they end when it is done.
//
//	ctx, cancel := context.WithTimeout(ctx, time.Second)
//	defer cancel()
//	plan, err := placer.WithContext(ctx).Solve(weights, problem, options) // placer is an eplb.Context
//	if errors.Is(err, context.DeadlineExceeded) {
//		// the placement that is there serves on
//	}
//
// # Goroutines
//
// A [Context] may move between goroutines and threads but serves one call at a time: a call that comes while another runs
// is refused with [ErrInvalidState]. Use one for each goroutine; different contexts are independent. A [Library] is free
// for all. Equal weights, problem and options give equal placements, bit for bit, on every machine and thread count.
//
// # CUDA
//
// A context made with ContextOptions{Device: "cuda"}, or "cuda:1", works on that device and gives the same placements. All
// calls take it as they take one on the CPU, and return finished. Three more take device memory and a stream, are queued
// there and return at once: [Context.UploadWeightsDevice], [Context.SolveDevice] and [Context.FetchMapDevice], after
// [Context.Reserve] has got the memory. Faults of weights on a device are reported later, only by [Context.Synchronize]
// or [Context.Report]. This package allocates no device memory and makes no streams: both come as numbers, from whatever
// the program uses CUDA with. CUDA's own current device belongs to a thread: calls here leave it as it was, and do not go by
// it.
//
// # What is not wrapped
//
// eplb_device_count, whose answer [Library.Backends] gives.
package eplb
