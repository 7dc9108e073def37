package eplb

import (
	"math"
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
			from, kind = -1, Reload
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

func TestTransfersKnowTheNodesOfACluster(t *testing.T) {
	context := newContext(t)
	current := make([]int32, 16)
	for slot := range current {
		current[slot] = int32(slot % 8)
	}
	if err := context.UploadPlacement(current, 1, 16); err != nil {
		t.Fatal(err)
	}
	problem := Problem{NumSlots: 16, NumGPUs: 8, NumNodes: 2, Policy: PolicyGlobal}
	for _, nodes := range [][]int{{0, 0, 0, 0, 1, 1, 1, 1}, {0, 1, 0, 1, 0, 1, 0, 1}} {
		if nodes[1] == 1 {
			if err := context.UploadCluster(Cluster{Nodes: nodes}); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := context.Solve(pairsWeights(), problem, SolveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		between := 0
		for transfer := range plan.Transfers().All() {
			far := transfer.SourceGPU >= 0 && nodes[transfer.SourceGPU] != nodes[transfer.GPU]
			if far != (transfer.Kind == BetweenNodes) {
				t.Errorf("%+v", transfer)
			}
			if far {
				between++
			}
		}
		if report, err := plan.Report(); err != nil || report.MovesBetweenNodes != between {
			t.Errorf("%d between nodes, but %d listed: %v", report.MovesBetweenNodes, between, err)
		}
	}
}

// Limits are kept, and their zero values are none.
func TestRebalance(t *testing.T) {
	context := newContext(t)
	before := solved(t, context)
	weights := NewWeights([]float32{10, 10, 10, 10, 20, 120, 560, 600}, 1, 8)
	for most, options := range map[int]SolveOptions{
		0: {MaxMoves: AtMost(0)}, 1: {MaxMovesTotal: AtMost(1), MaxMoves: AtMost(1)}, 2: {MaxMoves: AtMost(2), Target: NoTarget},
		16: {Target: 1.2, AllowEmpty: true},
	} {
		plan, err := context.Rebalance(weights, before.PhysicalToLogical, pairsProblem, options)
		if err != nil {
			t.Fatal(err)
		}
		report, err := plan.Report()
		if err != nil || report.Strategy != StrategyRebalance || report.Moves > most || (report.Moves == 0) != (most == 0) {
			t.Errorf("%+v: %d moves, %v", options, report.Moves, err)
		}
		if moves := len(slices.Collect(plan.Transfers().All())); moves < report.Moves {
			t.Errorf("%d transfers of %d moves", moves, report.Moves)
		}
	}
	for text, options := range map[string]SolveOptions{
		"max_moves is -1, must be at least 0":              {MaxMoves: AtMost(-1)},
		"max_moves_total is -3, must be at least 0":        {MaxMovesTotal: AtMost(-3)},
		"max_arrivals is -1, must be at least 0":           {MaxArrivals: -1},
		"target is 0.5, must be 0 for the default, NoTarg": {Target: 0.5},
		"target is NaN": {Target: math.NaN()},
		"move_price is -1000 / 1000, must be 0 to 1024": {MovePrice: -1},
		"transfer_order is 'sideways', must be one of":  {TransferOrder: "sideways"},
	} {
		_, err := context.Rebalance(weights, before.PhysicalToLogical, pairsProblem, options)
		refused(t, err, ErrInvalidArgument, text)
	}
	_, err := context.Rebalance(weights, nil, pairsProblem, SolveOptions{})
	refused(t, err, ErrInvalidArgument, "current is empty, must have layers * slots = 1 * 16 experts")
	_, err = context.Rebalance(weights, before.PhysicalToLogical[:15], pairsProblem, SolveOptions{})
	refused(t, err, ErrInvalidArgument, "15")
	if report, err := before.Report(); err != nil || report.Strategy != StrategyBest {
		t.Errorf("a plan is lost after refusals: %v", err)
	}
}

// A GPU dies: what only it held is forced to move, and a limit below that is refused.
func TestRebalanceAfterALoss(t *testing.T) {
	context := newContext(t)
	problem := Problem{NumSlots: 24, NumGPUs: 8}
	plan, err := context.Solve(pairsWeights(), problem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	current := slices.Clone(plan.PhysicalToLogical)
	seven := slices.Index(current, 7)
	gpu := seven / 3
	slots := slices.Repeat([]int{3}, 8)
	slots[gpu] = 0
	for slot := range current {
		if slot/3 == gpu || current[slot] == 7 {
			current[slot] = -1
		}
	}
	if err := context.UploadCluster(Cluster{Slots: slots}); err != nil {
		t.Fatal(err)
	}
	_, err = context.Rebalance(pairsWeights(), current, problem, SolveOptions{MaxMoves: AtMost(0)})
	refused(t, err, ErrInvalidArgument, "max_moves is 0")
	if plan, err = context.Rebalance(pairsWeights(), current, problem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	for slot, expert := range plan.PhysicalToLogical {
		if slot/3 == gpu && expert != -1 {
			t.Errorf("slot %d of the dead GPU holds expert %d", slot, expert)
		}
	}
	if !slices.Contains(plan.PhysicalToLogical, 7) || len(plan.LogicalToPhysical()) != 8*plan.MaxReplicas {
		t.Error(plan.PhysicalToLogical)
	}
	report, err := plan.Report()
	if err != nil || report.Reloads < 1 || report.MovesForced < 1 {
		t.Errorf("%+v, %v", report, err)
	}
}
