package eplb

import (
	"slices"
	"testing"
)

// ints fetches a map that must be there.
func ints(t *testing.T, context *Context, which IntMap) []int32 {
	t.Helper()
	values, err := context.FetchInts(which, nil)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestMovesFromTheCurrentPlacement(t *testing.T) {
	context := newContext(t)
	before, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = context.FetchInts(MapMoveCount, nil)
	refused(t, err, ErrInvalidState, "eplb_upload_placement")
	// The first GPU is dead, and two experts with one replica each have changed places.
	current := slices.Clone(before.PhysicalToLogical)
	current[0], current[1] = -1, -1
	five, six := slices.Index(current, 5), slices.Index(current, 6)
	current[five], current[six] = 6, 5
	if err := context.UploadPlacement(current, 1, 16); err != nil {
		t.Fatal(err)
	}
	_, err = context.FetchInts(MapPhysicalToLogical, nil)
	refused(t, err, ErrInvalidState, "eplb_solve")
	for _, order := range []TransferOrder{TransferBuffered, TransferInPlace, TransferExclusive} {
		plan, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{TransferOrder: order})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "placement", before.PhysicalToLogical, plan.PhysicalToLogical)
		checkMoves(t, context, plan, current, order)
	}
}

func checkMoves(t *testing.T, context *Context, plan *Plan, current []int32, order TransferOrder) {
	t.Helper()
	source, round := ints(t, context, MapMoveSource), ints(t, context, MapMoveRound)
	for slot, expert := range plan.PhysicalToLogical {
		from := source[slot]
		if changes := current[slot] != expert; changes != (from != int32(slot)) || changes != (round[slot] >= 0) {
			t.Errorf("%s: slot %d: source %d, round %d", order, slot, from, round[slot])
		}
		if from >= 0 && current[from] != expert {
			t.Errorf("%s: slot %d gets the contents of slot %d, another expert", order, slot, from)
		}
	}
	if grouped := slices.Max(ints(t, context, MapMoveGroup)) >= 0; grouped != (order == TransferInPlace) {
		t.Errorf("%s: groups %v", order, grouped)
	}
	count := ints(t, context, MapMoveCount)
	// Later, too: another context could not tell.
	if err := context.Upload(pairsWeights()); err != nil {
		t.Fatal(err)
	}
	report := reportOf(plan)
	if len(count) != 1 || report.Moves != int(count[0]) || report.LayersChanged != 1 || report.MovesBetweenNodes != 0 {
		t.Errorf("%s: %v, %+v", order, count, report)
	}
	if report.Rounds < max(report.MostSent, report.MostReceived) || report.MostSent < 1 {
		t.Errorf("%s: %+v", order, report)
	}
}

func TestAPlacementIsForgotten(t *testing.T) {
	context := newContext(t)
	if err := context.UploadPlacement(make([]int32, 16), 1, 16); err != nil {
		t.Fatal(err)
	}
	if err := context.ForgetPlacement(); err != nil {
		t.Fatal(err)
	}
	plan, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = context.FetchInts(MapMoveSource, nil)
	refused(t, err, ErrInvalidState, "eplb_upload_placement")
	if report := reportOf(plan); report.Moves != 0 || report.Rounds != 0 {
		t.Errorf("%+v", report)
	}
}

func TestCurrentPlacementsThatDoNotFit(t *testing.T) {
	context := newContext(t)
	refused(t, context.UploadPlacement(nil, 1, 16), ErrInvalidArgument, "ForgetPlacement")
	refused(t, context.UploadPlacement([]int32{0, -2}, 1, 2), ErrInvalidPlacement, "slot 1")
	refused(t, context.UploadPlacement(make([]int32, 15), 1, 16), ErrInvalidArgument, "15")
	solve := func(current []int32) error {
		if err := context.UploadPlacement(current, 1, len(current)); err != nil {
			t.Fatal(err)
		}
		_, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{})
		return err
	}
	refused(t, solve(slices.Repeat([]int32{8}, 16)), ErrInvalidPlacement, "expert 8")
	refused(t, solve(make([]int32, 8)), ErrInvalidArgument, "1 layers of 8 slots")
	_, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{TransferOrder: "sideways"})
	refused(t, err, ErrInvalidArgument, "transfer_order is 'sideways'")
	context.Close()
	refused(t, context.ForgetPlacement(), ErrInvalidState, "closed")
}

func TestClusters(t *testing.T) {
	context := newContext(t)
	for text, cluster := range map[string]Cluster{
		"no Slots, Speeds or Nodes":             {},
		"Nodes has 3 values, must have one for": {Slots: []int{2, 2, 2, 2, 2, 2, 2, 2}, Nodes: []int{0, 0, 0}},
		"speeds[GPU 1] is 0, must be positive":  {Speeds: []float64{1, 0}},
		"slots[GPU 0] is -1, must be from 0 to": {Slots: []int{-1, 2}},
		"nodes[GPU 1] is -7, must be from 0 to": {Nodes: []int{0, -7}},
	} {
		refused(t, context.UploadCluster(cluster), ErrInvalidArgument, text)
	}
	// Equal values for all change nothing but the number of GPUs that a problem must have.
	before := solved(t, context)
	if err := context.UploadCluster(Cluster{Slots: []int{2, 2, 2, 2, 2, 2, 2, 2}}); err != nil {
		t.Fatal(err)
	}
	_, err := context.FetchInts(MapPhysicalToLogical, nil)
	refused(t, err, ErrInvalidState, "eplb_solve")
	equal(t, "placement", before.PhysicalToLogical, solved(t, context).PhysicalToLogical)
	_, err = context.Solve(pairsWeights(), Problem{NumSlots: 16, NumGPUs: 4}, SolveOptions{})
	refused(t, err, ErrInvalidArgument, "num_gpus is 4")
	if err := context.ForgetCluster(); err != nil {
		t.Fatal(err)
	}
	if _, err := context.Solve(pairsWeights(), Problem{NumSlots: 16, NumGPUs: 4}, SolveOptions{}); err != nil {
		t.Error(err)
	}
}

func solved(t *testing.T, context *Context) *Plan {
	t.Helper()
	plan, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
