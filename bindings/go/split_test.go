package eplb

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// Two experts, one of which is on both GPUs: 100 on GPU 0, of 130.
func TestSplit(t *testing.T) {
	context, problem := newContext(t), Problem{NumSlots: 4, NumGPUs: 2}
	weights := NewWeights([]int32{30, 90, 10}, 1, 3)
	if err := context.Upload(weights); err != nil {
		t.Fatal(err)
	}
	if err := context.PrepareSplit(problem, []int32{0, 1, 1, 2}); err != nil {
		t.Fatal(err)
	}
	split, err := context.Split(weights, SplitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "bound", 65, split.Bound[0])
	split.Bound[0] = 65
	want := &Split{
		Share: []int32{65536, 25486, 40050, 65536}, Quota: []float64{30, 35, 55, 10}, Load: []float64{65, 65},
		Imbalance: []float64{1}, Bound: []float64{65}, Tight: []int32{1, 1},
	}
	if !reflect.DeepEqual(split, want) {
		t.Errorf("%+v", split)
	}
}

// checkSplit compares a split with its definition: sums, loads, the certificate, and that no GPU has a token or more above.
func checkSplit(t *testing.T, s *Split, tokens []int64, placement []int32, gpus int, tolerance float64) {
	t.Helper()
	layers, perGPU := len(s.Bound), len(placement)/len(s.Bound)/gpus
	experts := len(tokens) / layers
	for layer := range layers {
		sums, shares, on := make([]float64, experts), make([]int32, experts), make([]map[int]bool, experts)
		for slot := layer * gpus * perGPU; slot < (layer+1)*gpus*perGPU; slot++ {
			expert := placement[slot]
			if expert < 0 {
				continue
			}
			if on[expert] == nil {
				on[expert] = map[int]bool{}
			}
			on[expert][slot/perGPU] = true
			sums[expert] += s.Quota[slot]
			shares[expert] += s.Share[slot]
		}
		inside, tight := 0.0, 0.0
		for expert := range experts {
			if weight := float64(tokens[layer*experts+expert]); sums[expert] != weight || shares[expert] != 65536 {
				t.Fatalf("layer %d, expert %d: %v of %v tokens, %v of 65536", layer, expert, sums[expert], weight, shares[expert])
			}
			all := true
			for gpu := range on[expert] {
				all = all && s.Tight[gpu] == 1
			}
			if all {
				inside += sums[expert]
			}
		}
		for gpu := layer * gpus; gpu < (layer+1)*gpus; gpu++ {
			load := 0.0
			for _, quota := range s.Quota[gpu*perGPU : (gpu+1)*perGPU] {
				load += quota
			}
			tight += float64(s.Tight[gpu])
			if load != s.Load[gpu] || load >= s.Bound[layer]*(1+tolerance)+1 {
				t.Errorf("GPU %d: load %v, its quotas %v, bound %v", gpu, s.Load[gpu], load, s.Bound[layer])
			}
		}
		near(t, "certificate", inside/tight, s.Bound[layer])
		near(t, "imbalance", slices.Max(s.Load[layer*gpus:(layer+1)*gpus])*float64(gpus)/sum(sums), s.Imbalance[layer])
	}
}

func sum(values []float64) (total float64) {
	for _, value := range values {
		total += value
	}
	return total
}

// Prepared once, over the plan for other loads, it serves many.
func TestSplitsOfManyLoads(t *testing.T) {
	const layers, experts, slots, gpus = 3, 64, 80, 16
	random := rand.New(rand.NewPCG(1, 2))
	context, problem := newContext(t), Problem{NumSlots: slots, NumGPUs: gpus}
	plan, err := context.Solve(NewWeights(sample(layers, experts, 2), layers, experts), problem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := context.PrepareSplit(problem, nil); err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		tokens := make([]int64, layers*experts)
		for i := range tokens {
			tokens[i] = int64(math.Exp(random.NormFloat64()) * 1000)
		}
		options := SplitOptions{Tolerance: 0.01 * float64(round%2)}
		split, err := context.Split(NewWeights(tokens, layers, experts), options)
		if err != nil {
			t.Fatal(err)
		}
		checkSplit(t, split, tokens, plan.PhysicalToLogical, gpus, options.Tolerance)
		again, err := context.FetchInts(MapShare, nil)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "shares", split.Share, again)
	}
}

func TestSplitsLeaveThePlan(t *testing.T) {
	context := newContext(t)
	if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	before, err := context.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	if err := context.PrepareSplit(pairsProblem, naive); err != nil {
		t.Fatal(err)
	}
	if err := context.SplitUploaded(SplitOptions{}); err != nil {
		t.Fatal(err)
	}
	if after, err := context.Fingerprint(); err != nil || before != after {
		t.Error(before, after, err)
	}
	dims, err := context.MapShape(MapSplitLoad)
	if err != nil || !slices.Equal(dims, []int{1, 8}) {
		t.Error(dims, err)
	}
	if _, err := context.Report(); err != nil {
		t.Error(err)
	}
}

func TestSplitsAreRefused(t *testing.T) {
	context := newContext(t)
	refused(t, context.SplitUploaded(SplitOptions{}), ErrInvalidState, "eplb_upload_weights")
	if err := context.Upload(pairsWeights()); err != nil {
		t.Fatal(err)
	}
	refused(t, context.SplitUploaded(SplitOptions{}), ErrInvalidState, "eplb_split_prepare")
	refused(t, context.PrepareSplit(pairsProblem, nil), ErrInvalidState, "eplb_solve")
	refused(t, context.PrepareSplit(pairsProblem, []int32{}), ErrInvalidArgument, "placement is empty")
	refused(t, context.PrepareSplit(pairsProblem, naive[:15]), ErrInvalidArgument, "placement_length is 15")
	refused(t, context.PrepareSplit(pairsProblem, make([]int32, 16)), ErrInvalidPlacement, "expert 1")
	if err := context.PrepareSplit(pairsProblem, naive); err != nil {
		t.Fatal(err)
	}
	for _, tolerance := range []float64{-0.1, 1.1, math.NaN()} {
		refused(t, context.SplitUploaded(SplitOptions{Tolerance: tolerance}), ErrInvalidArgument, "tolerance")
	}
	_, err := context.FetchInts(MapShare, nil)
	refused(t, err, ErrInvalidState, "eplb_split")
	if err := context.SplitUploaded(SplitOptions{Tolerance: 1}); err != nil {
		t.Error(err)
	}
	_, err = context.Split(NewWeights([]int32{1, 2, 3, 4}, 1, 4), SplitOptions{})
	refused(t, err, ErrInvalidState, "of 8: call it again")
}
