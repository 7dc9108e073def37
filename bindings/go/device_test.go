package eplb

import (
	"testing"
)

// Device calls as far as a machine without CUDA goes; emulation_test.go goes further.

var pairsShape = WeightShape{Layers: 1, Experts: 8}

// everyDeviceCall gives addresses that nothing may touch.
func everyDeviceCall(c *Context) map[string]error {
	const nowhere DevicePointer = 256
	return map[string]error{
		"UploadWeightsDevice":   c.UploadWeightsDevice(DeviceArray{nowhere, 8, Float32}, pairsShape, 0),
		"UploadPlacementDevice": c.UploadPlacementDevice(DeviceArray{nowhere, 16, Int32}, 1, 16, 0),
		"SolveDevice":           c.SolveDevice(pairsProblem, SolveOptions{}, 0),
		"PrepareSplitDevice":    c.PrepareSplitDevice(pairsProblem, DeviceArray{nowhere, 16, Int32}, 0),
		"SplitDevice":           c.SplitDevice(SplitOptions{}, 0),
		"FetchMapDevice":        c.FetchMapDevice(MapPhysicalToLogical, DeviceArray{nowhere, 16, Int32}, 0),
	}
}

func TestACPUContextRefusesDeviceCalls(t *testing.T) {
	context := newContext(t)
	names := map[string]string{
		"UploadWeightsDevice": "eplb_upload_weights_device", "SolveDevice": "eplb_solve_device",
		"UploadPlacementDevice": "eplb_upload_placement_device",
		"FetchMapDevice":        "eplb_fetch_map_device",
		"PrepareSplitDevice":    "eplb_split_prepare_device",
		"SplitDevice":           "eplb_split_device",
	}
	for range 2 {
		for name, err := range everyDeviceCall(context) {
			refused(t, err, ErrInvalidArgument, names[name]+" needs a CUDA context, this is a CPU context")
		}
		if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// The plan is as it was.
	if p, err := context.Plan(); err != nil || len(p.PhysicalToLogical) != 16 {
		t.Error(p, err)
	}
	if err := context.Synchronize(); err != nil {
		t.Error(err)
	}
}

func TestReserveOnACPU(t *testing.T) {
	context := newContext(t)
	_, err := context.MapShape(MapReplicaCount)
	refused(t, err, ErrInvalidState, "eplb_solve")
	if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	shape := WeightShape{Windows: 2, Layers: 3, Experts: 32}
	if err := context.Reserve(Int64, shape, Problem{NumSlots: 40, NumGPUs: 8}, SolveOptions{MaxReplicas: 5}); err != nil {
		t.Fatal(err)
	}
	checkShapes(t, context, 3, 32, 40, 8, 5)
	// What was there is not any more.
	_, err = context.Plan()
	refused(t, err, ErrInvalidState, "eplb_solve")
	_, err = context.Evaluate(pairsProblem, naive)
	refused(t, err, ErrInvalidState, "eplb_upload_weights")
	// It is a hint, no limit.
	if _, err := context.Solve(NewWeights(sample(9, 64, 1), 9, 64), Problem{NumSlots: 96, NumGPUs: 8}, SolveOptions{}); err != nil {
		t.Error(err)
	}
	checkShapes(t, context, 9, 64, 96, 8, 33)
}

func checkShapes(t *testing.T, context *Context, layers, experts, slots, gpus, width int) {
	t.Helper()
	for which, want := range map[Map][]int{
		MapPhysicalToLogical: {layers, slots}, MapLogicalToPhysical: {layers, experts, width},
		MapReplicaCount: {layers, experts}, MapReplicaSlots: {layers, slots}, MapDuplicates: {layers},
		MapGPULoad: {layers, gpus}, MapImbalance: {layers}, MapBound: {layers},
	} {
		got, err := context.MapShape(which)
		if err != nil {
			t.Error(err)
		}
		equal(t, "shape", want, got)
	}
}

func TestBadReserve(t *testing.T) {
	context := newContext(t)
	if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	for text, err := range map[string]error{
		"dtype is 9":            context.Reserve(9, pairsShape, pairsProblem, SolveOptions{}),
		"num_windows is -1":     context.Reserve(Float32, WeightShape{-1, 1, 8}, pairsProblem, SolveOptions{}),
		"num_layers is 0":       context.Reserve(Float32, WeightShape{Experts: 8}, pairsProblem, SolveOptions{}),
		"num_slots is 17":       context.Reserve(Float32, pairsShape, Problem{NumSlots: 17, NumGPUs: 8}, SolveOptions{}),
		"policy is '?', must":   context.Reserve(Float32, pairsShape, Problem{NumSlots: 16, NumGPUs: 8, Policy: "?"}, SolveOptions{}),
		"strategy is '?', must": context.SolveDevice(pairsProblem, SolveOptions{Strategy: "?"}, 0),
		"map is nil":            context.FetchMapDevice(nil, DeviceArray{}, 0),
	} {
		refused(t, err, ErrInvalidArgument, text)
	}
	_, err := context.MapShape(nil)
	refused(t, err, ErrInvalidArgument, "map is nil")
	_, err = context.MapShape(FloatMap(99))
	refused(t, err, ErrUnavailable, "map is 99")
	if _, err := context.Evaluate(pairsProblem, naive); err != nil {
		t.Error("what was refused has changed the context:", err)
	}
}
