package eplb

import (
	"math"
	"reflect"
	"slices"
	"testing"
)

// Expert 1 is on both GPUs, and each of two ranks has its slot there: 75 tokens on GPU 0, where a split has 65.
func TestStaticDispatch(t *testing.T) {
	context, problem := newContext(t), Problem{NumSlots: 4, NumGPUs: 2}
	weights := NewWeights([]int32{30, 90, 10}, 1, 3)
	if err := context.Upload(weights); err != nil {
		t.Fatal(err)
	}
	if err := context.PrepareSplit(problem, []int32{0, 1, 1, 2}); err != nil {
		t.Fatal(err)
	}
	dispatch, err := context.StaticDispatch(weights, StaticDispatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "bound", 65, dispatch.Bound[0])
	near(t, "imbalance", 75.0/65, dispatch.Imbalance[0])
	dispatch.Bound, dispatch.Imbalance = nil, nil
	want := &StaticDispatch{
		Slot: []int32{0, 1, 3, 0, 2, 3}, Placement: []int32{0, 1, 1, 2}, Ranks: []int32{2, 1, 1, 2}, Load: []float64{75, 55},
	}
	if !reflect.DeepEqual(dispatch, want) {
		t.Errorf("%+v", dispatch)
	}
	// 18 ranks divide the 90 tokens as the split does: by 35 and 55.
	if err := context.StaticDispatchUploaded(StaticDispatchOptions{NumRanks: 18}); err != nil {
		t.Fatal(err)
	}
	ranks, err := context.FetchInts(MapDispatchRanks, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ranks", []int32{18, 7, 11, 18}, ranks)
	shape, err := context.MapShape(MapDispatchSlot)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "shape", []int{1, 18, 3}, shape)
}

// dispatched is what a static dispatch is of, and how many ranks it should have.
type dispatched struct {
	tokens              []int64
	placement           []int32 // that was given
	layers, gpus, ranks int
	swaps               int
}

// check compares a static dispatch with its definition, from its table and its placement alone.
func (in dispatched) check(t *testing.T, d *StaticDispatch) {
	t.Helper()
	experts, slots := len(in.tokens)/in.layers, len(in.placement)/in.layers
	equal(t, "lengths", []int{in.layers * in.ranks * experts, in.layers * slots}, []int{len(d.Slot), len(d.Placement)})
	for layer := range in.layers {
		table := d.Slot[layer*in.ranks*experts:][:in.ranks*experts]
		placement := d.Placement[layer*slots:][:slots]
		in.checkPlacement(t, in.placement[layer*slots:][:slots], placement)
		uses := in.checkTable(t, table, placement)
		equal(t, "ranks", uses, d.Ranks[layer*slots:][:slots])
		tokens, load := in.tokens[layer*experts:][:experts], make([]float64, in.gpus)
		for slot, used := range uses {
			load[slot/(slots/in.gpus)] += float64(tokens[placement[slot]]) * float64(used) / float64(in.ranks)
		}
		for gpu := range load {
			near(t, "load", load[gpu], d.Load[layer*in.gpus+gpu])
		}
		mean := sum(load) / float64(in.gpus)
		near(t, "imbalance", slices.Max(load)/mean, d.Imbalance[layer])
		if bound := d.Bound[layer]; bound > slices.Max(load)*(1+1e-9) || bound < mean*(1-1e-9) {
			t.Errorf("layer %d: bound %v, mean load %v, largest %v", layer, bound, mean, slices.Max(load))
		}
	}
}

// checkPlacement: swaps exchange experts, and put none onto a GPU twice.
func (in dispatched) checkPlacement(t *testing.T, before, after []int32) {
	t.Helper()
	if in.swaps == 0 {
		equal(t, "placement", before, after)
		return
	}
	equal(t, "experts", slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(after)))
	differ := 0
	for slot := range before {
		if before[slot] != after[slot] {
			differ++
		}
	}
	if in.swaps > 0 && differ > 2*in.swaps {
		t.Errorf("%d slots differ after %d swaps", differ, in.swaps)
	}
	for gpu := range slices.Chunk(after, len(after)/in.gpus) {
		if alone := slices.Compact(slices.Sorted(slices.Values(gpu))); len(alone) < len(gpu) {
			t.Errorf("a GPU has %v", gpu)
		}
	}
}

// checkTable: each rank uses a slot of the expert, of its own GPU if it has one that others of this GPU leave it. It returns how
// many ranks use each slot.
func (in dispatched) checkTable(t *testing.T, table, placement []int32) []int32 {
	t.Helper()
	experts, each := len(table)/in.ranks, len(placement)/in.gpus
	uses, local := make([]int32, len(placement)), make([]int32, len(placement))
	gpuOf := func(rank int) int { return rank * in.gpus / in.ranks }
	for at, slot := range table {
		if slot < 0 || int(slot) >= len(placement) || placement[slot] != int32(at%experts) {
			t.Fatalf("rank %d uses slot %d of expert %d", at/experts, slot, at%experts)
		}
		uses[slot]++
		if int(slot)/each == gpuOf(at/experts) {
			local[slot]++
		}
	}
	for at, slot := range table {
		own := gpuOf(at / experts)
		for other := own * each; other < (own+1)*each && int(slot)/each != own; other++ {
			if placement[other] == int32(at%experts) && local[other] < uses[other] {
				t.Fatalf("rank %d uses slot %d of expert %d, ranks of other GPUs use slot %d", at/experts, slot, at%experts, other)
			}
		}
	}
	return uses
}

// Prepared once, it serves splits and dispatches of many loads, for any number of ranks.
func TestStaticDispatchesOfManyLoads(t *testing.T) {
	const layers, experts, slots, gpus = 3, 64, 80, 16
	context, problem := newContext(t), Problem{NumSlots: slots, NumGPUs: gpus}
	plan, err := context.Solve(NewWeights(sample(layers, experts, 2), layers, experts), problem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := context.PrepareSplit(problem, nil); err != nil {
		t.Fatal(err)
	}
	for round, ranks := range []int{0, 16, 5, 64, 37, 4096} {
		for _, swaps := range []int{0, 3, -1} {
			in := dispatched{as[int64](sample(layers, experts, uint64(round))), plan.PhysicalToLogical, layers, gpus, ranks, swaps}
			weights := NewWeights(in.tokens, layers, experts)
			dispatch, err := context.StaticDispatch(weights, StaticDispatchOptions{NumRanks: ranks, MaxSwaps: swaps})
			if err != nil {
				t.Fatal(err)
			}
			if ranks == 0 {
				in.ranks = gpus
			}
			in.check(t, dispatch)
			if err := context.SplitUploaded(SplitOptions{}); err != nil {
				t.Fatal(err)
			}
			bound, err := context.FetchFloats(MapSplitBound, nil)
			if err != nil {
				t.Fatal(err)
			}
			if swaps == 0 {
				equal(t, "bound", bound, dispatch.Bound)
			}
			again, err := context.FetchInts(MapDispatchSlot, nil)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "table", dispatch.Slot, again) // splits leave it alone
		}
	}
}

// A tolerance of all that a GPU may have above the bound keeps the table as the split gives it.
func TestToleranceAndSwaps(t *testing.T) {
	const experts = 64
	context, problem := newContext(t), Problem{NumSlots: 80, NumGPUs: 16}
	weights := NewWeights(sample(1, experts, 5), 1, experts)
	if err := context.Upload(weights); err != nil {
		t.Fatal(err)
	}
	placement := make([]int32, 80)
	for slot := range placement {
		placement[slot] = int32(slot % experts)
	}
	largest := func(options StaticDispatchOptions) float64 {
		t.Helper()
		if err := context.StaticDispatchOver(problem, placement, options); err != nil {
			t.Fatal(err)
		}
		imbalance, err := context.FetchFloats(MapDispatchImbalance, nil)
		if err != nil {
			t.Fatal(err)
		}
		return imbalance[0]
	}
	rough, fine := largest(StaticDispatchOptions{Tolerance: 1}), largest(StaticDispatchOptions{})
	few, many := largest(StaticDispatchOptions{MaxSwaps: 2}), largest(StaticDispatchOptions{MaxSwaps: -1})
	if !(rough >= fine && fine > few && few > many && many < 1.05) {
		t.Error(rough, fine, few, many)
	}
	if huge := largest(StaticDispatchOptions{MaxSwaps: math.MaxInt}); huge != many {
		t.Error(huge, many)
	}
}

// What is fetched of splits and dispatches as far as there are any: nil for what there is not.
func answers(t *testing.T, context *Context) (shares, slots []int32) {
	t.Helper()
	for which, into := range map[IntMap]*[]int32{MapShare: &shares, MapDispatchSlot: &slots} {
		found, err := context.FetchInts(which, nil)
		if err != nil {
			refused(t, err, ErrInvalidState, "call eplb_")
		}
		*into = found
	}
	return shares, slots
}

func TestWhatDiscardsAStaticDispatch(t *testing.T) {
	context := newContext(t)
	if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	before, err := context.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	both := func() {
		t.Helper()
		if err := context.StaticDispatchOver(pairsProblem, naive, StaticDispatchOptions{}); err != nil {
			t.Fatal(err)
		}
		if shares, slots := answers(t, context); shares != nil || len(slots) != 8*8 {
			t.Fatal(shares, slots)
		}
		if err := context.SplitUploaded(SplitOptions{}); err != nil { // over what that has prepared
			t.Fatal(err)
		}
		if shares, slots := answers(t, context); len(shares) != 16 || len(slots) != 8*8 {
			t.Fatal(shares, slots)
		}
	}
	both()
	// What is refused, and a dispatch over what was prepared, leave the split.
	refused(t, context.StaticDispatchOver(pairsProblem, make([]int32, 16), StaticDispatchOptions{}), ErrInvalidPlacement, "expert 1")
	refused(t, context.StaticDispatchOver(pairsProblem, naive, StaticDispatchOptions{MaxSwaps: -2}), ErrInvalidArgument, "max_swaps is -2")
	if shares, slots := answers(t, context); shares == nil || slots == nil {
		t.Error(shares, slots)
	}
	if err := context.StaticDispatchUploaded(StaticDispatchOptions{NumRanks: 3}); err != nil {
		t.Fatal(err)
	}
	if shares, slots := answers(t, context); len(shares) != 16 || len(slots) != 3*8 {
		t.Error(shares, slots)
	}
	for name, discard := range map[string]func() error{
		"PrepareSplit":       func() error { return context.PrepareSplit(pairsProblem, nil) },
		"Upload":             func() error { return context.Upload(pairsWeights()) },
		"UploadCluster":      func() error { return context.UploadCluster(Cluster{Slots: []int{2, 2, 2, 2, 2, 2, 2, 2}}) },
		"StaticDispatchOver": func() error { return context.StaticDispatchOver(pairsProblem, naive, StaticDispatchOptions{}) },
	} {
		if name == "PrepareSplit" {
			if err := context.SolveUploaded(pairsProblem, SolveOptions{}); err != nil {
				t.Fatal(err)
			}
			if after, err := context.Fingerprint(); err != nil || before != after {
				t.Error(before, after, err)
			}
		}
		both()
		if err := discard(); err != nil {
			t.Fatal(name, err)
		}
		if shares, slots := answers(t, context); shares != nil || (slots == nil) == (name == "StaticDispatchOver") {
			t.Error(name, shares, slots)
		}
	}
}

// The plan is what the dispatch is over, and stays; so does its report.
func TestStaticDispatchesOverThePlan(t *testing.T) {
	context := newContext(t)
	plan, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := context.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	if err := context.StaticDispatchOver(pairsProblem, nil, StaticDispatchOptions{MaxSwaps: -1}); err != nil {
		t.Fatal(err)
	}
	dispatch, err := context.fetchDispatch()
	if err != nil {
		t.Fatal(err)
	}
	dispatched{as[int64](pairs), plan.PhysicalToLogical, 1, 8, 8, -1}.check(t, dispatch)
	if after, err := context.Fingerprint(); err != nil || before != after {
		t.Error(before, after, err)
	}
	if _, err := context.Report(); err != nil {
		t.Error(err)
	}
}

func TestStaticDispatchesAreRefused(t *testing.T) {
	context := newContext(t)
	bare := StaticDispatchOptions{}
	refused(t, context.StaticDispatchUploaded(bare), ErrInvalidState, "eplb_upload_weights")
	if err := context.Upload(pairsWeights()); err != nil {
		t.Fatal(err)
	}
	refused(t, context.StaticDispatchUploaded(bare), ErrInvalidState, "eplb_split_prepare")
	_, err := context.StaticDispatch(pairsWeights(), bare)
	refused(t, err, ErrInvalidState, "eplb_split_prepare")
	refused(t, context.StaticDispatchOver(pairsProblem, nil, bare), ErrInvalidState, "eplb_solve")
	refused(t, context.StaticDispatchOver(pairsProblem, []int32{}, bare), ErrInvalidArgument, "placement is empty")
	refused(t, context.StaticDispatchOver(pairsProblem, naive[:15], bare), ErrInvalidArgument, "placement_length is 15")
	refused(t, context.StaticDispatchOver(Problem{NumSlots: 17, NumGPUs: 8}, naive, bare), ErrInvalidArgument, "num_slots is 17")
	if err := context.PrepareSplit(pairsProblem, naive); err != nil {
		t.Fatal(err)
	}
	for text, options := range map[string]StaticDispatchOptions{
		"num_ranks is 4097": {NumRanks: 4097}, "num_ranks is -1": {NumRanks: -1}, "max_swaps is -2": {MaxSwaps: -2},
	} {
		refused(t, context.StaticDispatchUploaded(options), ErrInvalidArgument, text)
	}
	for _, tolerance := range []float64{-0.1, 1.1, math.NaN()} {
		refused(t, context.StaticDispatchUploaded(StaticDispatchOptions{Tolerance: tolerance}), ErrInvalidArgument, "tolerance")
	}
	for _, which := range []Map{
		MapDispatchSlot, MapDispatchPlacement, MapDispatchRanks, MapDispatchLoad, MapDispatchImbalance, MapDispatchBound,
	} {
		_, err := context.MapShape(which)
		refused(t, err, ErrInvalidState, "eplb_static_dispatch")
	}
	_, err = context.FetchFloats(MapDispatchLoad, nil)
	refused(t, err, ErrInvalidState, "eplb_static_dispatch")
	if err := context.StaticDispatchUploaded(StaticDispatchOptions{NumRanks: 4096, Tolerance: 1}); err != nil {
		t.Error(err)
	}
	_, err = context.StaticDispatch(NewWeights([]int32{1, 2, 3, 4}, 1, 4), bare)
	refused(t, err, ErrInvalidState, "of 8: call it again")
}
