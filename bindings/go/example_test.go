package eplb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"time"

	"eplb"
)

func Example() {
	library, err := eplb.Load("") // EPLB_LIBRARY, next to the program, or the system's
	if err != nil {
		log.Fatal(err) // says where it looked
	}
	context, err := library.NewContext(eplb.ContextOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer context.Close()

	tokens := []int{600, 560, 120, 120, 20, 10, 10, 10} // 1 layer, 8 experts: tokens routed to each
	weights := eplb.NewWeights(tokens, 1, 8)
	plan, err := context.Solve(weights, eplb.Problem{NumSlots: 16, NumGPUs: 8}, eplb.SolveOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("replicas:", plan.ReplicaCount)
	report, err := plan.Report()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("imbalance %.3f, at most %.1f %% above the optimum\n", report.ImbalanceMean, 100*report.GapMean)
	// Output:
	// replicas: [4 4 2 2 1 1 1 1]
	// imbalance 1.103, at most 10.3 % above the optimum
}

// A loop that needs one map only, in a buffer of its own, tries two strategies on one upload.
func ExampleContext_SolveUploaded() {
	library, err := eplb.Load("")
	if err != nil {
		log.Fatal(err)
	}
	context, err := library.NewContext(eplb.ContextOptions{NumThreads: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer context.Close()

	if err := context.Upload(eplb.NewWeights([]float32{9, 1, 1, 1}, 1, 4)); err != nil {
		log.Fatal(err)
	}
	var placement []int32 // grows once, is reused from then on
	for _, strategy := range []eplb.Strategy{eplb.StrategyGreedy, eplb.StrategyBest} {
		err := context.SolveUploaded(eplb.Problem{NumSlots: 6, NumGPUs: 3}, eplb.SolveOptions{Strategy: strategy})
		if err != nil {
			log.Fatal(err)
		}
		if placement, err = context.FetchInts(eplb.MapPhysicalToLogical, placement); err != nil {
			log.Fatal(err)
		}
		fmt.Println(strategy, len(placement))
	}
	// Output:
	// greedy 6
	// best 6
}

// A solve of weights that lie on a device, queued on a stream: nothing waits but Synchronize.
func ExampleContext_SolveDevice() {
	library, err := eplb.Load("")
	if err != nil {
		log.Fatal(err)
	}
	context, err := library.NewContext(eplb.ContextOptions{Device: "cuda"})
	if err != nil {
		log.Fatal(err) // says why there is no CUDA
	}
	defer context.Close()

	// From what the program uses CUDA with: a cudaStream_t, and what cudaMalloc gave for 58 x 256 floats and 58 x 288 ints.
	var stream eplb.Stream
	var tokens, experts eplb.DevicePointer

	shape := eplb.WeightShape{Layers: 58, Experts: 256}
	problem, options := eplb.Problem{NumSlots: 288, NumGPUs: 32}, eplb.SolveOptions{}
	if err := context.Reserve(eplb.Float32, shape, problem, options); err != nil { // once
		log.Fatal(err)
	}
	weights := eplb.DeviceArray{Pointer: tokens, Length: 58 * 256, DType: eplb.Float32}
	if err := context.UploadWeightsDevice(weights, shape, stream); err != nil {
		log.Fatal(err)
	}
	if err := context.SolveDevice(problem, options, stream); err != nil {
		log.Fatal(err)
	}
	placement := eplb.DeviceArray{Pointer: experts, Length: 58 * 288, DType: eplb.Int32}
	if err := context.FetchMapDevice(eplb.MapPhysicalToLogical, placement, stream); err != nil {
		log.Fatal(err)
	}
	if err := context.Synchronize(); errors.Is(err, eplb.ErrInvalidWeight) {
		fmt.Println(err) // which weight is bad: its layer was solved as a layer of zeros
	}
}

func ExampleContext_Evaluate() {
	library, err := eplb.Load("")
	if err != nil {
		log.Fatal(err)
	}
	context, err := library.NewContext(eplb.ContextOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer context.Close()

	if err := context.Upload(eplb.NewWeights([]float32{3, 1}, 1, 2)); err != nil {
		log.Fatal(err)
	}
	report, err := context.Evaluate(eplb.Problem{NumSlots: 2, NumGPUs: 2}, []int32{0, 1})
	fmt.Println(report.ImbalanceMean, err)
	_, err = context.Evaluate(eplb.Problem{NumSlots: 2, NumGPUs: 2}, []int32{0, 0})
	fmt.Println(err)
	// Output:
	// 1.5 <nil>
	// eplb: placement[layer 0] has no replica of expert 1
}

func ExampleError() {
	library, err := eplb.Load("")
	if err != nil {
		log.Fatal(err)
	}
	context, err := library.NewContext(eplb.ContextOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer context.Close()

	err = context.Upload(eplb.NewWeights([]float64{1, math.NaN()}, 1, 2))
	fmt.Println(errors.Is(err, eplb.ErrInvalidWeight))
	var refusal *eplb.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Status, "-", refusal.Message)
	}
	// Output:
	// true
	// EPLB_INVALID_WEIGHT - weights[layer 0, expert 1] is NaN
}

// A solve that the program has no more use for ends.
func ExampleContext_WithContext() {
	library, err := eplb.Load("")
	if err != nil {
		log.Fatal(err)
	}
	placer, err := library.NewContext(eplb.ContextOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer placer.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	const layers, experts = 1000, 10000
	weights := make([]float32, layers*experts)
	for i := range weights {
		weights[i] = float32(i * i % 1009)
	}
	problem := eplb.Problem{NumSlots: 12000, NumGPUs: 1000}
	_, err = placer.WithContext(ctx).Solve(eplb.NewWeights(weights, layers, experts), problem, eplb.SolveOptions{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, eplb.ErrInterrupted))
	// Output:
	// eplb: the call was interrupted: context deadline exceeded
	// true true
}

func ExampleLoad() {
	_, err := eplb.Load("/nowhere/libeplb.so.0")
	fmt.Println(err)
	// Output:
	// eplb: cannot load the library named by the program. Tried:
	//   '/nowhere/libeplb.so.0': there is no such file
}

func ExampleLibrary_Backends() {
	library, err := eplb.Load("")
	if err != nil {
		log.Fatal(err)
	}
	backends, err := library.Backends()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backends[0].Name, backends[0].Usable()) // and in Text, why or why not
	// Output: cpu true
}
