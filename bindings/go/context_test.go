package eplb

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestSolvePairs(t *testing.T) {
	p, err := newContext(t).Solve(pairsWeights(), pairsProblem, SolveOptions{Effort: EffortMax})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "largest load", 590.0/3, slices.Max(p.GPULoad()))
	if reportOf(p).Strategy != StrategyBest || reportOf(p).Policy != PolicyHierarchical || reportOf(p).PolicyReason != ReasonGroupsDivide {
		t.Errorf("%+v", reportOf(p))
	}
}

// Every zero field is the library's own default: the same answer as with the default spelt out.
func TestZeroMeansDefault(t *testing.T) {
	context := newContext(t)
	weights := NewWeights(sample(2, 32, 1), 2, 32)
	short, err := context.Solve(weights, Problem{NumSlots: 40, NumGPUs: 8}, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	problem := Problem{NumSlots: 40, NumGPUs: 8, NumNodes: 1, NumGroups: 1, Policy: PolicyAuto, Bound: BoundSimple}
	long, err := context.Solve(weights, problem, SolveOptions{Strategy: StrategyBest, Effort: EffortNormal})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "placement", short.PhysicalToLogical, long.PhysicalToLogical)
	if reportOf(short).Bound != BoundSimple || short.MaxReplicas != 9 {
		t.Errorf("%+v", short)
	}
}

// Every type of numbers says the same, named types too.
func TestTypesOfWeights(t *testing.T) {
	type tokens int64
	check := func(name string, weights Weights) {
		p, err := newContext(t).Solve(weights, pairsProblem, SolveOptions{Effort: EffortMax})
		if err != nil {
			t.Fatal(name, err)
		}
		near(t, name, 590.0/3, slices.Max(p.GPULoad()))
	}
	check("float32", NewWeights(pairs, 1, 8))
	check("float64", NewWeights(as[float64](pairs), 1, 8))
	check("int32", NewWeights(as[int32](pairs), 1, 8))
	check("int64", NewWeights(as[int64](pairs), 1, 8))
	check("int", NewWeights(as[int](pairs), 1, 8))
	check("a named type", NewWeights(as[tokens](pairs), 1, 8))
	check("windows", NewWindows(append(as[int](pairs), make([]int, 8)...), 2, 1, 8))
}

func as[To, From Number](values []From) (out []To) {
	for _, value := range values {
		out = append(out, To(value))
	}
	return out
}

func TestStepsReuseTheirBuffers(t *testing.T) {
	context := newContext(t)
	if err := context.Upload(pairsWeights()); err != nil {
		t.Fatal(err)
	}
	if err := context.SolveUploaded(pairsProblem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	whole, err := context.Plan()
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]int32, 5, 100)
	placement, err := context.FetchInts(MapPhysicalToLogical, buffer)
	if err != nil || &placement[0] != &buffer[0] {
		t.Errorf("a buffer with room was not reused: %v", err)
	}
	equal(t, "placement", whole.PhysicalToLogical, placement)
	grown, err := context.FetchInts(MapReplicaSlots, make([]int32, 3))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "replica slots", whole.ReplicaSlots, grown)
	loads, err := context.FetchFloats(MapGPULoad, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "loads", whole.GPULoad(), loads)
	counts, err := context.FetchInts(MapDuplicates, nil)
	if err != nil || len(counts) != 1 {
		t.Error(counts, err)
	}
	// Where C refuses, the caller's buffer comes back.
	kept, err := context.FetchInts(99, buffer)
	refused(t, err, ErrUnavailable, "map is 99")
	if len(kept) != 5 || &kept[0] != &buffer[0] {
		t.Error("the buffer is lost")
	}
}

func TestWrongOrder(t *testing.T) {
	context := newContext(t)
	_, err := context.FetchInts(MapPhysicalToLogical, nil)
	refused(t, err, ErrInvalidState, "eplb_solve")
	_, err = context.Plan()
	refused(t, err, ErrInvalidState, "eplb_solve")
	_, err = context.Report()
	refused(t, err, ErrInvalidState, "eplb_solve")
	refused(t, context.SolveUploaded(pairsProblem, SolveOptions{}), ErrInvalidState, "eplb_upload_weights")
	_, err = context.Evaluate(pairsProblem, make([]int32, 16))
	refused(t, err, ErrInvalidState, "eplb_upload_weights")
}

func TestBadInput(t *testing.T) {
	solve := func(weights Weights, problem Problem, options SolveOptions) error {
		_, err := newContext(t).Solve(weights, problem, options)
		return err
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for text, err := range map[string]error{
		"strategy is 'gredy', must be one of greedy, lpt_swap, ": solve(pairsWeights(), pairsProblem, SolveOptions{Strategy: "gredy"}),
		"effort is 'much', must be one of fast, normal, max":     solve(pairsWeights(), pairsProblem, SolveOptions{Effort: "much"}),
		"policy is 'local', must be one of auto, hierarchical":   solve(pairsWeights(), Problem{NumSlots: 16, NumGPUs: 8, Policy: "local"}, SolveOptions{}),
		"bound is 'tight', must be one of simple, threshold":     solve(pairsWeights(), Problem{NumSlots: 16, NumGPUs: 8, Bound: "tight"}, SolveOptions{}),
		"num_slots is 17, must be a multiple of num_gpus = 8":    solve(pairsWeights(), Problem{NumSlots: 17, NumGPUs: 8}, SolveOptions{}),
		"num_slots is 0":                     solve(pairsWeights(), Problem{}, SolveOptions{}),
		"num_gpus is -8":                     solve(pairsWeights(), Problem{NumSlots: 16, NumGPUs: -8}, SolveOptions{}),
		"num_nodes is -1":                    solve(pairsWeights(), Problem{NumSlots: 16, NumGPUs: 8, NumNodes: -1}, SolveOptions{}),
		"num_slots is 9223372036854775807":   solve(pairsWeights(), Problem{NumSlots: math.MaxInt64, NumGPUs: 1}, SolveOptions{}),
		"max_replicas is -1":                 solve(pairsWeights(), pairsProblem, SolveOptions{MaxReplicas: -1}),
		"weights_length is 8":                solve(NewWeights(pairs, 2, 8), pairsProblem, SolveOptions{}),
		"num_layers is -1":                   solve(NewWeights(pairs, -1, -8), pairsProblem, SolveOptions{}),
		"num_windows is 0":                   solve(NewWindows(pairs, 0, 1, 8), pairsProblem, SolveOptions{}),
		"num_experts":                        solve(NewWeights(pairs, math.MaxInt64, math.MaxInt64), pairsProblem, SolveOptions{}),
		"weights is NULL":                    solve(NewWeights[float32](nil, 1, 8), pairsProblem, SolveOptions{}),
		"weights[layer 0, expert 1] is NaN":  solve(NewWeights([]float32{1, nan}, 1, 2), pairsProblem, SolveOptions{}),
		"weights[layer 1, expert 0] is infi": solve(NewWeights([]float32{1, 1, inf, 1}, 2, 2), pairsProblem, SolveOptions{}),
		"weights[layer 0, expert 0] is nega": solve(NewWeights([]int{-1, 1}, 1, 2), pairsProblem, SolveOptions{}),
	} {
		status := ErrInvalidArgument
		if strings.HasPrefix(text, "weights[") {
			status = ErrInvalidWeight
		}
		refused(t, err, status, text)
		if !errors.Is(err, status) || errors.Is(err, ErrInternal) {
			t.Errorf("%v is not %v", err, status)
		}
	}
	if err := solve(Weights{}, pairsProblem, SolveOptions{}); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
}

func TestNamesAreReadInAnyCase(t *testing.T) {
	p, err := newContext(t).Solve(pairsWeights(), pairsProblem, SolveOptions{Strategy: "LPT_SWAP"})
	if err != nil || reportOf(p).Strategy != StrategyLPTSwap {
		t.Error(err)
	}
}

func TestARefusedSolveLeavesThePlan(t *testing.T) {
	context := newContext(t)
	before, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, context.SolveUploaded(Problem{NumSlots: 17, NumGPUs: 8}, SolveOptions{}), ErrInvalidArgument, "num_slots is 17")
	if err := context.Upload(NewWeights([]float32{-1}, 1, 1)); !errors.Is(err, ErrInvalidWeight) {
		t.Error(err)
	}
	after, err := context.Plan()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "placement", before.PhysicalToLogical, after.PhysicalToLogical)
	// Evaluation too goes by the weights of the last good upload.
	report, err := context.Evaluate(pairsProblem, before.PhysicalToLogical)
	if err != nil || report.ImbalanceMean != reportOf(before).ImbalanceMean {
		t.Error(report, err)
	}
}

// naive is a placement of eight experts, each twice.
var naive = []int32{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7}

func TestEvaluate(t *testing.T) {
	context := newContext(t)
	if err := context.Upload(pairsWeights()); err != nil {
		t.Fatal(err)
	}
	report, err := context.Evaluate(pairsProblem, naive)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "imbalance", (600+560)/2/(1450/8.0), report.ImbalanceMean)
	if report.Strategy != "" || len(report.LayerBound) != 1 || report.Bound != BoundSimple {
		t.Errorf("%+v", report)
	}
	for text, placement := range map[string][]int32{
		"is 8":     {8, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7},
		"is -2":    {-2, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7},
		"expert 7": {0, 1, 2, 3, 4, 5, 6, 6, 0, 1, 2, 3, 4, 5, 6, 6},
	} {
		_, err := context.Evaluate(pairsProblem, placement)
		refused(t, err, ErrInvalidPlacement, text)
	}
	for _, length := range []int{0, 15, 32} {
		_, err := context.Evaluate(pairsProblem, make([]int32, length))
		refused(t, err, ErrInvalidArgument, "placement")
	}
	_, err = context.Evaluate(Problem{NumSlots: 16, NumGPUs: 8, Policy: "?"}, naive)
	refused(t, err, ErrInvalidArgument, "policy is '?'")
}

func TestDevices(t *testing.T) {
	for _, device := range []string{"", "cpu", "cpu:0"} {
		context, err := library.NewContext(ContextOptions{Device: device, NumThreads: 2})
		if err != nil {
			t.Fatal(err)
		}
		context.Close()
	}
	for device, text := range map[string]string{
		"gpu": "device is 'gpu', must be one of cpu, cuda, or like 'cuda:1'", "cuda:": "device is 'cuda:'",
		"cuda:x": "device is 'cuda:x'", "cuda:-1": "device is 'cuda:-1'", "cpu:99999999999": "device is 'cpu:9",
	} {
		_, err := library.NewContext(ContextOptions{Device: device})
		refused(t, err, ErrInvalidArgument, text)
	}
	_, err := library.NewContext(ContextOptions{Device: "cpu:1"})
	refused(t, err, ErrNoDevice, "1")
	_, err = library.NewContext(ContextOptions{NumThreads: -1})
	refused(t, err, ErrInvalidArgument, "num_threads is -1")
}

func TestBackends(t *testing.T) {
	backends, err := library.Backends()
	if err != nil || len(backends) != 2 {
		t.Fatal(backends, err)
	}
	cpu, cuda := backends[0], backends[1]
	if cpu.Name != "cpu" || !cpu.Built || !cpu.Usable() || len(cpu.Devices) != 1 || cpu.Text == "" {
		t.Errorf("%+v", cpu)
	}
	context, err := library.NewContext(ContextOptions{Device: "cuda"})
	if cuda.Usable() != (err == nil) {
		t.Errorf("%+v, but %v", cuda, err)
	}
	context.Close()
	if !cuda.Usable() && (!errors.Is(err, cuda.Status) || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutOfMemory)) {
		t.Errorf("%+v, but %v", cuda, err)
	}
}

func TestKindsOfErrors(t *testing.T) {
	for status := range statusNames {
		err := error(&Error{status, "text"})
		if !errors.Is(err, status) || err.Error() != "eplb: text" {
			t.Error(err)
		}
		unavailable := status == ErrUnavailable || status == ErrNotBuilt || status == ErrNoDriver || status == ErrNoDevice
		memory := status == ErrOutOfMemory || status == ErrDeviceOutOfMemory
		if errors.Is(err, ErrUnavailable) != unavailable || errors.Is(err, ErrOutOfMemory) != memory {
			t.Errorf("%v", status)
		}
	}
	if textOf([]byte("a\xffb\x00c")) != "a\uFFFDb" || textOf([]byte("full")) != "full" {
		t.Error("text is cut wrong")
	}
	if strategyNames.of(99) != "99" || strategyNames.of(-1) != "-1" {
		t.Error("a value of a later library has no name")
	}
}

func TestEqualPlansHaveEqualFingerprints(t *testing.T) {
	fingerprint := func(context *Context) uint64 {
		t.Helper()
		if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
			t.Fatal(err)
		}
		value, err := context.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	_, err := newContext(t).Fingerprint()
	refused(t, err, ErrInvalidState, "eplb_solve")
	if one, other := fingerprint(newContext(t)), fingerprint(newContext(t)); one != other {
		t.Errorf("%x and %x of the same plan", one, other)
	}
}
