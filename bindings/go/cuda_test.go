package eplb

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// The real CUDA machine over an emulation of CUDA, or nothing: every test skips without such a library.

var (
	nodes      = Problem{NumSlots: 80, NumGPUs: 16, NumNodes: 2, NumGroups: 4}
	nodesShape = WeightShape{Layers: 3, Experts: 64}
)

func onCPU(t testing.TB, weights Weights, problem Problem, options SolveOptions) *Plan {
	t.Helper()
	p, err := newContext(t).Solve(weights, problem, options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func samePlan(t *testing.T, want, got *Plan) {
	t.Helper()
	equal(t, "placement", want.PhysicalToLogical, got.PhysicalToLogical)
	equal(t, "replica count", want.ReplicaCount, got.ReplicaCount)
	equal(t, "replica slots", want.ReplicaSlots, got.ReplicaSlots)
	equal(t, "loads", want.GPULoad(), got.GPULoad())
	equal(t, "bounds", reportOf(want).LayerBound, reportOf(got).LayerBound)
	if want.MaxReplicas != got.MaxReplicas || reportOf(want).GapWorst != reportOf(got).GapWorst || reportOf(want).Policy != reportOf(got).Policy {
		t.Errorf("%+v, want %+v", reportOf(got), reportOf(want))
	}
}

func TestCUDADevices(t *testing.T) {
	e := emulated(t, 0)
	backends, err := e.Backends()
	e.ok(err)
	if cuda := backends[1]; !cuda.Usable() || len(cuda.Devices) != 2 || cuda.DriverVersion < cuda.DriverNeeded {
		t.Errorf("%+v", cuda)
	}
	for _, device := range []string{"cpu", "cuda", "cuda:0", "cuda:1"} {
		p, err := e.context(device).Solve(pairsWeights(), pairsProblem, SolveOptions{})
		e.ok(err)
		samePlan(t, onCPU(t, pairsWeights(), pairsProblem, SolveOptions{}), p)
	}
	_, err = e.NewContext(ContextOptions{Device: "cuda:2"})
	refused(t, err, ErrNoDevice, "2")
}

func TestHostCallsOnCUDA(t *testing.T) {
	e := emulated(t, 0)
	context := e.context("cuda")
	for seed, strategy := range fromWeights {
		weights := NewWeights(sample(3, 64, uint64(seed)), 3, 64)
		options := SolveOptions{Strategy: Strategy(strategy), Seed: uint64(seed)}
		want := onCPU(t, weights, nodes, options)
		got, err := context.Solve(weights, nodes, options)
		e.ok(err)
		samePlan(t, want, got)
		report, err := context.Evaluate(nodes, got.PhysicalToLogical)
		if err != nil || report.ImbalanceMean != reportOf(want).ImbalanceMean {
			t.Error(report, err)
		}
	}
	e.ok(context.Synchronize())
	refused(t, context.Upload(NewWeights([]float64{1, math.NaN()}, 1, 2)), ErrInvalidWeight, "weights[layer 0, expert 1] is NaN")
}

// Every strategy and every type of weights, two windows of them: all maps as on the CPU, and nothing waits for them.
func TestDeviceCalls(t *testing.T) {
	e := emulated(t, 0)
	for seed, strategy := range fromWeights {
		values := sample(2*3, 64, uint64(seed))
		options := SolveOptions{Strategy: Strategy(strategy), MaxReplicas: 9}
		t.Run(strategy, func(t *testing.T) {
			e := &emulation{t, e.Library, e.cuda, e.stream}
			switch DType(seed % 4) {
			case Float32:
				deviceCalls(e, values, options)
			case Float64:
				deviceCalls(e, as[float64](values), options)
			case Int32:
				deviceCalls(e, as[int32](values), options)
			case Int64:
				deviceCalls(e, as[int64](values), options)
			}
		})
	}
}

func deviceCalls[T Number](e *emulation, values []T, options SolveOptions) {
	e.Helper()
	shape := WeightShape{Windows: 2, Layers: 3, Experts: 64}
	want := onCPU(e, NewWindows(values, 2, 3, 64), nodes, options)
	context := e.context("cuda")
	e.ok(context.Reserve(dtypeOf[T](), shape, nodes, options))
	weights, ints, floats := put(e, values), map[IntMap]DeviceArray{}, map[FloatMap]DeviceArray{}
	for _, which := range []IntMap{MapPhysicalToLogical, MapLogicalToPhysical, MapReplicaCount, MapReplicaSlots, MapDuplicates} {
		ints[which] = roomFor[int32](e, context, which)
	}
	for _, which := range []FloatMap{MapGPULoad, MapImbalance} {
		floats[which] = roomFor[float64](e, context, which)
	}
	wide := roomFor[int64](e, context, MapPhysicalToLogical)

	before := e.waits()
	e.ok(context.UploadWeightsDevice(weights, shape, e.stream))
	e.ok(context.SolveDevice(nodes, options, e.stream))
	for which, array := range ints {
		e.ok(context.FetchMapDevice(which, array, e.stream))
	}
	for which, array := range floats {
		e.ok(context.FetchMapDevice(which, array, e.stream))
	}
	e.ok(context.FetchMapDevice(MapPhysicalToLogical, wide, e.stream))
	if e.waits() != before || e.cuda.Count("pending") == 0 {
		e.Error("a device call has waited, or got memory")
	}
	e.ok(context.Synchronize())
	equal(e.T, "placement as int64", as[int64](want.PhysicalToLogical), read[int64](e, wide))
	sameMaps(e, want, ints, floats)
	// Host calls see what device calls have left.
	got, err := context.Plan()
	e.ok(err)
	samePlan(e.T, want, got)
	report, err := context.Evaluate(nodes, want.PhysicalToLogical)
	if err != nil || len(report.LayerBound) != 3 {
		e.Error(report, err)
	}
}

func sameMaps(e *emulation, want *Plan, ints map[IntMap]DeviceArray, floats map[FloatMap]DeviceArray) {
	e.Helper()
	equal(e.T, "placement", want.PhysicalToLogical, read[int32](e, ints[MapPhysicalToLogical]))
	equal(e.T, "table", want.LogicalToPhysical(), read[int32](e, ints[MapLogicalToPhysical]))
	equal(e.T, "counts", want.ReplicaCount, read[int32](e, ints[MapReplicaCount]))
	equal(e.T, "slots", want.ReplicaSlots, read[int32](e, ints[MapReplicaSlots]))
	equal(e.T, "duplicates", reportOf(want).LayerDuplicates, as[int64](read[int32](e, ints[MapDuplicates])))
	for i, load := range read[float64](e, floats[MapGPULoad]) {
		near(e.T, "load", want.GPULoad()[i], load)
	}
	for i, imbalance := range read[float64](e, floats[MapImbalance]) {
		near(e.T, "imbalance", reportOf(want).LayerImbalance[i], imbalance)
	}
}

// A plan of the host keeps its figures whatever device calls do to the context later; they would not be seen in a graph.
func TestFiguresOnCUDA(t *testing.T) {
	e := emulated(t, 0)
	context := e.context("cuda")
	e.ok(context.Reserve(Float32, nodesShape, nodes, SolveOptions{}))
	host := NewWeights(sample(3, 64, 1), 3, 64)
	want := onCPU(t, host, nodes, SolveOptions{})
	early, err := context.Solve(host, nodes, SolveOptions{})
	e.ok(err)
	late, err := context.Solve(host, nodes, SolveOptions{})
	e.ok(err)
	samePlan(t, want, late)
	e.ok(context.UploadWeightsDevice(put(e, sample(3, 64, 2)), nodesShape, e.stream))
	e.ok(context.SolveDevice(nodes, SolveOptions{}, e.stream))
	samePlan(t, want, early)
	again, err := context.Solve(host, nodes, SolveOptions{})
	e.ok(err)
	samePlan(t, want, again)
}

func TestLateErrors(t *testing.T) {
	e := emulated(t, 0)
	values := sample(3, 64, 1)
	zeroed := append([]float32(nil), values...)
	clear(zeroed[64:])
	want := onCPU(t, NewWeights(zeroed, 3, 64), nodes, SolveOptions{})
	values[64+7], values[64+9], values[2*64] = float32(math.NaN()), -1, float32(math.Inf(1))
	weights := put(e, values)
	context := e.context("cuda")
	e.ok(context.Reserve(Float32, nodesShape, nodes, SolveOptions{}))
	experts := roomFor[int32](e, context, MapPhysicalToLogical)
	for name, tell := range map[string]func() error{
		"Synchronize": context.Synchronize,
		"Report":      func() error { _, err := context.Report(); return err },
		"Plan":        func() error { _, err := context.Plan(); return err },
	} {
		e.ok(context.UploadWeightsDevice(weights, nodesShape, e.stream))
		e.ok(context.SolveDevice(nodes, SolveOptions{}, e.stream))
		e.ok(context.FetchMapDevice(MapPhysicalToLogical, experts, e.stream))
		// Host calls that wait do not tell.
		placement, err := context.FetchInts(MapPhysicalToLogical, nil)
		e.ok(err)
		equal(t, name, want.PhysicalToLogical, placement)
		equal(t, name, want.PhysicalToLogical, read[int32](e, experts))
		refused(t, tell(), ErrInvalidWeight, "weights[layer 1, expert 7] is NaN")
		e.ok(tell()) // once
		e.ok(context.Synchronize())
		_, err = context.Report()
		e.ok(err)
	}
}

func TestOrderOfDeviceCalls(t *testing.T) {
	e := emulated(t, 0)
	context := e.context("cuda")
	for _, err := range everyDeviceCall(context) {
		refused(t, err, ErrInvalidState, "call eplb_")
	}
	e.ok(context.Reserve(Float32, pairsShape, pairsProblem, SolveOptions{}))
	weights, experts := put(e, pairs), roomFor[int32](e, context, MapPhysicalToLogical)
	refused(t, context.SolveDevice(pairsProblem, SolveOptions{}, e.stream), ErrInvalidState, "eplb_upload_weights_device")
	e.ok(context.UploadWeightsDevice(weights, pairsShape, e.stream))
	refused(t, context.FetchMapDevice(MapPhysicalToLogical, experts, e.stream), ErrInvalidState, "eplb_solve_device")
	e.ok(context.SolveDevice(pairsProblem, SolveOptions{}, e.stream))
	// Beyond what was reserved; it leaves what was there.
	large := put(e, sample(3, 64, 1))
	refused(t, context.UploadWeightsDevice(large, nodesShape, e.stream), ErrInvalidState, "eplb_context_reserve")
	more := Problem{NumSlots: 1024, NumGPUs: 8}
	refused(t, context.SolveDevice(more, SolveOptions{}, e.stream), ErrInvalidState, "eplb_context_reserve")
	e.ok(context.FetchMapDevice(MapPhysicalToLogical, experts, e.stream))
	e.ok(context.Synchronize())
	equal(t, "placement", onCPU(t, pairsWeights(), pairsProblem, SolveOptions{}).PhysicalToLogical, read[int32](e, experts))
	// A new reserve discards.
	e.ok(context.Reserve(Float32, pairsShape, pairsProblem, SolveOptions{}))
	_, err := context.Plan()
	refused(t, err, ErrInvalidState, "eplb_solve")
	_, err = context.Evaluate(pairsProblem, naive)
	refused(t, err, ErrInvalidState, "eplb_upload_weights")
}

func TestBadDeviceCalls(t *testing.T) {
	e := emulated(t, 0)
	context := e.context("cuda")
	e.ok(context.Reserve(Float32, pairsShape, pairsProblem, SolveOptions{}))
	weights, experts := put(e, pairs), roomFor[int32](e, context, MapPhysicalToLogical)
	e.ok(context.UploadWeightsDevice(weights, pairsShape, e.stream))
	e.ok(context.SolveDevice(pairsProblem, SolveOptions{}, e.stream))
	for text, err := range map[string]error{
		"weights is NULL":     context.UploadWeightsDevice(DeviceArray{0, 8, Float32}, pairsShape, e.stream),
		"weights_length is 7": context.UploadWeightsDevice(DeviceArray{weights.Pointer, 7, Float32}, pairsShape, e.stream),
		"dtype is 9":          context.UploadWeightsDevice(DeviceArray{weights.Pointer, 8, 9}, pairsShape, e.stream),
		"num_slots is 17":     context.SolveDevice(Problem{NumSlots: 17, NumGPUs: 8}, SolveOptions{}, e.stream),
		"buffer is NULL":      context.FetchMapDevice(MapPhysicalToLogical, DeviceArray{0, 16, Int32}, e.stream),
		"length is 15":        context.FetchMapDevice(MapPhysicalToLogical, DeviceArray{experts.Pointer, 15, Int32}, e.stream),
		"dtype is ":           context.FetchMapDevice(MapGPULoad, DeviceArray{experts.Pointer, 8, Float32}, e.stream),
	} {
		refused(t, err, ErrInvalidArgument, text)
	}
	refused(t, context.FetchMapDevice(IntMap(99), experts, e.stream), ErrUnavailable, "map is 99")
	// None of them has changed the plan, or is reported again.
	p, err := context.Plan()
	e.ok(err)
	samePlan(t, onCPU(t, pairsWeights(), pairsProblem, SolveOptions{}), p)
}

// The second device, whichever the thread's current one is; the default stream is the context's device's, too.
func TestSecondDeviceAndDefaultStream(t *testing.T) {
	e := emulated(t, 1)
	context := e.context("cuda:1")
	e.ok(context.Reserve(Int64, pairsShape, pairsProblem, SolveOptions{}))
	weights, counts := put(e, as[int64](pairs)), roomFor[int64](e, context, MapReplicaCount)
	want := as[int64](onCPU(t, pairsWeights(), pairsProblem, SolveOptions{}).ReplicaCount)
	for _, current := range []int32{1, 0} {
		e.done("cudaSetDevice", e.cuda.SetDevice(current))
		for _, stream := range []Stream{0, e.stream} {
			write(e, counts, make([]int64, counts.Length))
			e.ok(context.UploadWeightsDevice(weights, pairsShape, stream))
			e.ok(context.SolveDevice(pairsProblem, SolveOptions{}, stream))
			e.ok(context.FetchMapDevice(MapReplicaCount, counts, stream))
			e.ok(context.Synchronize())
			equal(t, "counts", want, read[int64](e, counts))
		}
	}
}

// Captured once, replayed with new weights in the same memory.
func TestGraph(t *testing.T) {
	e := emulated(t, 0)
	context := e.context("cuda")
	e.ok(context.Reserve(Float32, nodesShape, nodes, SolveOptions{}))
	weights, experts := put(e, sample(3, 64, 0)), roomFor[int32](e, context, MapPhysicalToLogical)
	var graph, executable uintptr
	e.done("cudaStreamBeginCapture", e.cuda.BeginCapture(e.stream, 0))
	e.ok(context.UploadWeightsDevice(weights, nodesShape, e.stream))
	e.ok(context.SolveDevice(nodes, SolveOptions{}, e.stream))
	e.ok(context.FetchMapDevice(MapPhysicalToLogical, experts, e.stream))
	e.done("cudaStreamEndCapture", e.cuda.EndCapture(e.stream, &graph))
	e.done("cudaGraphInstantiate", e.cuda.Instantiate(&executable, graph, 0))
	for seed := range uint64(3) {
		values := sample(3, 64, 100+seed)
		write(e, weights, values)
		e.done("cudaGraphLaunch", e.cuda.Launch(executable, e.stream))
		e.ok(context.Synchronize())
		want := onCPU(t, NewWeights(values, 3, 64), nodes, SolveOptions{})
		equal(t, "placement", want.PhysicalToLogical, read[int32](e, experts))
		got, err := context.Plan()
		e.ok(err)
		samePlan(t, want, got)
	}
	e.done("cudaGraphExecDestroy", e.cuda.DestroyExec(executable))
	e.done("cudaGraphDestroy", e.cuda.DestroyGraph(graph))
}

func TestCUDAInManyGoroutines(t *testing.T) {
	e := emulated(t, 0)
	weights := NewWeights(sample(3, 32, 7), 3, 32)
	problem := Problem{NumSlots: 40, NumGPUs: 8}
	want := onCPU(t, weights, problem, SolveOptions{})
	everywhere(4, func(worker int) {
		context, err := e.NewContext(ContextOptions{Device: []string{"cuda:0", "cuda:1"}[worker/2]})
		if err != nil {
			t.Error(err)
			return
		}
		defer context.Close()
		for range 3 {
			p, err := context.Solve(weights, problem, SolveOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			equal(t, "placement", want.PhysicalToLogical, p.PhysicalToLogical)
		}
	})
}

func TestCUDAMemory(t *testing.T) {
	e := emulated(t, 0)
	held := func() (all [4]int64) {
		for i, name := range []string{"live_bytes", "live_allocations", "streams", "events"} {
			all[i] = e.cuda.Count(name)
		}
		return all
	}
	weights := put(e, pairs)
	before := held()
	for range 5 {
		context := e.context("cuda")
		e.ok(context.Reserve(Float32, pairsShape, pairsProblem, SolveOptions{}))
		e.ok(context.UploadWeightsDevice(weights, pairsShape, e.stream))
		e.ok(context.SolveDevice(pairsProblem, SolveOptions{}, e.stream))
		e.ok(context.Close()) // with work that nobody has waited for
	}
	if after := held(); after != before {
		t.Errorf("%v bytes, allocations, streams, events before, %v after", before, after)
	}
	context := e.context("cuda")
	if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	e.cuda.SetCapacity(0, 1<<16)
	defer e.cuda.SetCapacity(0, 1<<30)
	err := context.Reserve(Float32, WeightShape{Layers: 200, Experts: 64}, nodes, SolveOptions{})
	if !errors.Is(err, ErrDeviceOutOfMemory) || !errors.Is(err, ErrOutOfMemory) || !strings.Contains(err.Error(), "out of memory") {
		t.Error(err)
	}
	// What was there still is.
	if _, err := context.Evaluate(pairsProblem, naive); err != nil {
		t.Error(err)
	}
}
