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
	checkTransfers(t, context, plan, current, order)
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

// checkTransfers compares the list of a plan with its maps, and with what PlanTransfers says of the two placements.
func checkTransfers(t *testing.T, context *Context, plan *Plan, current []int32, order TransferOrder) {
	t.Helper()
	source, round := ints(t, context, MapMoveSource), ints(t, context, MapMoveRound)
	listed := slices.Collect(plan.Transfers().All())
	for i, each := range listed {
		from, kind := int(source[each.Slot]), WithinNode
		switch {
		case from < 0:
			from, kind = -1, FromStorage
		case from/2 == each.GPU:
			kind = WithinGPU
		}
		if each.SourceSlot != from || each.Kind != kind || each.GPU != each.Slot/2 || each.Round != int(round[each.Slot]) ||
			each.Expert != int(plan.PhysicalToLogical[each.Slot]) || each.Layer != 0 {
			t.Errorf("%s: %+v (%v)", order, each, each.Kind)
		}
		if i > 0 && each.Round < listed[i-1].Round {
			t.Errorf("%s: round %d after %d", order, each.Round, listed[i-1].Round)
		}
	}
	alone, report, err := context.PlanTransfers(pairsProblem, order, current, plan.PhysicalToLogical)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "transfers", listed, slices.Collect(alone.All()))
	if report.Moves != reportOf(plan).Moves || report.Rounds != reportOf(plan).Rounds {
		t.Errorf("%s: %+v", order, report)
	}
	for range alone.All() {
		break // as one may
	}
}

func TestTransfersThatCannotBe(t *testing.T) {
	context := newContext(t)
	plan := func(problem Problem, order TransferOrder, current, placement []int32) error {
		transfers, _, err := context.PlanTransfers(problem, order, current, placement)
		if transfers != nil {
			t.Error("an answer with an error")
		}
		return err
	}
	two := Problem{NumSlots: 2, NumGPUs: 1}
	good := []int32{0, 1}
	refused(t, plan(two, "", []int32{0, -2}, good), ErrInvalidPlacement, "current[layer 0, slot 1] is -2, must be an expert from 0 to 262143")
	refused(t, plan(two, "", good, []int32{1 << 18, 1}), ErrInvalidPlacement, "placement[layer 0, slot 0] is 262144")
	refused(t, plan(two, "", good, []int32{0}), ErrInvalidArgument, "current has 2 elements and placement 1")
	refused(t, plan(two, "", []int32{0}, []int32{0}), ErrInvalidArgument, "placement_length is 1, must be a multiple of num_slots = 2 (2)")
	refused(t, plan(two, "", nil, nil), ErrInvalidArgument, "placement_length is 0, must be at least 1")
	refused(t, plan(two, "sideways", good, good), ErrInvalidArgument, "transfer_order is 'sideways'")
	refused(t, plan(Problem{NumSlots: 2, NumGPUs: 3}, "", good, good), ErrInvalidArgument, "num_slots is 2, must be a multiple of num_gpus = 3")
	context.Close()
	refused(t, plan(two, "", good, good), ErrInvalidState, "closed")
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
	if plan.Transfers() != nil {
		t.Error("transfers from nowhere")
	}
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
