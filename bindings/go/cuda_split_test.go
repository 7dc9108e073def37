package eplb

import (
	"reflect"
	"slices"
	"testing"
)

// Splits on a device over the emulation of CUDA: what they answer is what the CPU answers.

// splitOnCPU over the placement given.
func splitOnCPU[T Number](t testing.TB, values []T, placement []int32, options SplitOptions) *Split {
	t.Helper()
	context, weights := newContext(t), NewWeights(values, 3, 64)
	if err := context.Upload(weights); err != nil {
		t.Fatal(err)
	}
	if err := context.PrepareSplit(nodes, placement); err != nil {
		t.Fatal(err)
	}
	split, err := context.Split(weights, options)
	if err != nil {
		t.Fatal(err)
	}
	return split
}

func sameSplit(t *testing.T, want, got *Split) {
	t.Helper()
	equal(t, "shares", want.Share, got.Share)
	equal(t, "quotas", want.Quota, got.Quota)
	equal(t, "tight", want.Tight, got.Tight)
	for name, pair := range map[string][2][]float64{
		"load": {want.Load, got.Load}, "imbalance": {want.Imbalance, got.Imbalance}, "bound": {want.Bound, got.Bound},
	} {
		if len(pair[0]) != len(pair[1]) {
			t.Fatalf("%d of %s, not %d", len(pair[1]), name, len(pair[0]))
		}
		for i := range pair[0] {
			near(t, name, pair[0][i], pair[1][i])
		}
	}
}

// splitRooms are device memory for each map of a split.
type splitRooms struct{ share, quota, load, imbalance, bound, tight DeviceArray }

func roomsForSplit(e *emulation, context *Context) splitRooms {
	e.Helper()
	return splitRooms{
		roomFor[int32](e, context, MapShare), roomFor[float64](e, context, MapQuota), roomFor[float64](e, context, MapSplitLoad),
		roomFor[float64](e, context, MapSplitImbalance), roomFor[float64](e, context, MapSplitBound),
		roomFor[int32](e, context, MapSplitTight),
	}
}

func (r splitRooms) fetch(e *emulation, context *Context) {
	e.Helper()
	for which, room := range map[Map]DeviceArray{
		MapShare: r.share, MapQuota: r.quota, MapSplitLoad: r.load, MapSplitImbalance: r.imbalance, MapSplitBound: r.bound,
		MapSplitTight: r.tight,
	} {
		e.ok(context.FetchMapDevice(which, room, e.stream))
	}
}

func (r splitRooms) read(e *emulation) *Split {
	e.Helper()
	return &Split{
		Share: read[int32](e, r.share), Quota: read[float64](e, r.quota), Load: read[float64](e, r.load),
		Imbalance: read[float64](e, r.imbalance), Bound: read[float64](e, r.bound), Tight: read[int32](e, r.tight),
	}
}

// readyForSplits is a context that has memory for device calls, and for splits, over the placement of a plan.
func readyForSplits[T Number](e *emulation, values []T) (*Context, *Plan) {
	e.Helper()
	context := e.context("cuda")
	e.ok(context.Reserve(dtypeOf[T](), nodesShape, nodes, SolveOptions{}))
	plan, err := context.Solve(NewWeights(values, 3, 64), nodes, SolveOptions{})
	e.ok(err)
	e.ok(context.PrepareSplit(nodes, nil))
	return context, plan
}

// Every type of weights, over a placement and over the plan; nothing waits, and the host sees what is there.
func TestSplitsOnADevice(t *testing.T) {
	e := emulated(t, 0)
	values := sample(3, 64, 11)
	for name, split := range map[string]func(e *emulation){
		"float32": func(e *emulation) { splitsOnADevice(e, values) },
		"float64": func(e *emulation) { splitsOnADevice(e, as[float64](values)) },
		"int32":   func(e *emulation) { splitsOnADevice(e, as[int32](values)) },
		"int64":   func(e *emulation) { splitsOnADevice(e, as[int64](values)) },
	} {
		t.Run(name, func(t *testing.T) { split(&emulation{t, e.Library, e.cuda, e.stream}) })
	}
}

func splitsOnADevice[T Number](e *emulation, values []T) {
	e.Helper()
	context, plan := readyForSplits(e, as[T](sample(3, 64, 12)))
	options := SplitOptions{Tolerance: 0.01}
	other := slices.Clone(plan.PhysicalToLogical) // GPUs in reverse order
	for row := range slices.Chunk(other, 80) {
		slices.Reverse(row)
	}
	weights, placement, rooms := put(e, values), put(e, as[int64](other)), roomsForSplit(e, context)

	before := e.waits()
	e.ok(context.UploadWeightsDevice(weights, nodesShape, e.stream))
	e.ok(context.PrepareSplitDevice(nodes, placement, e.stream))
	e.ok(context.SplitDevice(options, e.stream))
	rooms.fetch(e, context)
	if e.waits() != before || e.cuda.Count("pending") == 0 {
		e.Error("a device call has waited, or got memory")
	}
	e.ok(context.Synchronize())
	want := splitOnCPU(e, values, other, options)
	sameSplit(e.T, want, rooms.read(e))
	// Host calls see what device calls have left, and split on over it.
	got, err := context.fetchSplit()
	e.ok(err)
	sameSplit(e.T, want, got)
	e.ok(context.SplitUploaded(SplitOptions{}))
	got, err = context.fetchSplit()
	e.ok(err)
	sameSplit(e.T, splitOnCPU(e, values, other, SplitOptions{}), got)

	// The plan that is there, solved on the device.
	e.ok(context.SolveDevice(nodes, SolveOptions{}, e.stream))
	e.ok(context.PrepareSplitDevice(nodes, DeviceArray{}, e.stream))
	e.ok(context.SplitDevice(options, e.stream))
	rooms.fetch(e, context)
	e.ok(context.Synchronize())
	solved := onCPU(e, NewWeights(values, 3, 64), nodes, SolveOptions{}).PhysicalToLogical
	sameSplit(e.T, splitOnCPU(e, values, solved, options), rooms.read(e))
}

func TestSplitsOnADeviceNeedMemory(t *testing.T) {
	e := emulated(t, 0)
	context, options := e.context("cuda"), SplitOptions{}
	weights, placement := put(e, pairs), put(e, naive)
	state := func(err error, text string) {
		t.Helper()
		refused(t, err, ErrInvalidState, text)
	}
	state(context.SplitDevice(options, e.stream), "eplb_upload_weights_device")
	e.ok(context.Reserve(Float32, pairsShape, pairsProblem, SolveOptions{}))
	state(context.PrepareSplitDevice(pairsProblem, placement, e.stream), "eplb_upload_weights")
	e.ok(context.UploadWeightsDevice(weights, pairsShape, e.stream))
	state(context.SplitDevice(options, e.stream), "eplb_split_prepare")
	state(context.PrepareSplitDevice(pairsProblem, placement, e.stream), "eplb_split_prepare")
	state(context.PrepareSplitDevice(pairsProblem, DeviceArray{}, e.stream), "eplb_solve")
	e.ok(context.PrepareSplit(pairsProblem, naive))
	state(context.FetchMapDevice(MapShare, put(e, naive), e.stream), "eplb_split_device")
	e.ok(context.PrepareSplitDevice(pairsProblem, placement, e.stream))
	for text, err := range map[string]error{
		"placement_length is 15": context.PrepareSplitDevice(pairsProblem, DeviceArray{placement.Pointer, 15, Int32}, e.stream),
		"dtype is ":              context.PrepareSplitDevice(pairsProblem, DeviceArray{placement.Pointer, 16, Float32}, e.stream),
		"num_slots is 17":        context.PrepareSplitDevice(Problem{NumSlots: 17, NumGPUs: 8}, placement, e.stream),
		"tolerance":              context.SplitDevice(SplitOptions{Tolerance: 2}, e.stream),
	} {
		refused(t, err, ErrInvalidArgument, text)
	}
	e.ok(context.SplitDevice(options, e.stream))
	e.ok(context.Synchronize())
}

// A layer without a placement counts as one without any; it is reported once, and the others are split.
func TestBadPlacementsOnADevice(t *testing.T) {
	e := emulated(t, 0)
	values := sample(3, 64, 13)
	context, plan := readyForSplits(e, values)
	good := splitOnCPU(e, values, plan.PhysicalToLogical, SplitOptions{})
	bad := slices.Clone(plan.PhysicalToLogical)
	bad[80+5] = 64 // layer 1, slot 5
	weights, placement, shares := put(e, values), put(e, bad), roomFor[int32](e, context, MapShare)
	for name, tell := range map[string]func() error{
		"Synchronize": context.Synchronize,
		"Report":      func() error { _, err := context.Report(); return err },
	} {
		e.ok(context.UploadWeightsDevice(weights, nodesShape, e.stream))
		e.ok(context.SolveDevice(nodes, SolveOptions{}, e.stream))
		e.ok(context.PrepareSplitDevice(nodes, placement, e.stream))
		e.ok(context.SplitDevice(SplitOptions{}, e.stream))
		e.ok(context.FetchMapDevice(MapShare, shares, e.stream))
		refused(t, tell(), ErrInvalidPlacement, "layer 1, slot 5")
		e.ok(tell()) // once
		got := read[int32](e, shares)
		equal(t, name, good.Share[:80], got[:80])
		equal(t, name, make([]int32, 80), got[80:160])
		equal(t, name, good.Share[160:], got[160:])
	}
}

// Captured once, replayed with new weights in the same memory, and over another placement in it.
func TestGraphOfSplits(t *testing.T) {
	e := emulated(t, 0)
	values := sample(3, 64, 14)
	context, plan := readyForSplits(e, values)
	experts := slices.Clone(plan.PhysicalToLogical)
	weights, placement, rooms := put(e, values), put(e, experts), roomsForSplit(e, context)
	var graph, executable uintptr
	e.done("cudaStreamBeginCapture", e.cuda.BeginCapture(e.stream, 0))
	e.ok(context.UploadWeightsDevice(weights, nodesShape, e.stream))
	e.ok(context.PrepareSplitDevice(nodes, placement, e.stream))
	e.ok(context.SplitDevice(SplitOptions{}, e.stream))
	rooms.fetch(e, context)
	e.done("cudaStreamEndCapture", e.cuda.EndCapture(e.stream, &graph))
	e.done("cudaGraphInstantiate", e.cuda.Instantiate(&executable, graph, 0))
	for round := range uint64(3) {
		values := sample(3, 64, 100+round)
		write(e, weights, values)
		slices.Reverse(experts[80*round : 80*round+80])
		write(e, placement, experts)
		e.done("cudaGraphLaunch", e.cuda.Launch(executable, e.stream))
		e.ok(context.Synchronize())
		want := splitOnCPU(e, values, experts, SplitOptions{})
		sameSplit(t, want, rooms.read(e))
		got, err := context.fetchSplit()
		e.ok(err)
		sameSplit(t, want, got)
	}
	e.done("cudaGraphExecDestroy", e.cuda.DestroyExec(executable))
	e.done("cudaGraphDestroy", e.cuda.DestroyGraph(graph))
}

// The host works it out, of weights and over a placement that device calls have left; the split on the device stays.
func TestStaticDispatchOnCUDA(t *testing.T) {
	e := emulated(t, 0)
	values, options := sample(3, 64, 15), StaticDispatchOptions{NumRanks: 24, MaxSwaps: 2}
	context, plan := readyForSplits(e, sample(3, 64, 16))
	weights, placement, shares := put(e, values), put(e, plan.PhysicalToLogical), roomFor[int32](e, context, MapShare)
	e.ok(context.UploadWeightsDevice(weights, nodesShape, e.stream))
	e.ok(context.PrepareSplitDevice(nodes, placement, e.stream))
	e.ok(context.SplitDevice(SplitOptions{}, e.stream))
	e.ok(context.StaticDispatchUploaded(options))
	got, err := context.fetchDispatch()
	e.ok(err)
	host := newContext(t)
	e.ok(host.Upload(NewWeights(values, 3, 64)))
	e.ok(host.StaticDispatchOver(nodes, plan.PhysicalToLogical, options))
	want, err := host.fetchDispatch()
	e.ok(err)
	if !reflect.DeepEqual(want, got) {
		t.Errorf("%+v, want %+v", got, want)
	}
	refused(t, context.FetchMapDevice(MapDispatchRanks, shares, e.stream), ErrUnavailable, "EPLB_MAP_DISPATCH_RANKS")
	e.ok(context.FetchMapDevice(MapShare, shares, e.stream))
	e.ok(context.Synchronize())
	equal(t, "shares", splitOnCPU(e, values, plan.PhysicalToLogical, SplitOptions{}).Share, read[int32](e, shares))
}
